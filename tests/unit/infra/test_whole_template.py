"""A joined template refers to resources as its stacks do through parameters and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.whole_template import STACK, joined

QUEUE = {"Type": "AWS::SQS::Queue"}
TABLE = {"Type": "AWS::DynamoDB::Table"}


def stack(name: str, **parameters: Any) -> dict[str, Any]:
    return {"Type": STACK, "Properties": {"TemplateURL": name, "Parameters": parameters}}


def output(of: str, name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [of, f"Outputs.{name}"]}


def function(**variables: Any) -> dict[str, Any]:
    properties = {"Runtime": "python3.13", "Environment": {"Variables": variables}}
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


DATA = {
    "Parameters": {"Days": {"Default": 3}},
    "Conditions": {"Keeps": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Days"}, 0]}]}},
    "Resources": {"Queue": QUEUE, "Table": {**TABLE, "Properties": {"Days": {"Ref": "Days"}}}},
    "Outputs": {
        "QueueArn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}},
        "Table": {"Value": {"Fn::If": ["Keeps", {"Ref": "Table"}, "none"]}},
    },
}
WORK = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Parameters": {"Queue": {}, "Table": {}, "System": {}, "Mode": {"Default": "fast"}},
    "Globals": {"Function": {"Timeout": 3, "Environment": {"Variables": {"MODE": {"Ref": "Mode"}, "OWN": "1"}}}},
    "Resources": {
        "Work": function(
            OWN="2",
            QUEUE={"Ref": "Queue"},
            NAME={"Fn::Sub": "${System}/${Queue}/${Table}/${Other.Arn}/${!literal}"},
        )
    },
}
MAIN = {
    "Parameters": {"System": {"Default": "s"}},
    "Resources": {
        "DataStack": stack("infra/data.yaml"),
        "WorkStack": stack(
            "infra/work.yaml",
            Queue=output("DataStack", "QueueArn"),
            Table=output("DataStack", "Table"),
            System={"Ref": "System"},
        ),
    },
    "Outputs": {"Queue": {"Value": output("DataStack", "QueueArn")}},
}


def join(main: dict[str, Any] = MAIN, apart: tuple[str, ...] = (), **others: dict[str, Any]) -> dict[str, Any]:
    files = {"main.yaml": main, "infra/data.yaml": DATA, "infra/work.yaml": WORK}
    files |= {f"infra/{name}.yaml": one for name, one in others.items()}
    return joined(Path("main.yaml"), lambda path: files[path.as_posix()], apart)


def test_a_parameter_is_what_the_parent_gives_and_an_output_the_resource_behind_it() -> None:
    variables = join()["Resources"]["Work"]["Properties"]["Environment"]["Variables"]
    assert variables["QUEUE"] == {"Fn::GetAtt": ["Queue", "Arn"]}
    table = {"Fn::If": ["Keeps", {"Ref": "Table"}, "none"]}
    text = "${System}/${Queue}/${Table}/${Other.Arn}/${!literal}"
    assert variables["NAME"] == {"Fn::Sub": [text, {"Queue": {"Fn::GetAtt": ["Queue", "Arn"]}, "Table": table}]}
    assert join()["Outputs"] == {"Queue": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}}}


def test_defaults_globals_and_conditions_are_joined() -> None:
    whole = join()
    properties = whole["Resources"]["Work"]["Properties"]
    assert properties["Timeout"] == 3
    variables = properties["Environment"]["Variables"]
    assert (variables["MODE"], variables["OWN"]) == ("fast", "2")
    assert whole["Resources"]["Table"]["Properties"] == {"Days": 3}
    assert whole["Conditions"] == {"Keeps": {"Fn::Not": [{"Fn::Equals": [3, 0]}]}}
    assert whole["Parameters"] == MAIN["Parameters"]
    assert whole["Transform"] == WORK["Transform"]


def test_a_stack_that_stays_apart_keeps_its_outputs() -> None:
    whole = join(apart=("DataStack",))
    assert set(whole["Resources"]) == {"DataStack", "Work"}
    assert whole["Resources"]["Work"]["Properties"]["Environment"]["Variables"]["QUEUE"] == output(
        "DataStack", "QueueArn"
    )


def test_the_condition_of_a_stack_is_that_of_its_resources() -> None:
    one = stack("infra/data.yaml") | {"Condition": "Wanted"}
    whole = join({"Conditions": {"Wanted": True}, "Resources": {"DataStack": one}})
    assert {name: one["Condition"] for name, one in whole["Resources"].items()} == dict.fromkeys(
        ("Queue", "Table"), "Wanted"
    )


@pytest.mark.parametrize(
    "other", [{"Resources": {"Queue": TABLE}}, {"Conditions": {"Keeps": True}, "Resources": {}}]
)
def test_one_name_for_two_things_is_an_error(other: dict[str, Any]) -> None:
    main = {"Resources": {"DataStack": stack("infra/data.yaml"), "OtherStack": stack("infra/other.yaml")}}
    with pytest.raises(ValueError, match="not the same in two stacks"):
        join(main, other=other)
