"""A machine that boots by a template's user data: a folder as its root, and stand-ins for some commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from infra.container.sam import ROOT
from tests.unit.infra.intrinsics import Values
from tests.unit.infra.templates import content

# Paths that the scripts write or read, moved below the machine's root.
MOVED = re.compile(r"(?<![\w./])/(?=(?:var/lib|var/log|run|etc/systemd|usr/local/sbin|dev/disk|opt|models)/)")
COMMANDS = (
    *("aws", "curl", "dnf", "docker", "nginx", "rpm", "sleep", "systemctl"),
    *("head", "journalctl", "mkfs.xfs", "mount", "mountpoint", "ollama", "xfs_growfs"),
)
STAND_IN = Path(__file__).with_name("stand_in.sh").read_text()


def shared(output: str) -> str:
    """The commands that an output of infra/proxy.yaml has for both servers."""
    value = content(ROOT / "infra" / "proxy.yaml")["Outputs"][output]["Value"]
    return str(Values({"SystemName": "docwell"}).of(value))


class Machine:
    """One instance with a volume. `boot` runs its user data; `fail` and `late` set what goes wrong."""

    def __init__(self, folder: Path, template: str, names: dict[str, str], zone: str = "IsFirst") -> None:
        self.content: Any = content(ROOT / "infra" / template)
        data = self.content["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
        defaults = {
            name: str(parameter.get("Default", name)) for name, parameter in self.content["Parameters"].items()
        }
        defaults |= dict.fromkeys(self.content["Resources"], "x") | names
        defaults |= {"ProxyScript": shared("Script"), "Report": shared("Report")}
        defaults["PrivateName"] = f"{Path(template).stem}.docwell.internal"
        self.root, self.state = folder / "root", folder / "state"
        script = str(Values(defaults, frozenset({zone})).of(data["Fn::Base64"])).replace("${!", "${")
        self.script = MOVED.sub(f"{self.root}/", script)
        self.device = self.root / "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol1"
        for path in ("var/lib", "var/log", "run", "etc/systemd/system", "usr/local/sbin", "opt"):
            (self.root / path).mkdir(parents=True)
        for path in ("bin", "disk"):
            (self.state / path).mkdir(parents=True)
        for name in COMMANDS:
            (self.state / "bin" / name).write_text(STAND_IN)
            (self.state / "bin" / name).chmod(0o755)
        pair = json.dumps({"certificate": "the certificate", "key": "the key"})
        texts = {"late": "1000000", "pair": pair, "token": '{"token": "first"}'}
        for name, text in (dict.fromkeys(("fail", "calls", "log"), "") | texts).items():
            (self.state / name).write_text(text)
        (self.root / "var/log/cloud-init-output.log").write_text("the boot's log\n\n")
        self.device.parent.mkdir(parents=True)
        self.device.write_bytes(bytes(4096))
        (self.root / "opt/aws/amazon-cloudwatch-agent/bin").mkdir(parents=True)
        agent = self.root / "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
        shutil.copy(self.state / "bin" / "aws", agent)

    def volume(self, *, formatted: bool = True, index: bool = True, tag: bool = True) -> None:
        """Set what the volume holds."""
        if formatted:
            self.device.write_bytes(b"XFSB" + bytes(4092))
        if index:
            (self.state / "disk" / "chroma.sqlite3").write_text("the index")
        if tag:
            (self.state / "tag").write_text("true\n")

    def fail(self, *commands: str) -> None:
        """Let the commands that contain one of these texts fail."""
        (self.state / "fail").write_text("".join(f"{step}\n" for step in commands))

    def late(self, waits: int) -> None:
        """Attach the device after so many waits."""
        self.device.rename(self.state / "device")
        (self.state / "late").write_text(str(waits))

    def boot(self) -> int:
        """Run the user data; return its exit status."""
        return self._bash("-c", self.script)

    def start_chroma(self) -> int:
        """Run what systemd runs before Chroma; return its exit status."""
        return self._bash(str(self.root / "usr/local/sbin/chroma-volume"))

    def watch(self, waits: int) -> list[str]:
        """Run the watch of the server for so many waits; return its reports to the group."""
        (self.state / "calls").write_text("")
        (self.state / "waits").write_text(str(waits))
        self._bash(str(self.root / "usr/local/sbin/docwell-watch"))
        (self.state / "waits").unlink()
        return [line for line in self.calls if line.startswith("aws")]

    def apply_secrets(self, *arguments: str, command: str = "docwell-proxy") -> int:
        """Run the proxy's command, as its timer does, or another one; return its exit status."""
        (self.state / "calls").write_text("")
        return self._bash(str(self.root / "usr/local/sbin" / command), *arguments)

    def reboot(self) -> None:
        """Unmount the volume and stop Chroma; the root disk stays."""
        (self.root / "var/lib/chroma").unlink()
        (self.root / "var/lib/chroma").mkdir()
        (self.state / "up").unlink(missing_ok=True)
        (self.state / "calls").write_text("")

    def _bash(self, *arguments: str) -> int:
        path = f"{self.state / 'bin'}:{os.environ['PATH']}"
        names = {"PATH": path, "STATE": str(self.state), "MACHINE": str(self.root), "DEVICE": str(self.device)}
        done = subprocess.run(["bash", *arguments], env=names, capture_output=True, text=True, check=False)
        with (self.state / "log").open("a") as log:
            log.write(done.stdout + done.stderr)
        return done.returncode

    @property
    def calls(self) -> list[str]:
        """The commands so far."""
        return (self.state / "calls").read_text().splitlines()

    @property
    def reported(self) -> list[str]:
        """The lines that the server has sent to its log group."""
        path = self.state / "reported"
        return [event["message"].strip() for event in json.loads(path.read_text())] if path.exists() else []

    @property
    def log(self) -> str:
        """The output of the scripts."""
        return (self.state / "log").read_text()

    def called(self, text: str) -> bool:
        """Return whether a command contains the text."""
        return any(text in line for line in self.calls)
