"""The usual record, recognised by two patterns around one call of the C scanner, straight in the
block: what makes the reader as fast as a parser. Pure.

It only ever takes what is fit; the first line that looks different is left to the careful way of
reader.py. One scan may run on over the end of a line (newlines are white space to JSON); that ends
the usual way for this block, so a block is never read more than twice.
"""

import re
from dataclasses import dataclass
from typing import Any

from bbq.shared.bodies import Bodies
from bbq.shared.json_text import SCAN, is_plain, may_hold_lone_surrogate

LARGE_CHARACTERS = 3000  # of a record
MAX_SHAPES = 256  # sets of names of bodies that are remembered as good; a file usually has one


@dataclass(frozen=True, slots=True)
class Run:
    """Records of the usual form on consecutive lines, `text[:end]`, without the last newline. If
    the text is ASCII, `data` is the same, place by place.

    `ids` says where the value of each one's recordId stands in `text`; it is empty, behind the
    object's brace, for a record that has none.
    """

    text: str
    data: bytes
    end: int
    first: int
    ids: list[tuple[int, int]]

    @property
    def size(self) -> int:
        """Bytes, without the last newline."""
        return utf8_size(self.text, 0, self.end)


class BodyRules:
    """Looks at each set of names of a body once (bodies.py). Without rules, there are no faults."""

    def __init__(self, bodies: Bodies | None) -> None:
        self.bodies = bodies
        self.mark = bodies.cache_mark if bodies is not None else ""
        self.good_shapes: set[tuple[str, ...]] = set()

    def faults(self, body: dict[str, Any], *, cache: bool) -> list[str]:
        """What is wrong with a body. `cache`: the mark of cache points is in its text."""
        if self.bodies is None:
            return []
        faults = self.bodies.faults(body)
        if not faults and len(self.good_shapes) < MAX_SHAPES:
            self.good_shapes.add(tuple(body))
        if cache and (fault := self.bodies.cache_fault(body)):
            faults.append(fault)
        return faults


class Usual:
    """Takes usual records. With `any_id`, an id may be no string."""

    def __init__(self, rules: BodyRules, *, any_id: bool) -> None:
        self._rules = rules
        self._head = _HEAD_OF_ANY_ID if any_id else _HEAD
        self._tail = _TAIL_OF_ANY_ID if any_id else _TAIL

    def records(  # noqa: C901, PLR0912 - one loop: a call for each record would cost a tenth of it
        self, text: str, data: bytes, first: int, most: int
    ) -> Run:
        """Those at the start of a block whose first line is number `first`; `most` at most."""
        start, size, ids = 0, len(text), list[tuple[int, int]]()
        head_at, tail_at, take = self._head.match, self._tail.match, ids.append
        rules, mark, good_shapes = self._rules, self._rules.mark, self._rules.good_shapes
        searched = marked = False
        while start <= size and len(ids) < most:
            head = head_at(text, start)
            if head is None:
                break
            try:
                body, end = SCAN(text, head.end())
            except (ValueError, StopIteration, RecursionError):
                break
            # is it free of cache points and halves of surrogate pairs? Seen by a walk through a
            # large body, and for small ones in the block, which costs less
            plain = end - start >= LARGE_CHARACTERS and is_plain(body, mark)
            if not plain and not searched:
                if may_hold_lone_surrogate(text):
                    break
                searched, marked = True, mark != "" and mark in text
            id_at = head.span(1)
            if text.startswith("}\n", end):
                stop = end + 1
            else:
                tail = tail_at(text, end)
                if tail is None or (tail.start(1) >= 0 and id_at[0] >= 0):
                    break
                stop = tail.end()
                if id_at[0] < 0:
                    id_at = tail.span(1)
            if text.find("\n", start, end) >= 0:
                break
            if mark:
                cache = marked and not plain and text.find(mark, start, end) >= 0
                if (cache or tuple(body) not in good_shapes) and rules.faults(body, cache=cache):
                    break
            if id_at[0] < 0:
                brace = text.index("{", start) + 1
                id_at = (brace, brace)
            take(id_at)
            start = stop + 1
        return Run(text, data, start - 1, first, ids)


# The usual record: `{"recordId": "...", "modelInput": ` and, behind the object, `}`; or the id
# behind it. Only spaces and tabs in between, never a newline.
def _patterns(value: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    member = rf'"recordId"[ \t]*:[ \t]*({value})[ \t]*'
    return (
        re.compile(rf'[ \t]*\{{[ \t]*(?:{member},[ \t]*)?"modelInput"[ \t]*:[ \t]*(?=\{{)'),
        re.compile(rf"[ \t]*(?:,[ \t]*{member})?\}}[ \t\r]*(?=\n|\Z)"),
    )


# Ids with escapes are left to the careful way, because they are compared. Where they only have to
# be found, that is also done for what json.dumps makes of unicode (but for surrogates), and for
# numbers.
_HEAD, _TAIL = _patterns(r'"[^"\\\x00-\x1f]*"')
_HEAD_OF_ANY_ID, _TAIL_OF_ANY_ID = _patterns(
    r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
    r"|-?(?:0|[1-9][0-9]*)|null"
)


def utf8_size(text: str, start: int, end: int) -> int:
    """Bytes of `text[start:end]` as UTF-8."""
    return end - start if text.isascii() else len(text[start:end].encode())
