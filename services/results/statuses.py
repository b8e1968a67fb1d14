"""What a record's answer is: the one table of stop reasons, token counts and errors. Pure.

| status | what it says | in the result |
|---|---|---|
| succeeded | the model ended by itself | the answer |
| truncated | the model's own stop reason says that the answer is not whole | the answer |
| withheld | a filter, a guardrail or the model itself refused | the answer, or an error |
| failed | an error that would come again (400 and the like) | the error |
| transient | an error that may pass, so the record runs again | nothing: it becomes another one |
| missing | no line of the output answers the record; it runs again | the same |
| not_run | the upload was cancelled before there was an answer | an error of ours |
| invalid | the line was never sent | an error of ours |

Shapes and words: Bedrock user guide, "Inference request parameters and response fields" of each
family, and "Converse" of the API reference; recorded are only Claude, Nova, Titan's embeddings and
`length` of gpt-oss (recorded.md, 1.4). The rest is UNVERIFIED until it was seen in a batch. A shape
or a word that is not here is `succeeded`, and counted: something was answered and paid for, and
buying it again would be a guess.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Of a record. `transient` and `missing` are never in a result."""

    SUCCEEDED = "succeeded"
    TRUNCATED = "truncated"
    WITHHELD = "withheld"
    FAILED = "failed"
    TRANSIENT = "transient"
    MISSING = "missing"
    NOT_RUN = "not_run"
    INVALID = "invalid"


# Which of two outcomes of one record is better. With answers of one job the better one counts; in
# the next job's (a mend, a retry) also an equal one replaces the older, see `replaces`.
RANK = {
    Status.SUCCEEDED: 0,
    Status.TRUNCATED: 1,
    Status.WITHHELD: 2,
    Status.FAILED: 3,
    Status.TRANSIENT: 4,
    Status.MISSING: 5,
}


def replaces(later: Status, earlier: Status) -> bool:
    """Whether the outcome of a later job replaces that of an earlier one. What was answered and
    paid for is never replaced by less; of two errors the last one counts, and no line at all is
    none.
    """
    errors = {Status.FAILED, Status.TRANSIENT}
    return RANK[later] <= RANK[earlier] or {later, earlier} <= errors


