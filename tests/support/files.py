"""Objects of a bucket as files of a folder, for tests and the bench of settle and assemble."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bbq.services.results.objects import Missing, Write

CHUNK_BYTES = 1024**2


class Files:
    """See services/results/objects.py, Objects. `chunk_bytes`: how S3 would cut what is read."""

    def __init__(self, root: Path, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.root = root
        self.chunk_bytes = chunk_bytes
        self.opened: list[tuple[str, int]] = []

    @contextmanager
    def read(self, key: str, start: int = 0) -> Iterator[Iterator[bytes]]:
        self.opened.append((key, start))
        try:
            file = (self.root / key).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise Missing(key) from error
        with file:
            file.seek(start)
            yield iter(lambda: file.read(self.chunk_bytes), b"")

    @contextmanager
    def write(self, key: str) -> Iterator[Write]:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.draft")
        try:
            with draft.open("wb") as file:
                yield file.write
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
