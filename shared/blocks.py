"""The bytes of an input as blocks of whole lines; a line that is too long is made small while it
streams by. Pure.
"""

import codecs
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from bbq.shared.json_text import FAST, not_json

BLOCK_BYTES = 256 * 1024
# a longer line is made small before it is parsed; well formed ones hold images or documents
LONG_LINE_BYTES = 1024**2
LONG_STRING = 256  # characters; a longer string in a long line gives way to its digest
# characters of a long line without its long strings; parsing may need thirty times as much memory
MAX_STRUCTURE = 4 * 1024**2


def blocks(chunks: Iterable[bytes], long_line_bytes: int) -> "Iterator[bytes | LongLine]":
    """Whole lines, without the last newline, in blocks; lines of more than `long_line_bytes` by
    themselves.
    """
    held: list[bytes] = []  # the beginning of a line whose end has not come
    size = 0
    long: LongLine | None = None
    for piece in _pieces(chunks, min(BLOCK_BYTES, long_line_bytes)):
        start = 0
        if long or size + len(piece) > long_line_bytes:
            newline = piece.find(b"\n")
            end = newline if newline >= 0 else len(piece)
            if not long and size + end > long_line_bytes:
                long = LongLine(held)
                held, size = [], 0
            if long:
                long.feed(piece[:end])
                if newline < 0:
                    continue
                yield long.end()
                long, start = None, newline + 1
        newline = piece.rfind(b"\n", start)
        if newline >= 0:
            yield b"".join([*held, piece[start:newline]])
            held, size, start = [], 0, newline + 1
        if start < len(piece):
            held.append(piece[start:])
            size += len(piece) - start
    if long:
        yield long.end()
    elif held:
        yield b"".join(held)


def _pieces(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), most):
            yield chunk[start : start + most]


_OPEN_ESCAPE = re.compile(r"(?:\\u[dD][89abAB]..)?(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
_LONGEST_OPEN_ESCAPE = 11


class LongLine:
    """A line made small while it streams by: each string over LONG_STRING characters, once checked,
    becomes its digest.

    What remains is valid JSON exactly if the line is. Once a problem is found or MAX_STRUCTURE is
    passed, the rest is skipped.
    """

    def __init__(self, held: Iterable[bytes]) -> None:
        self.problem: str | None = None
        self.lone_surrogate = False
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._carry = ""  # an escape whose end has not come
        self._kept = io.StringIO()
        self._kept_size = 0
        self._in_string = False
        self._string: list[str] = []  # what was read of the open string, until it is long
        self._string_size = 0
        self._hash: Any = None  # of the open string, once it is long
        for data in held:
            self.feed(data)

    @property
    def text(self) -> str:
        """What remains of the line."""
        return "" if self.problem else self._kept.getvalue()

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """More of the line."""
        if self.problem:
            return
        try:
            self._feed_text(self._carry + self._decode(data, last), last=last)
        except UnicodeDecodeError:
            self.problem = "is not UTF-8"
        except json.JSONDecodeError as error:
            self.problem = not_json(error, None)

    def end(self) -> "LongLine":
        """The line is over."""
        self.feed(b"", last=True)
        return self

    def _feed_text(self, text: str, *, last: bool) -> None:
        # Same length, without escaped backslashes and quotes: every quote left begins or ends a
        # string. Should an escape stand outside of a string, it is kept, and no parser takes it.
        plain = text.replace(r"\\", "__").replace(r"\"", "__") if "\\" in text else text
        until = len(text)
        if not last and (cut := _OPEN_ESCAPE.search(plain, max(0, until - _LONGEST_OPEN_ESCAPE))):
            until = cut.start()
        self._carry = text[until:]
        start = 0
        while start < until and not self.problem:
            quote = plain.find('"', start, until)
            end = quote if quote >= 0 else until
            (self._extend_string if self._in_string else self._keep)(text[start:end])
            if quote >= 0:
                if self._in_string:
                    self._close_string()
                self._in_string = not self._in_string
                self._keep('"')
            start = end + 1

    def _keep(self, text: str) -> None:
        self._kept_size += len(text)
        if self._kept_size > MAX_STRUCTURE:
            self.problem = (
                f"holds more than {MAX_STRUCTURE:,} characters without its long strings: make "
                "several records of it"
            )
            self._kept = io.StringIO()
        else:
            self._kept.write(text)

    def _extend_string(self, text: str) -> None:
        self._string_size += len(text)
        if self._string_size <= LONG_STRING:
            self._string.append(text)
            return
        if self._hash is None:
            self._hash = hashlib.blake2b(digest_size=16)
        content, _ = FAST.raw_decode(f'"{"".join(self._string)}{text}"')
        self._string = []
        try:
            self._hash.update(content.encode())
        except UnicodeEncodeError:
            self.lone_surrogate = True
            self._hash.update(content.encode(errors="surrogatepass"))

    def _close_string(self) -> None:
        self._keep(self._hash.hexdigest() if self._hash else "".join(self._string))
        self._string, self._string_size, self._hash = [], 0, None