@dataclass(frozen=True, slots=True)
class Tokens:
    """`input` and `output` without what was read from or written to a cache, which has other
    prices.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
        )

    def __sub__(self, other: "Tokens") -> "Tokens":
        return self + Tokens(-other.input, -other.output, -other.cache_read, -other.cache_write)


Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """How models of one kind answer. Paths go through the members of objects and all items of
    lists; the first that leads to something counts. An answer is of the first family of which it
    has all `signs`. `stops`: none if such answers have no stop reason.
    """

    name: str
    signs: Sequence[str]
    stops: Sequence[Path] = ()
    input: Sequence[Path] = ()
    output: Sequence[Path] = ()
    cache_read: Sequence[Path] = ()
    cache_write: Sequence[Path] = ()
    input_holds_cached: bool = False


FAMILIES = (
    Family(
        name="Converse, and Nova by InvokeModel",
        signs=("output", "stopReason"),
        stops=(("stopReason",),),
        input=(("usage", "inputTokens"),),
        output=(("usage", "outputTokens"),),
        cache_read=(("usage", "cacheReadInputTokens"), ("usage", "cacheReadInputTokenCount")),
        cache_write=(("usage", "cacheWriteInputTokens"), ("usage", "cacheWriteInputTokenCount")),
    ),
    Family(
        name="Claude, messages",
        signs=("content", "stop_reason"),
        stops=(("stop_reason",),),
        input=(("usage", "input_tokens"),),
        output=(("usage", "output_tokens"),),
        cache_read=(("usage", "cache_read_input_tokens"),),
        cache_write=(("usage", "cache_creation_input_tokens"),),
    ),
    Family(name="Claude, text completions", signs=("completion",), stops=(("stop_reason",),)),
    Family(
        name="OpenAI, and what is shaped so: gpt-oss, Qwen, DeepSeek, Mistral's chat, Jamba",
        signs=("choices",),
        stops=(("choices", "finish_reason"), ("choices", "stop_reason")),
        input=(("usage", "prompt_tokens"),),
        output=(("usage", "completion_tokens"),),
        cache_read=(("usage", "prompt_tokens_details", "cached_tokens"),),
        input_holds_cached=True,
    ),
    Family(
        name="Titan Text",
        signs=("results", "inputTextTokenCount"),
        stops=(("results", "completionReason"),),
        input=(("inputTextTokenCount",),),
        output=(("results", "tokenCount"),),
    ),
    Family(
        name="Titan's embeddings",
        signs=("embedding",),
        input=(("inputTextTokenCount",),),
    ),
    Family(
        name="Llama",
        signs=("generation",),
        stops=(("stop_reason",),),
        input=(("prompt_token_count",),),
        output=(("generation_token_count",),),
    ),
    Family(name="Mistral, text", signs=("outputs",), stops=(("outputs", "stop_reason"),)),
    Family(
        name="Cohere Command",
        signs=("generations",),
        stops=(("generations", "finish_reason"),),
        input=(("meta", "billed_units", "input_tokens"),),
        output=(("meta", "billed_units", "output_tokens"),),
    ),
    Family(
        name="Cohere Command R",
        signs=("text", "finish_reason"),
        stops=(("finish_reason",),),
        input=(("meta", "billed_units", "input_tokens"),),
        output=(("meta", "billed_units", "output_tokens"),),
    ),
    Family(name="Cohere Embed", signs=("embeddings",)),
)

# In lower case.
STOP_REASONS = {
    **dict.fromkeys(
        (
            *("end_turn", "stop_sequence", "tool_use", "stop", "tool_calls", "function_call"),
            *("finish", "finished", "stop_criteria_met", "complete", "eos"),
        ),
        Status.SUCCEEDED,
    ),
    **dict.fromkeys(
        (
            *("max_tokens", "length", "model_context_window_exceeded", "error_limit"),
            # the model broke off
            *("pause_turn", "malformed_model_output", "malformed_tool_use", "error", "user_cancel"),
        ),
        Status.TRUNCATED,
    ),
    **dict.fromkeys(
        (
            *("content_filtered", "content_filter", "guardrail_intervened", "refusal"),
            *("error_toxic", "rag_query_when_rag_disabled"),
        ),
        Status.WITHHELD,
    ),
}

# A guardrail under InvokeModel: in the answer of every family (user guide, "Test your guardrail").
_GUARDRAIL_MEMBER, _GUARDRAIL_INTERVENED = "amazon-bedrock-guardrailAction", "INTERVENED"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a `modelOutput` is. `known`: shape and stop reason are in the table."""

    status: Status
    tokens: Tokens
    known: bool


def answer(output: Any) -> Answer:
    """What a `modelOutput` other than null is."""
    if not isinstance(output, dict):
        return Answer(Status.SUCCEEDED, Tokens(), known=False)
    family = next((one for one in FAMILIES if all(sign in output for sign in one.signs)), None)
    if family is None:
        status, known, tokens = Status.SUCCEEDED, False, Tokens()
    else:
        status, known = _stopped(family, output)
        tokens = _tokens(family, output)
    if output.get(_GUARDRAIL_MEMBER) == _GUARDRAIL_INTERVENED or _is_refused(output):
        status, known = Status.WITHHELD, True
    return Answer(status, tokens, known)


