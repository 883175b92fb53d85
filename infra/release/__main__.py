"""``python -m infra.release COMMAND``: pin, describe and scan a release's dependencies, and deploy it."""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial

from infra.container.sam import ROOT, StepError
from infra.release import contents, deployment, pins, preflight, restore
from infra.release.credentials import ServerSecrets
from infra.release.pins import digest_of
from infra.release.stage import RELEASE


def check() -> int:
    """Print each missing pin. Return 1 if there is any."""
    lines = pins.unpinned(ROOT)
    for line in lines:
        print(line)
    print("run `make pin` and commit the result" if lines else "everything is pinned")
    return int(bool(lines))


def pin(region: str | None, stages: tuple[str, ...]) -> int:
    """Write the digests of the images and, with a region, the machine images of the stages."""
    for line in pins.pin_images(ROOT, digest_of):
        print(line)
    if region is None:
        print("machine images: not pinned, give --region (their ids differ by region)")
        return 0
    for line in pins.pin_machine_images(ROOT, stages, partial(pins.public_parameter, region)):
        print(", ".join(stages), line)
    return 0


def run(options: argparse.Namespace) -> int:
    """Run one command. Raises `StepError`."""
    match options.command:
        case "check":
            return check()
        case "pin":
            return pin(options.region, tuple(options.stage or pins.STAGES))
        case "sbom":
            print(*map(contents.write_sbom, contents.LOCKS), sep="\n")
        case "notice" | "audit":
            {"notice": contents.write_notice, "audit": contents.audit}[options.command]()
        case "build":
            deployment.package(pins.STAGES[-1])
            for stage in pins.STAGES:
                values = deployment.write(stage)
                deployment.refuse(stage, preflight.impossible(values))
                print(stage, values[RELEASE])
        case "rotate":
            ServerSecrets(deployment.stack_name(options.profile)).rotate()
        case "deploy" | "restore":
            if options.command == "restore":
                restore.restore(options.what, options.profile, options.at)
            deployment.deploy(options.profile, shlex.split(options.options))
    return 0


def main(arguments: list[str]) -> int:
    """Read the command line and run one command."""
    parser = argparse.ArgumentParser(prog="infra.release")
    parser.add_argument(
        "command", choices=("check", "pin", "sbom", "notice", "audit", "build", "deploy", "restore", "rotate")
    )
    parser.add_argument("--region", help="pin: the region of the machine images; needs AWS credentials")
    parser.add_argument(
        "--stage", action="append", choices=pins.STAGES, help="pin: a stage in that region; all if left out"
    )
    parser.add_argument("--profile", default="team", help="deploy, restore, rotate: a file of infra/parameters")
    parser.add_argument("--options", default="", help="deploy, restore: more options of `sam deploy`")
    parser.add_argument("--what", choices=restore.PARTS, default="zone", help="restore: the part that is lost")
    parser.add_argument("--at", help="restore: the table as it was then, 2026-11-25T10:00 (UTC)")
    try:
        return run(parser.parse_args(arguments))
    except StepError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
