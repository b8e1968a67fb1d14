"""Bodies that fail in every record are told from those that may run, by model and invocation
type.
"""

from typing import Any

import pytest

from bbq.shared.bodies import Bodies
from bbq.shared.models import Model, parse_models

CLAUDE, NOVA, TITAN = (
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "amazon.nova-lite-v1:0",
    "amazon.titan-embed-text-v2:0",
)
PROFILE = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6"

MESSAGES: Any = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
UNTYPED: Any = [{"role": "user", "content": [{"text": "x"}]}]
OWN = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": MESSAGES}
CONVERSE = {"messages": UNTYPED, "inferenceConfig": {"maxTokens": 5}}
CACHED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


@pytest.mark.parametrize(
    ("model", "kind", "body"),
    [
        (CLAUDE, "InvokeModel", OWN),
        (CLAUDE, "InvokeModel", {**OWN, "system": "x", "tools": [{"name": "t"}], "temperature": 1}),
        (
            CLAUDE,
            "InvokeModel",
            {"prompt": "\n\nHuman: x\n\nAssistant:", "max_tokens_to_sample": 9},
        ),
        (CLAUDE, "InvokeModel", {**OWN, "messages": [{"role": "user", "content": "x"}]}),
        (CLAUDE, "Converse", CONVERSE),
        (CLAUDE, "Converse", {"messages": UNTYPED, "system": [{"text": "x"}]}),
        (NOVA, "InvokeModel", CONVERSE),  # Nova's own body has these names
        (NOVA, "Converse", CONVERSE),
        (TITAN, "InvokeModel", {"inputText": "x"}),
        ("openai.gpt-oss-20b-1:0", "InvokeModel", {"model": "x", "messages": [], "stream": False}),
        # it does not say which model it is for
        (PROFILE, "InvokeModel", {"max_tokens": 9, "messages": MESSAGES}),
        (CLAUDE, "InvokeModel", {**OWN, "messages": "odd"}),
        (CLAUDE, "InvokeModel", {**OWN, "messages": [1, {"content": 2}, {"content": [3]}]}),
    ],
)
def test_a_body_that_may_run_has_no_fault(model: str, kind: str, body: dict[str, Any]) -> None:
    bodies = Bodies.of(model, kind)
    assert bodies.faults(body) == []
    assert bodies.cache_fault(body) is None


@pytest.mark.parametrize(
    ("model", "kind", "body", "faults"),
    [
        (CLAUDE, "InvokeModel", without(OWN, "anthropic_version"), ["anthropic_version"]),
        (CLAUDE, "InvokeModel", without(OWN, "max_tokens"), ["max_tokens"]),
        (CLAUDE, "InvokeModel", {"messages": MESSAGES}, ["anthropic_version", "max_tokens"]),
        (CLAUDE, "InvokeModel", CONVERSE, ["invocation_type to Converse"]),
        (CLAUDE, "InvokeModel", {"messages": UNTYPED}, ["invocation_type to Converse"]),
        (
            CLAUDE,
            "InvokeModel",
            {"messages": UNTYPED, "toolConfig": {}},
            ["invocation_type to Converse"],
        ),
        (CLAUDE, "InvokeModel", {**OWN, "modelId": CLAUDE}, ["modelId"]),
        (CLAUDE, "InvokeModel", {**OWN, "stream": False}, ["stream"]),
        (TITAN, "InvokeModel", {"inputText": "x", "modelId": TITAN}, ["modelId"]),
        (CLAUDE, "Converse", OWN, ["invocation_type to InvokeModel"]),
        (NOVA, "Converse", {"inputText": "x"}, ["invocation_type to InvokeModel"]),
        (NOVA, "Converse", {**CONVERSE, "toolConfig": {"tools": []}}, ["toolConfig"]),
        (NOVA, "Converse", {**CONVERSE, "modelId": NOVA, "stream": True}, ["modelId", "stream"]),
    ],
)
def test_a_body_that_no_record_runs_with_is_named(
    model: str, kind: str, body: dict[str, Any], faults: list[str]
) -> None:
    found = Bodies.of(model, kind).faults(body)
    assert len(found) == len(faults)
    assert all(word in fault for word, fault in zip(faults, found, strict=True))


@pytest.mark.parametrize(
    ("model", "kind", "body", "name"),
    [
        (
            CLAUDE,
            "InvokeModel",
            {**OWN, "messages": [{"role": "user", "content": [CACHED]}]},
            "cache_control",
        ),
        (CLAUDE, "InvokeModel", {**OWN, "system": [CACHED]}, "cache_control"),
        (
            CLAUDE,
            "InvokeModel",
            {**OWN, "tools": [{"name": "t", "cache_control": {}}]},
            "cache_control",
        ),
        (CLAUDE, "InvokeModel", {**OWN, "cache_control": {}}, "cache_control"),
        (
            NOVA,
            "Converse",
            {"messages": [{"role": "user", "content": [{"text": "x"}, POINT]}]},
            "cachePoint",
        ),
        (NOVA, "Converse", {"messages": UNTYPED, "system": [{"text": "x"}, POINT]}, "cachePoint"),
        (
            NOVA,
            "InvokeModel",
            {"messages": UNTYPED, "system": [{"text": "x", "cachePoint": {}}]},
            "cachePoint",
        ),
    ],
)
def test_a_cache_point_is_found_where_it_can_be(
    model: str, kind: str, body: dict[str, Any], name: str
) -> None:
    bodies = Bodies.of(model, kind)
    assert name in str(bodies.cache_fault(body))
    assert bodies.faults(body) == []


def test_the_rules_can_be_turned_off() -> None:
    assert Model(alias="a", model_id=CLAUDE, limit=1).bodies == Bodies(claude=True)
    [off] = parse_models(
        '{"a": {"model_id": "anthropic.claude-x", "limit": 1, "check_bodies": false}}'
    ).values()
    assert off.bodies is None
    with pytest.raises(ValueError, match="check_bodies must be true or false"):
        parse_models('{"a": {"model_id": "m", "limit": 1, "check_bodies": "no"}}')
