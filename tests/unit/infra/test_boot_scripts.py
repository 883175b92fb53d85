"""The user data of the servers, run: first boot, next server, reboot, late volume, growth, and what fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.infra.boot_machine import Machine, shared

TRACE = ["the boot's log", "the journal"]


@pytest.fixture
def chroma(tmp_path: Path) -> Machine:
    """A new instance of the Chroma server, with a new volume."""
    return Machine(tmp_path, "chroma.yaml", {"Volume": "vol-1", "Image": "chroma:1"})


@pytest.fixture
def host(tmp_path: Path) -> Machine:
    """A new instance of a model host."""
    names = {"Image": "ollama:1", "Model": "small", "PreviousModel": "PreviousModel Older"}
    return Machine(tmp_path, "ollama.yaml", names, "HasBalancer")


def index(machine: Machine) -> str:
    return (machine.state / "disk" / "chroma.sqlite3").read_text()


def test_a_new_volume_is_formatted_and_marked_when_chroma_answers(chroma: Machine) -> None:
    assert chroma.boot() == 0
    assert chroma.called("mkfs.xfs")
    assert chroma.called("create-tags --resources vol-1 --tags Key=docwell-filled,Value=true")
    assert chroma.called("--status SUCCESS")


def test_the_next_server_keeps_the_index(chroma: Machine) -> None:
    chroma.volume()
    assert chroma.boot() == 0
    assert not chroma.called("mkfs")
    assert index(chroma) == "the index"
    assert chroma.called("--status SUCCESS")


@pytest.mark.parametrize(
    "volume", [{"formatted": False, "index": False}, {"index": False}], ids=["blank", "empty"]
)
def test_chroma_does_not_begin_an_empty_index_in_place_of_a_lost_one(
    chroma: Machine, volume: dict[str, bool]
) -> None:
    chroma.volume(**volume)
    chroma.boot()
    assert not chroma.called("mkfs")
    assert not (chroma.state / "up").exists()
    assert chroma.called("--status FAILURE")
    assert not chroma.called("--status SUCCESS")
    assert not chroma.called("create-tags")
    assert chroma.reported == TRACE


@pytest.mark.parametrize("step", ["head", "describe-tags", None])
def test_a_volume_that_cannot_be_told_from_a_blank_one_is_not_formatted(chroma: Machine, step: str | None) -> None:
    if step:
        chroma.fail(step)
    else:
        chroma.late(1_000_000)  # the volume is never attached
    chroma.boot()
    assert not chroma.called("mkfs")
    assert not (chroma.state / "up").exists()
    assert chroma.called("--status FAILURE")


def test_each_start_mounts_the_volume_and_uses_all_of_it(chroma: Machine) -> None:
    chroma.volume()
    assert chroma.boot() == 0
    chroma.reboot()
    assert chroma.start_chroma() == 0
    assert (chroma.root / "var/lib/chroma/chroma.sqlite3").read_text() == "the index"
    grown = [line for line in chroma.calls if line.startswith("xfs_growfs")]
    assert grown == [f"xfs_growfs {chroma.root}/var/lib/chroma"]
    # The service restarts by itself, and only it mounts the volume.
    unit = (chroma.root / "etc/systemd/system/chroma.service").read_text()
    assert "Restart=always\n" in unit
    assert unit.index("sbin/chroma-volume") < unit.index("ExecStart=/usr/bin/docker run")
    assert not chroma.called("--restart")


def test_a_server_that_does_not_answer_for_five_minutes_is_reported(chroma: Machine) -> None:
    chroma.volume()
    assert chroma.boot() == 0
    assert "Restart=always\n" in (chroma.root / "etc/systemd/system/docwell-watch.service").read_text()
    chroma.fail("/health")
    assert chroma.watch(waits=9) == []
    *reports, unhealthy = chroma.watch(waits=10)
    assert unhealthy == (
        "aws autoscaling set-instance-health --region eu-central-1 --instance-id i-1 --health-status Unhealthy"
    )
    assert [line.split()[2] for line in reports] == ["create-log-stream", "put-log-events", "put-metric-data"]
    assert chroma.reported == TRACE


@pytest.mark.parametrize(
    "step", ["dnf install -y docker", "dnf install -y nginx", "secretsmanager", "docker pull", "create-tags"]
)
def test_a_server_that_cannot_start_fails_the_deployment(chroma: Machine, step: str) -> None:
    chroma.fail(step, *(["aws logs"] if step == "docker pull" else []))
    assert chroma.boot() != 0
    assert chroma.called("--status FAILURE")
    assert chroma.reported == ([] if step == "docker pull" else TRACE)  # the signal does not need the report


@pytest.fixture(params=["chroma.yaml", "ollama.yaml"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """A server that has booted, with its proxy."""
    machine = Machine(tmp_path, request.param, {"Volume": "vol-1", "Image": "server:1", "Model": "small"})
    assert machine.boot() == 0
    return machine


RELOAD = "systemctl reload-or-restart docwell-proxy.service"
UPSTREAM = ("127.0.0.1:8000", "/api/v2/heartbeat", "443")


@pytest.fixture
def proxy(chroma: Machine) -> Machine:
    """A server that has run the proxy's part of its user data alone."""
    begin, end = (chroma.script.index(text) for text in ("upstream=", "docker pull"))
    chroma.script = f"set -euo pipefail\n{chroma.script[begin : chroma.script.rindex('case', begin, end)]}"
    assert chroma.boot() == 0
    return chroma


