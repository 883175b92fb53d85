"""The locked SAM CLI deploys each parameter that `make deploy` wrote, on moto's CloudFormation."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml  # type: ignore[import-untyped] # ships no types
from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types
from moto.server import ThreadedMotoServer

from infra.container.sam import LOCK, ROOT, SAM, environment, variables
from infra.local.ports import free_port
from infra.release import deployment

pytestmark = [pytest.mark.integration, pytest.mark.slow]
# moto makes no stack for SAM's own bucket; a template without artefacts needs none.
SAM_DEPLOY = ("deploy", "--config-env", "team", "--no-resolve-s3")


class Account:
    """A checkout whose build has the parameters of template.yaml and one queue, and moto as AWS."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.build = folder / ".aws-sam" / "build"
        self.build.mkdir(parents=True)
        shutil.copy(ROOT / "samconfig.toml", folder)
        template: Any
        template, _ = decode(str(ROOT / "template.yaml"))
        built = {"Parameters": template["Parameters"], "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
        (self.build / "template.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(built))))

    def deploy(self) -> dict[str, str]:
        """Deploy the profile `team`; return what was written for it."""
        written = deployment.write("team", self.build, self.folder / ".aws-sam" / "release")
        done = subprocess.run(
            [str(SAM), *SAM_DEPLOY],
            cwd=self.folder,
            env=variables()
            | {
                "AWS_ENDPOINT_URL": self.url,
                "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x",
                "SAM_CLI_POLL_DELAY": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return written

    def deployed(self) -> dict[str, str]:
        """The parameters of the stack."""
        (stack,) = self.client().describe_stacks(StackName="docwell-team")["Stacks"]
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}

    def client(self) -> Any:
        """A client of moto's CloudFormation."""
        return boto3.client(
            "cloudformation",
            "us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    environment(SAM.parents[1], LOCK)
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    monkeypatch.setattr(deployment, "PROFILES", tmp_path)
    yield Account(tmp_path, f"http://127.0.0.1:{port}")
    server.stop()


def test_the_second_deployment_changes_what_the_profile_and_the_template_change(
    account: Account, tmp_path: Path
) -> None:
    profile = tmp_path / "team.toml"
    profile.write_text(
        'ModelName = "large"\nOllamaNight = "0 19 * * *;0 7 * * 1-5;Etc/UTC"\nChromaVolumeGiB = 20\n'
    )
    first = account.deploy()
    assert account.deployed()["ModelName"] == "large"
    assert account.deployed()["OllamaNight"] == "0 19 * * *;0 7 * * 1-5;Etc/UTC"
    # A line leaves the profile, and the template has a new default.
    profile.write_text('OllamaNight = "0 19 * * *;0 7 * * 1-5;Etc/UTC"\nChromaVolumeGiB = 20\n')
    path = account.build / "template.yaml"
    path.write_text(path.read_text().replace("default_tenant,", "next-tenant,"))
    second = account.deploy()
    deployed = account.deployed()
    assert deployed["ModelName"] != "large"
    assert deployed["ChromaAccount"].startswith("next-tenant,")
    assert deployed["Release"] == second["Release"] != first["Release"]
