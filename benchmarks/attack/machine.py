"""Attacks by a web page that the user visits, and by another user of the machine."""

import http.client
import json
import stat
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.attack.requests import listed
from benchmarks.attack.target import Target, Tries, Try
from infra.local.names import HOST

_ORIGIN = "http://evil.example"
_REBOUND = "evil.example"
_REQUESTS = [tuple(line.split(" ", 1)) for line in listed("machine")[0]["tries"]]
# These do something even without a credential, or tell about the stack.
_MOTO = ("/moto-api/reset", "/moto-api/data.json", "/moto-api/seed?a=42", "/moto-api/config")
_FOREIGN_SERVICES = {
    "lambda": "list_functions",
    "iam": "list_users",
    "sts": "get_caller_identity",
    "ec2": "describe_instances",
    "secretsmanager": "list_secrets",
}
_PREFLIGHT = {
    "Origin": _ORIGIN,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "x-api-key",
}


def foreign_origin(target: Target) -> Tries:
    """Send every request as a page of another origin would, to every port."""
    for port in _ports(target):
        for method, path in _REQUESTS:
            headers = {"Origin": _ORIGIN, "Content-Type": "text/plain"}
            status, shared = _send(port, method, path, headers=headers)
            yield Try(f"{method} {path} on a port with a foreign Origin: {status}", status < 400 or bool(shared))
        status, shared = _send(port, "OPTIONS", "/docwell-documents/evil.pdf", headers=_PREFLIGHT)
        yield Try(f"preflight: {status}, allows {shared}", bool(shared))


def rebound_name(target: Target) -> Tries:
    """Send requests under a name that an attacker made resolve to this machine."""
    for port in _ports(target):
        for host in (_REBOUND, f"{_REBOUND}:{port}", f"localhost.{_REBOUND}:{port}"):
            for method, path in _REQUESTS:
                status, _ = _send(port, method, path, host)
                yield Try(f"{method} {path} with Host {host}: {status}", status < 400)


def aws_stand_in(target: Target) -> Tries:
    """Use the AWS stand-in without its credentials, and use what docwell does not need."""
    port = _port(target.stack.aws_endpoint)
    for path in (*_MOTO, f"/{target.stack.bucket}?list-type=2"):
        for method in ("GET", "POST"):
            status, _ = _send(port, method, path)
            yield Try(f"{method} {path} without a signature: {status}", status < 400)
    client = _session(target, target.stack.access_key, target.stack.secret_key)
    for service, action in _FOREIGN_SERVICES.items():
        yield Try(f"{service} {action}", _succeeds(getattr(client(service), action)))
    for key in ("test", "AKIAATTACKER"):
        list_bucket = _session(target, key, key)("s3").list_objects_v2
        yield Try(f"list the bucket as {key}", _succeeds(list_bucket, Bucket=target.stack.bucket))


def other_user(target: Target) -> Tries:
    """Reach the stack from another account or machine: addresses, files, and the API key."""
    for address, _ in _listening(target):
        yield Try(f"listens on {address}", not ip_address(address).is_loopback)
    folder = Path(target.stack.data)
    # The folder's own mode protects the files; a copy of them is protected by theirs.
    for path in (folder, *folder.glob("*")):
        open_to = stat.S_IMODE(path.stat(follow_symlinks=False).st_mode) & 0o077
        yield Try(f"{path.name} is open to others: {open_to:o}", bool(open_to) and not path.is_symlink())
    for key in ("local", "test", "docwell", "docwell-local", "local-key", ""):
        with target.client(**{"x-api-key": key}) as client:
            status = client.get("/v1/documents").status_code
        yield Try(f"API key {key!r}: {status}", status < 400)


def still_there(target: Target) -> Tries:
    """Check that none of the attacks above changed the stack."""
    s3 = target.stack.client("s3")
    keys = {item["Key"] for item in s3.list_objects_v2(Bucket=target.stack.bucket).get("Contents", ())}
    yield Try(f"the stand-in was wiped: {keys}", not keys)
    yield Try("a page stored an object", "evil.pdf" in keys)
    yield Try("the index is gone", target.doors.document(next(iter(keys), "")) is None)


def _listening(target: Target) -> set[tuple[str, int]]:
    """Return address and port of every listening socket of the stack: this process supervises it."""
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in psutil.Process(target.stack.pid).children(recursive=True)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def _ports(target: Target) -> list[int]:
    ports = {port for _, port in _listening(target)}
    if _port(target.stack.gateway) not in ports:
        raise RuntimeError(f"the stack's ports were not seen: {sorted(ports)}")
    return sorted(ports)


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def _send(
    port: int, method: str, path: str, host: str = "", headers: Mapping[str, str] | None = None
) -> tuple[int, str | None]:
    """Return the status and the allowed origin; status 599 where the server broke the connection."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    body = json.dumps({"question": "Who owns this machine?", "model": "x", "messages": []}).encode()
    try:
        sent = {"Host": host or f"{HOST}:{port}", **(headers or {})}
        connection.request(method, path, body if method in {"POST", "PUT"} else None, sent)
        response = connection.getresponse()
        response.read(65_536)
    except (OSError, http.client.HTTPException):
        return 599, None
    finally:
        connection.close()
    return response.status, response.getheader("access-control-allow-origin")


def _session(target: Target, key: str, secret: str) -> Callable[[str], Any]:
    """Return a maker of the AWS stand-in's clients with these credentials, without retries."""
    session: Any = boto3.Session(key, secret, region_name=target.stack.region)
    limits = Config(retries={"total_max_attempts": 1}, read_timeout=5)
    return lambda service: session.client(service, endpoint_url=target.stack.aws_endpoint, config=limits)


def _succeeds(call: Callable[..., object], **arguments: str) -> bool:
    try:
        call(**arguments)
    except (ClientError, BotoCoreError):
        return False
    return True
