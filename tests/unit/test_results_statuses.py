"""The table of stop reasons, tokens and errors, family by family."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbq.services.results.statuses import RANK, Status, Tokens, answer, error, replaces
from tests.support.recorded import recorded

MESSAGE = {"message": {"role": "assistant", "content": [{"text": "hi"}]}}


def converse(stop: str, **usage: int) -> dict[str, Any]:
    return {"output": MESSAGE, "stopReason": stop, "usage": usage, "metrics": None}


def claude(stop: str | None, **usage: int) -> dict[str, Any]:
    return {"id": "m", "type": "message", "content": [], "stop_reason": stop, "usage": usage}


def openai(*stops: str | None, **usage: Any) -> dict[str, Any]:
    choices = [{"index": 0, "message": {"content": "a"}, "finish_reason": stop} for stop in stops]
    return {"id": "c", "choices": choices, "usage": usage}


def titan(stop: str) -> dict[str, Any]:
    result = {"tokenCount": 7, "outputText": "a", "completionReason": stop}
    return {"inputTextTokenCount": 5, "results": [result]}


def llama(stop: str) -> dict[str, Any]:
    return {
        "generation": "a",
        "prompt_token_count": 5,
        "generation_token_count": 7,
        "stop_reason": stop,
    }


def mistral(stop: str) -> dict[str, Any]:
    return {"outputs": [{"text": "a", "stop_reason": stop}]}


def command(stop: str) -> dict[str, Any]:
    return {"generations": [{"text": "a", "finish_reason": stop}], "id": "c"}


def command_r(stop: str) -> dict[str, Any]:
    billed = {"billed_units": {"input_tokens": 5, "output_tokens": 7.0}}
    return {"text": "a", "finish_reason": stop, "meta": billed}


REFUSAL = {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}
ANSWERS = [
    ("succeeded", converse("end_turn")),
    ("succeeded", converse("tool_use")),
    ("truncated", converse("max_tokens")),
    ("truncated", converse("model_context_window_exceeded")),
    ("withheld", converse("guardrail_intervened")),
    ("withheld", converse("content_filtered")),
    ("succeeded", claude("end_turn")),
    ("succeeded", claude("stop_sequence")),
    ("truncated", claude("max_tokens")),
    ("withheld", claude("refusal")),
    ("withheld", {**claude("end_turn"), "amazon-bedrock-guardrailAction": "INTERVENED"}),
    ("succeeded", {**claude("end_turn"), "amazon-bedrock-guardrailAction": "NONE"}),
    ("succeeded", {"completion": "a", "stop_reason": "stop_sequence"}),
    ("truncated", {"completion": "a", "stop_reason": "max_tokens"}),
    ("succeeded", openai("stop")),
    ("truncated", openai("length")),
    ("truncated", openai("stop", "length")),
    ("withheld", openai("content_filter", "length", "stop")),
    ("withheld", REFUSAL),
    ("truncated", {"choices": [{"message": {}, "stop_reason": "length"}]}),
    ("succeeded", {"choices": [{"finish_reason": "stop", "stop_reason": "\n\n"}]}),
    ("succeeded", titan("FINISH")),
    ("truncated", titan("LENGTH")),
    ("withheld", titan("CONTENT_FILTERED")),
    ("succeeded", {"embedding": [0.1], "inputTextTokenCount": 3}),
    ("succeeded", llama("stop")),
    ("truncated", llama("length")),
    ("succeeded", mistral("stop")),
    ("truncated", mistral("length")),
    ("succeeded", command("COMPLETE")),
    ("truncated", command("MAX_TOKENS")),
    ("withheld", command("ERROR_TOXIC")),
    ("succeeded", command_r("COMPLETE")),
    ("truncated", command_r("MAX_TOKENS")),
    ("succeeded", {"embeddings": [[0.1]], "id": "c"}),
]


@pytest.mark.parametrize(("status", "output"), ANSWERS)
def test_a_known_answer_is_what_its_stop_reason_says(status: str, output: dict[str, Any]) -> None:
    found = answer(output)
    assert (found.status, found.known) == (status, True)


@pytest.mark.parametrize(
    "output",
    [
        {},
        [],
        "text",
        17,
        False,
        {"video": "s3://a"},
        converse("tired"),
        claude(None),
        {"content": [], "stop_reason": 5},
        openai(),
        openai("stop", "tired"),
        {"choices": "none", "usage": []},
        {"results": None, "inputTextTokenCount": None},
    ],
)
def test_an_unknown_answer_succeeded_and_is_counted(output: Any) -> None:
    found = answer(output)
    assert (found.status, found.known) == (Status.SUCCEEDED, False)


@pytest.mark.parametrize(
    ("output", "tokens"),
    [
        (converse("end_turn", inputTokens=1, outputTokens=2, totalTokens=3), Tokens(1, 2)),
        (
            converse("end_turn", inputTokens=1, cacheReadInputTokens=4, cacheWriteInputTokens=5),
            Tokens(1, 0, 4, 5),
        ),
        (
            converse("end_turn", cacheReadInputTokenCount=4, cacheWriteInputTokenCount=5),
            Tokens(0, 0, 4, 5),
        ),
        (
            claude(
                "end_turn",
                input_tokens=1,
                output_tokens=2,
                cache_read_input_tokens=3,
                cache_creation_input_tokens=4,
            ),
            Tokens(1, 2, 3, 4),
        ),
        (
            openai(
                "stop",
                prompt_tokens=10,
                completion_tokens=2,
                prompt_tokens_details={"cached_tokens": 4},
            ),
            Tokens(6, 2, 4),
        ),
        (titan("FINISH"), Tokens(5, 7)),
        ({"embedding": [0.1], "inputTextTokenCount": 3}, Tokens(3)),
        (llama("stop"), Tokens(5, 7)),
        (command_r("COMPLETE"), Tokens(5, 7)),
        (mistral("stop"), Tokens()),
        (claude("end_turn", input_tokens=-1, output_tokens=2**60), Tokens()),
        ({**claude("end_turn"), "usage": {"input_tokens": True, "output_tokens": "9"}}, Tokens()),
        ({**claude("end_turn"), "usage": None}, Tokens()),
    ],
)
def test_tokens_are_those_of_the_shape(output: dict[str, Any], tokens: Tokens) -> None:
    assert answer(output).tokens == tokens


@pytest.mark.parametrize(
    ("status", "value"),
    [
        ("failed", {"errorCode": 400, "errorMessage": "bad request"}),
        ("failed", {"errorCode": 400, "errorMessage": "a", "expired": False, "retryable": False}),
        ("failed", {"errorCode": 403}),
        ("failed", {"errorCode": 404}),
        ("failed", {"errorCode": "ValidationException"}),
        ("failed", {"errorCode": None, "errorMessage": None}),
        ("failed", {"errorCode": 600}),
        ("failed", {"errorCode": True}),
        ("failed", {}),
        ("failed", "it broke"),
        ("failed", []),
        ("transient", {"errorCode": 429}),
        ("transient", {"errorCode": "429"}),
        ("transient", {"errorCode": 429.0}),
        ("transient", {"errorCode": 408}),
        ("transient", {"errorCode": 424}),
        ("transient", {"errorCode": 500}),
        ("transient", {"errorCode": 503}),
        ("transient", {"errorCode": 599}),
        ("transient", {"code": "ThrottlingException", "message": "slow down"}),
        ("transient", {"errorCode": 400, "expired": True}),
        ("transient", {"errorCode": 400, "retryable": True}),
        (
            "withheld",
            {
                "errorCode": 400,
                "errorMessage": "This request has been blocked by our content filters.",
            },
        ),
    ],
)
def test_an_error_passes_or_would_come_again(status: str, value: Any) -> None:
    assert error(value).status == status


def test_recorded_lines_are_known() -> None:
    rows = recorded("output-lines")["rows"]
    lines = [row["line"] for row in rows if "line" in row]
    outputs = [line["modelOutput"] for line in lines if "modelOutput" in line]
    outputs += [row["modelOutput"] for row in rows if "modelOutput" in row]
    assert [(answer(one).status, answer(one).known) for one in outputs] == [("succeeded", True)] * 2
    assert answer(outputs[0]).tokens == Tokens(1, 1)
    assert [error(line["error"]).status for line in lines if "error" in line] == ["failed"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "content",
                        "stop_reason",
                        "choices",
                        "usage",
                        "output",
                        "stopReason",
                        "results",
                        "finish_reason",
                        "message",
                        "errorCode",
                        "input_tokens",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
    )
)
def test_any_value_is_something(value: Any) -> None:
    assert answer(value).status in {"succeeded", "truncated", "withheld"}
    assert error(value).status in {"failed", "transient", "withheld"}


def test_what_was_answered_is_replaced_only_by_as_much() -> None:
    better = {(later, earlier) for later in RANK for earlier in RANK if replaces(later, earlier)}
    assert {later for later, held in better if held == "succeeded"} == {"succeeded"}
    assert {later for later, held in better if held == "truncated"} == {"succeeded", "truncated"}
    answered = {"succeeded", "truncated", "withheld"}
    assert {later for later, held in better if held == "withheld"} == answered
    errors = {"succeeded", "truncated", "withheld", "failed", "transient"}
    assert {later for later, held in better if held == "failed"} == errors
    assert {later for later, held in better if held == "transient"} == errors
    assert {later for later, held in better if held == "missing"} == errors | {"missing"}
