"""Write templates as plain CloudFormation, in JSON.

`to_cloudformation.py FOLDER TEMPLATE...` writes each template, with its default parameters.
`to_cloudformation.py variants TEMPLATE` reads a JSON list of `{"parameters": {...}, "paths": {...}}` and writes
the plain template of each.

The SAM CLI's Python runs it, for SAM's translator. It does not call AWS.
"""

from __future__ import annotations

import copy
import json
import sys
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found] # in .venv-sam alone
from samtranslator.parser.parser import Parser  # type: ignore[import-not-found] # in .venv-sam alone
from samtranslator.translator.translator import Translator  # type: ignore[import-not-found] # in .venv-sam alone

ARTIFACT = "s3://bucket/key"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:latest"


def plain(template: dict[str, Any], parameters: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the template after SAM's transform, with `parameters` in place of their defaults."""
    if "Transform" not in template:
        return template
    for resource in template["Resources"].values():
        if resource["Type"].startswith("AWS::Serverless::"):
            properties = resource["Properties"]
            # As `sam package` would.
            for folder in ("CodeUri", "ContentUri"):
                if folder in properties:
                    properties[folder] = ARTIFACT
            if properties.get("PackageType") == "Image":
                properties["ImageUri"] = IMAGE
    values = {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()}
    boto3.setup_default_session(region_name="us-east-1")
    translated: dict[str, Any] = Translator({}, Parser()).translate(template, values | (parameters or {}))
    return translated


def variants(template: dict[str, Any], changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the transformed template of each variant; `paths` are paths of the API to add."""
    templates = []
    # SAM names a deployment by the second of its transform.
    with patch("samtranslator.model.apigateway.time.time", count().__next__):
        for change in changes:
            copied = copy.deepcopy(template)
            if "paths" in change:
                copied["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"] |= change["paths"]
            templates.append(plain(copied, change["parameters"]))
    return templates


def main(folder: Path, templates: list[Path]) -> None:
    """Write each template into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in templates:
        content = plain(yaml_parse(path.read_text()))
        # YAML reads a version such as 2012-10-17 as a date; CloudFormation wants text.
        (folder / f"{path.stem}.template.json").write_text(json.dumps(content, indent=1, default=str))


if __name__ == "__main__":
    if sys.argv[1] == "variants":
        templates = variants(yaml_parse(Path(sys.argv[2]).read_text()), json.load(sys.stdin))
        json.dump(templates, sys.stdout, default=str)
    else:
        main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
