"""The bytes of an input as blocks of whole lines; a line that is too long is made small while it
streams by. Pure.
"""

import codecs
import hashlib
import io
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

from bbq.shared.json_text import FAST, not_json

BLOCK_BYTES = 256 * 1024
# a longer line is made small before it is parsed; well formed ones hold images or documents
LONG_LINE_BYTES = 1024**2
LONG_STRING = 256  # characters; a longer string in a long line gives way to its digest
# characters of a long line without its long strings; parsing may need thirty times as much memory
MAX_STRUCTURE = 4 * 1024**2


class LineTooLong(Exception):
    """A line is longer than the reader takes."""


def blocks(
    chunks: Iterable[bytes],
    long_line_bytes: int,
    *,
    keep: bool = False,
    max_line_bytes: int | None = None,
) -> "Iterator[bytes | LongLine]":
    """Whole lines, without the last newline, in blocks; lines of more than `long_line_bytes` by
    themselves, and as they were if asked to `keep` them. Raises LineTooLong.
    """
    held: list[memoryview] = []  # the beginning of a line whose end has not come
    size = 0
    long: LongLine | None = None
    for chunk, start, stop in _pieces(chunks, min(BLOCK_BYTES, long_line_bytes)):
        # what is joined is copied once: a slice of a view copies nothing
        at, view = start, memoryview(chunk)
        if long or size + stop - start > long_line_bytes:
            newline = chunk.find(b"\n", start, stop)
            end = newline if newline >= 0 else stop
            if not long and size + end - start > long_line_bytes:
                long = LongLine(map(bytes, held), keep=keep, max_bytes=max_line_bytes)
                held, size = [], 0
            if long:
                long.feed(chunk[start:end])
                if newline < 0:
                    continue
                yield long.end()
                long, at = None, newline + 1
        newline = chunk.rfind(b"\n", at, stop)
        if newline >= 0:
            yield b"".join([*held, view[at:newline]])
            held, size, at = [], 0, newline + 1
        if at < stop:
            held.append(view[at:stop])
            size += stop - at
    if long:
        yield long.end()
    elif held:
        yield b"".join(held)


def _pieces(chunks: Iterable[bytes], most: int) -> Iterator[tuple[bytes, int, int]]:
    for chunk in chunks:
        for start in range(0, len(chunk), most):
            yield chunk, start, min(start + most, len(chunk))


_OPEN_ESCAPE = re.compile(r"(?:\\u[dD][89abAB]..)?(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
_LONGEST_OPEN_ESCAPE = 11


class LongLine:
    """A line made small while it streams by: each string over LONG_STRING characters, once checked,
    becomes its digest.

    What remains is valid JSON exactly if the line is. Once a problem is found or MAX_STRUCTURE is
    passed, the rest is skipped.
    """

    def __init__(
        self, held: Iterable[bytes], *, keep: bool = False, max_bytes: int | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self.problem: str | None = None
        self.size = 0  # bytes
        self.whole: list[bytes] = []  # the line as it came, if it is kept
        self._keep_whole = keep
        self.lone_surrogate = False
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._carry = ""  # an escape whose end has not come
        self._kept = io.StringIO()
        self._kept_size = 0
        # (end of a digest in what remains, bytes that the line lost until there)
        self._lost: list[tuple[int, int]] = []
        self._in_string = False
        self._string: list[str] = []  # what was read of the open string, until it is long
        self._string_size = self._string_bytes = 0
        self._hash: Any = None  # of the open string, once it is long
        for data in held:
            self.feed(data)

    @property
    def text(self) -> str:
        """What remains of the line."""
        return "" if self.problem else self._kept.getvalue()

    def byte_at(self, position: int) -> int:
        """Which byte of the line the character at `position` of what remains is."""
        at = bisect_right(self._lost, position, key=itemgetter(0))
        lost = self._lost[at - 1][1] if at else 0
        return len(self.text[:position].encode()) + lost

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """More of the line. Raises LineTooLong."""
        self.size += len(data)
        if self._max_bytes is not None and self.size > self._max_bytes:
            raise LineTooLong
        if self._keep_whole:
            self.whole.append(data)
        if self.problem:
            return
        text, broken = "", False
        try:
            text = self._decode(data, last)
        except UnicodeDecodeError as error:
            # what stands before it comes first, however the line was cut into chunks
            text, broken = error.object[: error.start].decode(), True
        try:
            self._feed_text(self._carry + text, last=last)
        except json.JSONDecodeError as error:
            self.problem = not_json(error, None)
        if broken and not self.problem:
            self.problem = "is not UTF-8"

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
        self._string_bytes += len(text) if text.isascii() else len(text.encode())
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
        if self._hash:
            digest = self._hash.hexdigest()
            self._keep(digest)
            before = self._lost[-1][1] if self._lost else 0
            self._lost.append((self._kept_size, before + self._string_bytes - len(digest)))
        else:
            self._keep("".join(self._string))
        self._string, self._string_size, self._string_bytes, self._hash = [], 0, 0, None