def configuration(machine: Machine) -> str:
    return (machine.root / "var/lib/docwell-proxy/conf/nginx.conf").read_text()


def test_only_the_proxy_accepts_connections_and_only_with_tls(server: Machine) -> None:
    files = list((server.root / "var/lib/docwell-proxy/conf").iterdir())
    assert {entry.name for entry in files} == {"certificate.pem", "key.pem", "nginx.conf"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)  # for root alone
    units = "".join(path.read_text() for path in (server.root / "etc/systemd/system").glob("*.service"))
    published = re.findall(r"--publish (\S+)", "\n".join(server.calls) + units)
    assert published
    assert all(item.startswith("127.0.0.1:") for item in published)
    assert re.findall(r"listen (.+);", configuration(server)) == ["443 ssl"]
    (upstream,) = {entry.split("/")[2] for entry in re.findall(r"proxy_pass (\S+?);", configuration(server))}
    assert upstream == published[0].rpartition(":")[0]


def test_during_a_rotation_both_tokens_are_right(proxy: Machine) -> None:
    (proxy.state / "pending").write_text('{"token": "second"}')
    assert proxy.apply_secrets(*UPSTREAM) == 0
    assert set(re.findall(r"Bearer (\w+)", configuration(proxy))) == {"first", "second"}


WRONG_TOKENS = ('a\\" b', "$host", "", "ä", '\\n"; } return 200; #')


@pytest.mark.parametrize(
    ("token", "failing"),
    [*((token, ()) for token in WRONG_TOKENS), ("second", ("aws secretsmanager",)), ("second", ("nginx",))],
)
def test_secrets_that_cannot_be_read_or_used_change_nothing(
    proxy: Machine, token: str, failing: tuple[str, ...]
) -> None:
    before = configuration(proxy)
    (proxy.state / "token").write_text(f'{{"token": "{token}"}}')
    proxy.fail(*failing)
    assert proxy.apply_secrets(*UPSTREAM) != 0
    assert configuration(proxy) == before
    assert RELOAD not in proxy.calls


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"])
def test_a_warm_host_enters_service_and_signals_once(host: Machine, status: str) -> None:
    (host.state / "status").write_text(status)
    (partial := host.root / "models/blobs/sha256-1-partial").parent.mkdir(parents=True)
    partial.touch()
    # A model that has gone, or for which the disk has no room, does not keep the new one from serving.
    host.fail("ollama show PreviousModel", "ollama pull PreviousModel")
    assert host.boot() == 0
    assert not partial.exists()
    (before,) = (line for line in host.calls if " ollama sh -c " in line)  # one for all: no pulls side by side
    assert ("--detach" in before) is (status == "UPDATE_COMPLETE")  # only a deployment waits
    ends = [row for row in host.calls if "complete-lifecycle-action" in row or "signal-resource" in row]
    # The signal lets CloudFormation stop an old host, so the load balancer uses the new one by then.
    assert [item.split()[-1] for item in ends] == ["CONTINUE", "SUCCESS"]
    assert "--logical-resource-id Hosts --unique-id i-1" in ends[1]
    steps = ("api/generate", "ollama pull PreviousModel", "ollama show Older", *ends)
    places = [next(i for i, row in enumerate(host.calls) if text in row) for text in steps]
    assert places == sorted(places)
    served, signalled = places[-2:]
    check = host.content["Resources"]["TargetGroup"]["Properties"]
    waited = sum(int(line.split()[1]) for line in host.calls[served:signalled] if line.startswith("sleep"))
    assert waited >= check["HealthCheckIntervalSeconds"] * check["HealthyThresholdCount"]


def test_a_host_without_a_load_balancer_writes_its_address_and_takes_back_only_that(tmp_path: Path) -> None:
    single = Machine(tmp_path, "ollama.yaml", {"Image": "ollama:1", "Model": "small", "Zone": "Z1"}, "")
    assert single.boot() == 0
    assert single.called("systemctl enable --now docwell-name.service")
    set_, taken = [("UPSERT", "10.0.0.7")], [("DELETE", "10.0.0.7"), ("CREATE", "127.0.0.1")]
    for step, expected in (("start", set_), ("stop", taken)):
        assert single.apply_secrets(step, command="docwell-name") == 0
        assert re.findall(r'"Action": "(\w+)".*?"Value": "([0-9.]+)"', " ".join(single.calls)) == expected


@pytest.mark.parametrize(
    "step", ["docker run", "api/generate", "dnf install -y nginx", "secretsmanager", "/health"]
)
def test_a_host_that_cannot_answer_is_abandoned_and_fails_the_deployment(host: Machine, step: str) -> None:
    host.fail(step)
    assert host.boot() != 0
    ends = [line for line in host.calls if "complete-lifecycle-action" in line or "signal-resource" in line]
    assert [entry.split()[-1] for entry in ends] == ["FAILURE", "ABANDON"]
    assert host.reported == TRACE


@pytest.mark.parametrize(
    ("template", "group"), [("chroma.yaml", "ServerLogGroup"), ("ollama.yaml", "HostLogGroup")]
)
def test_the_trace_of_a_server_outlives_a_rollback_and_fits(template: str, group: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, template, {"Volume": "vol-1", "Image": "server:1", "Model": "small"})
    assert machine.content["Resources"][group]["DeletionPolicy"] == "Retain"
    assert len(machine.script) < 16_000  # EC2's limit of user data, 16 KB, before its folder is part of each path
    for part in ("Script", "Report"):
        assert len(shared(part).encode()) < 4096  # CloudFormation's limit of an output and of a parameter
