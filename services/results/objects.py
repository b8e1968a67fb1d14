"""S3 as settle and assemble need it, and the lines of an object. The real one is wired elsewhere;
tests and the bench have files.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

Write = Callable[[bytes], object]


class Missing(Exception):
    """There is no such object. Whoever misses one reads the upload again: it may be finished, and
    its files expired (races.md, R76).
    """


class Objects(Protocol):
    """One bucket."""

    def read(self, key: str, start: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes from `start` on, in chunks of about 1 MB, which bound the memory of a reader.
        Raises Missing.
        """

    def write(self, key: str) -> AbstractContextManager[Write]:
        """A new object, in pieces of any size. Readers see it when the block is left without an
        exception, whole, and over an older one; else never.
        """


def lines(chunks: Iterable[bytes], most: int | None = None) -> Iterator[bytes]:
    """The lines, without their newline. Split at "\\n" only: text may hold U+2028 and the like.

    A line of more than `most` bytes is cut there, so that nobody holds it.
    """
    held: list[bytes] = []  # the beginning of a line whose end has not come
    size = 0
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        if whole:
            held.append(whole[0])
            whole[0] = b"".join(held)
            held, size = [], 0
            yield from whole if most is None else (line[:most] for line in whole)
        if most is not None:
            rest = rest[: most - size]
        if rest:
            held.append(rest)
            size += len(rest)
    if held:
        yield b"".join(held)