def _stopped(family: Family, output: Mapping[str, Any]) -> tuple[Status, bool]:
    """The worst of its stop reasons, and whether all of them are known."""
    if not family.stops:
        return Status.SUCCEEDED, True
    words = next((words for path in family.stops if (words := _words(output, path))), [])
    found = [STOP_REASONS.get(word.lower()) if isinstance(word, str) else None for word in words]
    known = [status for status in found if status]
    worst = max(known, key=RANK.__getitem__, default=Status.SUCCEEDED)
    return worst, bool(found) and len(known) == len(found)


def _words(output: Mapping[str, Any], path: Path) -> list[Any]:
    return [word for word in _at(output, path) if word is not None]


def _is_refused(output: Mapping[str, Any]) -> bool:
    """OpenAI's way: the stop reason is `stop`, and the message holds a refusal in place of text."""
    return any(_at(output, ("choices", "message", "refusal")))


def _tokens(family: Family, output: Mapping[str, Any]) -> Tokens:
    read, held = _sum(output, family.cache_read), _sum(output, family.input)
    return Tokens(
        input=max(0, held - read) if family.input_holds_cached else held,
        output=_sum(output, family.output),
        cache_read=read,
        cache_write=_sum(output, family.cache_write),
    )


def _sum(output: Mapping[str, Any], paths: Sequence[Path]) -> int:
    """Of the first path that has numbers."""
    for path in paths:
        numbers = [count for value in _at(output, path) if (count := _count(value)) is not None]
        if numbers:
            return sum(numbers)
    return 0


def _at(value: Any, path: Path) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _at(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _at(value[path[0]], path[1:])


_MAX_COUNT = 2**53  # what every reader of JSON can hold, and no record comes near


def _count(value: Any) -> int | None:
    """A count, also one that is written as 500.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _MAX_COUNT and value == int(value) else None


@dataclass(frozen=True, slots=True)
class Error:
    """What an `error` is. `code_name` and `message_name` are the members that say so; None if there
    is none.
    """

    status: Status
    code_name: str | None
    message_name: str | None


_CODE_NAMES, _MESSAGE_NAMES = ("errorCode", "code", "statusCode"), ("errorMessage", "message")
_TRANSIENT_CODES = frozenset({408, 424, 429})
_FIRST_SERVER_ERROR, _LAST_SERVER_ERROR = 500, 599
# Exceptions of InvokeModel and Converse that have these codes (API reference), in case they are
# named.
_TRANSIENT_NAMES = frozenset(
    {
        "ThrottlingException",
        "ModelTimeoutException",
        "ModelErrorException",
        "ModelNotReadyException",
        "InternalServerException",
        "ServiceUnavailableException",
        "ServiceQuotaExceededException",
    }
)
# "This request has been blocked by our content filters" (user guide of Titan's and Nova's images)
_BLOCKED = re.compile(r"blocked by (?:our )?content (?:filter|moderation)", re.IGNORECASE)


def error(value: Any) -> Error:
    """What an `error` other than null is. `{errorCode, errorMessage, expired, retryable}` is
    recorded (2026-01); anything else is read as well as it can be.
    """
    if not isinstance(value, dict):
        return Error(Status.FAILED, None, None)
    code_name = next((name for name in _CODE_NAMES if _is_code(value.get(name))), None)
    message_name = next((name for name in _MESSAGE_NAMES if value.get(name) is not None), None)
    code = value.get(code_name) if code_name else None
    if value.get("expired") is True or value.get("retryable") is True or _passes(code):
        status = Status.TRANSIENT
    elif message_name and _BLOCKED.search(str(value[message_name])):
        status = Status.WITHHELD
    else:
        status = Status.FAILED
    return Error(status, code_name, message_name)


def _is_code(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _passes(code: Any) -> bool:
    if isinstance(code, str):
        if code in _TRANSIENT_NAMES:
            return True
        code = int(code) if re.fullmatch(r"[0-9]{3}", code, re.ASCII) else None
    return code is not None and (
        code in _TRANSIENT_CODES or _FIRST_SERVER_ERROR <= code <= _LAST_SERVER_ERROR
    )
