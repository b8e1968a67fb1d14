"""Find a local mirror of Terraform's providers: `python -m local.terraform_plugins` prints its
directory, or nothing.

With one, `terraform init -plugin-dir=<directory>` works without a network; without one, init asks
the public registry. `TF_PLUGIN_DIR` wins; else a directory named `registry.terraform.io` is looked
for, first where such mirrors usually are, then on the whole machine, a few levels deep, but not
where everybody may write. Only for the emulator: a deployment to AWS runs no plugin that was merely
found (`make deploy`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# a mirror holds <this>/<namespace>/<provider>/<version>/<platform>/
MIRROR = "registry.terraform.io"
PROVIDER = "hashicorp/aws"
PLACES = (
    "~/.terraform.d/plugins",
    "~/.terraform.d",
    "/opt",
    "/usr/share",
    "/usr/local/share",
    "/srv",
    "/",
)
MAX_DEPTH = 4
SKIPPED = {
    "proc",
    "sys",
    "dev",
    "run",
    "boot",
    "home",
    "tmp",
    "lost+found",
    "node_modules",
    "site-packages",
    "__pycache__",
    ".git",
    ".terraform",
}


def plugin_directory(environment: Mapping[str, str], places: Sequence[str] = PLACES) -> Path | None:
    """The directory for `-plugin-dir`, or None where there is no mirror."""
    chosen = environment.get("TF_PLUGIN_DIR")
    if chosen:
        return Path(chosen).resolve()
    for place in places:
        for directory in _directories(Path(place).expanduser(), MAX_DEPTH):
            if directory.name == MIRROR and (directory / PROVIDER).is_dir():
                return directory.parent
    return None


def _directories(top: Path, depth: int) -> Iterator[Path]:
    """The directories below `top`, nearest first. Links are not followed, and what may not be read
    is passed over.
    """
    level = [top]
    for _ in range(depth):
        below: list[Path] = []
        for directory in level:
            try:
                with os.scandir(directory) as entries:
                    below += sorted(
                        Path(e.path)
                        for e in entries
                        if e.is_dir(follow_symlinks=False) and e.name not in SKIPPED
                    )
            except OSError:
                continue
        yield from below
        level = below


if __name__ == "__main__":
    print(plugin_directory(os.environ) or "")
