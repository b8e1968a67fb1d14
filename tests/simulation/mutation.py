"""Put one of the mistakes of `mutants.py` into the production code, in this process only. Imports no production code itself."""

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def apply(name: str) -> None:
    """From now on, imports find the mutated modules. Must come before anything imports them."""
    from tests.simulation.mutants import MUTANTS  # noqa: PLC0415 - `mutants` uses this file's ROOT

    changed: dict[str, str] = {}
    for path, old, new in MUTANTS[name].changes:
        text = changed.get(path) or (ROOT / path).read_text()
        if text.count(old) != 1:
            raise ValueError(f"mutant {name}: {path} has {text.count(old)} times, not once:\n{old}")
        changed[path] = text.replace(old, new)
    modules = {path.removesuffix(".py").replace("/", "."): (str(ROOT / path), text) for path, text in changed.items()}
    late = sorted(modules.keys() & sys.modules.keys())
    if late:
        raise RuntimeError(f"too late to mutate {', '.join(late)}: imported already")
    sys.meta_path.insert(0, _Finder(modules))


class _Finder(MetaPathFinder):
    """Finds the mutated modules before the real ones are looked for."""

    def __init__(self, modules: Mapping[str, tuple[str, str]]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:  # fmt: skip
        """See MetaPathFinder."""
        if fullname not in self._modules:
            return None
        return spec_from_loader(fullname, _Loader(*self._modules[fullname]))


class _Loader(SourceLoader):
    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text

    def get_filename(self, fullname: str) -> str:
        """See ResourceLoader."""
        return self._path

    def get_data(self, path: str | bytes) -> bytes:
        """See ResourceLoader."""
        if str(path) != self._path:
            raise OSError(path)  # no cached bytecode: it would be that of the real module
        return self._text.encode()
