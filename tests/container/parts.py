"""The functions in their containers, and what they talk to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import yaml  # type: ignore[import-untyped] # ships no types

from docwell.adapters.principals import Grant, PrincipalAdmin
from docwell.identity import SAM_LOCAL
from infra.container import sam
from tests.container import stand_ins

BUCKET = "docwell-documents"
TABLE = "docwell-ledger"
PRINCIPALS = "docwell-principals"
RECEIPTS = "docwell-receipts"
QUEUE = "docwell-ingest"
REGION = "us-east-1"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:123456789012:{QUEUE}"
# Lambda sets both names of the region; boto3 reads the second.
REGIONS = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
ACCESS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **REGIONS}


def aws_client(endpoint: str, service: str) -> Any:
    session: Any = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    return session.client(service, endpoint_url=endpoint)


@dataclass(frozen=True)
class Cloud:
    """What the functions talk to."""

    aws: str
    chroma: str
    ollama: str
    queue: str

    def client(self, service: str) -> Any:
        return aws_client(self.aws, service)

    def settings(self) -> dict[str, str]:
        """What the template would set, with this machine's addresses."""
        return {
            "AWS_ENDPOINT_URL": self.aws,
            "DOCWELL_BUCKET": BUCKET,
            "DOCWELL_LEDGER_TABLE": TABLE,
            "DOCWELL_PRINCIPALS_TABLE": PRINCIPALS,
            "DOCWELL_RECEIPTS_TABLE": RECEIPTS,
            "DOCWELL_CHROMA_URL": self.chroma,
            "DOCWELL_QUEUE_URL": self.queue,
        }

    def notification(self) -> dict[str, Any]:
        """The next message that S3 put into the queue, as the event that Lambda would make of it."""
        answer = self.client("sqs").receive_message(QueueUrl=self.queue, WaitTimeSeconds=5)
        (message,) = answer["Messages"]
        self.client("sqs").delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": QUEUE_ARN,
            "awsRegion": REGION,
        }
        return {"Records": [record]}


def make_resources(cloud: Cloud) -> None:
    """Bucket and ledger as the template describes them, notifications included."""
    resources = yaml.safe_load(sam.BUILT_TEMPLATE.read_text())["Resources"]
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    for resource, name in (("LedgerTable", TABLE), ("PrincipalsTable", PRINCIPALS), ("ReceiptsTable", RECEIPTS)):
        table = resources[resource]["Properties"]
        described = {key: table[key] for key in wanted if key in table}
        cloud.client("dynamodb").create_table(TableName=name, **described)
    # `sam local` calls no authorizer and knows no API keys, so this is who asks there.
    PrincipalAdmin(cloud.client("dynamodb"), PRINCIPALS).add(Grant(SAM_LOCAL.id, None))
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    configuration = {"QueueConfigurations": [{"QueueArn": QUEUE_ARN, "Events": events}]}
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=configuration)
    cloud.client("sqs").purge_queue(QueueUrl=cloud.queue)  # S3 announces itself with an s3:TestEvent


class IngestContainer:
    """The ingest image behind the runtime emulator."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = f"{url}/2015-03-31/functions/function/invocations"

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.post(self._url, json=event, timeout=120).json()
        return answer

    def logs(self) -> str:
        command = ["docker", "logs", self.name]
        return subprocess.run(command, check=True, text=True, stdout=-1, stderr=subprocess.STDOUT).stdout


@contextmanager
def container(cloud: Cloud) -> Iterator[IngestContainer]:
    """Run the image as Lambda does: a user without rights, a read-only disk but /tmp, and no /dev/shm."""
    port = stand_ins.free_port("127.0.0.1")
    limits = ["--user", "993:990", "--read-only", "--tmpfs", "/tmp:mode=1777", "--ipc", "none"]  # noqa: S108
    limits += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "3008m"]
    variables = ACCESS | cloud.settings() | {"POWERTOOLS_SERVICE_NAME": "ingest", "HOME": "/tmp"}  # noqa: S108
    setting = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
    command = ["docker", "run", "--detach", "--publish", f"127.0.0.1:{port}:8080", *limits, *setting]
    name = subprocess.check_output([*command, sam.INGEST_IMAGE], text=True).strip()
    try:
        stand_ins.wait_until_answers(f"http://127.0.0.1:{port}/")
        yield IngestContainer(name, f"http://127.0.0.1:{port}")
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)


def local_template(cloud: Cloud) -> Path:
    """The built template with this machine's addresses: sam sets only variables that a template declares."""
    template = yaml.safe_load(sam.BUILT_TEMPLATE.read_text())
    template["Globals"]["Function"].pop("VpcConfig")
    query = template["Resources"]["QueryFunction"]["Properties"]
    query["Environment"]["Variables"] |= cloud.settings()
    query["Environment"]["Variables"] |= {"DOCWELL_OLLAMA_URL": cloud.ollama, "DOCWELL_MODEL": stand_ins.MODEL}
    path = sam.BUILD / "template-on-this-machine.yaml"
    path.write_text(yaml.safe_dump(template))
    return path
