"""Bodies that no model answers: what is documented or recorded to fail in every record. Pure.

Bedrock looks into the records only when it runs them. Such a job waits, takes a slot, and ends
Completed with an error for each record (recorded 2026-07, cequence-io/openai-scala-client, for
`cache_control`), so intake says it first. A rule stands here only with its source; what is merely
unusual passes. The rules can age: `check_bodies = false` of a model turns them off.

- Claude's own body has `anthropic_version` and `max_tokens` (Bedrock user guide, "Anthropic Claude
  Messages API").
- A type has one kind of body: InvokeModel the model's own, Converse that of a Converse request
  (Bedrock user guide, "Format and upload your batch data").
- `modelId` is in no body: "Extra inputs are not permitted" (recorded 2026, maximhq/bifrost PR
  #4516).
- `stream` is in no body of Claude and of Converse (Bedrock API reference); bodies of other models
  may have it.
- Batch inference calls no tools: no `toolConfig` (Bedrock user guide, "Process multiple prompts
  with batch inference").
- No cache points: "... your request did not allow prompt caching", for every record (recorded
  2026-07, as above).

The names at the top of a body decide everything but cache points: the inspection looks at each set
of names once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CLAUDE_VERSION = "bedrock-2023-05-31"

# no member of a Converse request
_OF_INVOKE_MODEL = ("anthropic_version", "max_tokens", "inputText", "prompt")
# no member of a Claude body
_OF_CONVERSE = ("inferenceConfig", "toolConfig", "additionalModelRequestFields")
_SWITCH = "or an operator sets the model's invocation_type to"


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """The rules for the bodies of one model. For a model that its id does not tell (an application
    profile's), only what holds for every model.
    """

    claude: bool = False
    converse: bool = False

    @classmethod
    def of(cls, model_id: str, invocation_type: str) -> "Bodies":
        """Of a model as it is configured."""
        return cls(claude="anthropic.claude" in model_id, converse=invocation_type == "Converse")

    @property
    def cache_mark(self) -> str:
        """The name of a cache point as JSON text: a record without it has none. Long needles are
        found faster.
        """
        return f'"{self._cache_name}"'

    @property
    def _cache_name(self) -> str:
        return "cachePoint" if self.converse or not self.claude else "cache_control"

    def faults(self, body: Mapping[str, Any]) -> list[str]:
        """What is wrong with the members of a body. None is found or not by anything but their
        names.
        """
        found = (
            ["modelInput holds modelId: leave it out, the job names the model"]
            if "modelId" in body
            else []
        )
        if "stream" in body and (self.claude or self.converse):
            found.append("modelInput holds stream: leave it out, a batch is not streamed")
        if self.converse:
            found += _converse_faults(body)
        elif self.claude and "prompt" not in body:  # the old text completions have another body
            found += _claude_faults(body)
        return found

    def cache_fault(self, body: Mapping[str, Any]) -> str | None:
        """That it sets a cache point: in its messages, its system prompt, its tools or itself."""
        name = self._cache_name
        if any(name in part for part in _parts(body)):
            return (
                f"modelInput holds {name}: leave it out, batch inference does not allow prompt "
                "caching"
            )
        return None


def _converse_faults(body: Mapping[str, Any]) -> Iterator[str]:
    if name := next((name for name in _OF_INVOKE_MODEL if name in body), None):
        yield (
            f"modelInput is a body of InvokeModel ({name}), and the model is set to Converse: "
            "write the body of a Converse "
            f"request, {_SWITCH} InvokeModel"
        )
    if "toolConfig" in body:
        yield "modelInput holds toolConfig: leave it out, batch inference does not call tools"


def _claude_faults(body: Mapping[str, Any]) -> Iterator[str]:
    sign = next((name for name in _OF_CONVERSE if name in body), None)
    if sign or ("anthropic_version" not in body and _has_untyped_block(body)):
        yield (
            f"modelInput is a body of Converse ({sign or 'content without type'}), and the model "
            "is set to InvokeModel: write "
            f"Claude's own body, {_SWITCH} Converse"
        )
        return
    if "anthropic_version" not in body:
        yield (
            'modelInput has no anthropic_version: Claude needs "anthropic_version": '
            f'"{CLAUDE_VERSION}"'
        )
    if "max_tokens" not in body:
        yield "modelInput has no max_tokens: Claude needs it"


def _has_untyped_block(body: Mapping[str, Any]) -> bool:
    """Whether a content block is `{"text": ...}`, as Converse has it; Claude's own blocks have a
    `type`.
    """
    return any("text" in part and "type" not in part for part in _parts(body))


def _parts(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The body, and each object in its system prompt, its tools and the content of its messages."""
    yield body
    lists = [body.get("system"), body.get("tools"), body.get("messages")]
    lists += [message.get("content") for message in _objects(body.get("messages"))]
    for each in lists:
        yield from _objects(each)


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
