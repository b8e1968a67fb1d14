"""Find a local mirror of Terraform's providers: `python -m local.terraform_plugins` prints its directory, or nothing.

With one, `terraform init -plugin-dir=<directory>` works without a network; without one, init asks the public registry.
`TF_PLUGIN_DIR` wins; else the usual places of such a mirror are searched, a few levels deep.
"""

import os
from collections.abc import Mapping
from pathlib import Path

PLACES = ("~/.terraform.d", "/opt", "/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib", "/srv")
PROVIDER = "hashicorp/aws"  # a mirror holds <registry host>/<provider>/<version>/<platform>/
MAX_DEPTH = 3


def plugin_directory(environment: Mapping[str, str], places: tuple[str, ...] = PLACES) -> Path | None:
    """The directory for `-plugin-dir`, or None where there is no mirror."""
    chosen = environment.get("TF_PLUGIN_DIR")
    if chosen:
        return Path(chosen)
    for place in places:
        for depth in range(1, MAX_DEPTH + 1):
            found = sorted(Path(place).expanduser().glob(f"{'*/' * depth}{PROVIDER}"))
            if found:
                return found[0].parent.parent.parent
    return None


if __name__ == "__main__":
    print(plugin_directory(os.environ) or "")
