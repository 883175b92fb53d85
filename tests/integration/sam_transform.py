"""`sam_transform.py TEMPLATE` writes the template after SAM's transform, once for each variant.

Standard input has the variants: a JSON list of `{"parameters": {...}, "paths": {...}}`. `paths` are added to the
API. The SAM CLI's Python runs it, for SAM's translator. It does not call AWS.
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


def transformed(template: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    for resource in template["Resources"].values():
        # Do as `sam package` would.
        for name in {"CodeUri", "ContentUri", "PackageType"} & set(resource["Properties"]):
            resource["Properties"]["ImageUri" if name == "PackageType" else name] = ARTIFACT
    template["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"] |= variant.get("paths", {})
    values = {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()}
    plain: dict[str, Any] = Translator({}, Parser()).translate(template, values | variant["parameters"])
    return plain


if __name__ == "__main__":
    source = yaml_parse(Path(sys.argv[1]).read_text())
    boto3.setup_default_session(region_name="us-east-1")
    # SAM names a deployment by the second of its transform.
    with patch("samtranslator.model.apigateway.time.time", count().__next__):
        variants = [transformed(copy.deepcopy(source), variant) for variant in json.load(sys.stdin)]
    json.dump(variants, sys.stdout, default=str)
