"""docs/dependencies.md is what the lock says now, and nothing in it has a licence that would bind
what uses it.
"""

import re

from local.dependencies import ELSEWHERE, LOCK, PAGE, licence, locked

VERSIONS = locked(LOCK.read_text())
ROWS = {
    name: (version, said)
    for name, version, said in re.findall(r"(?m)^\| (\S+) \| (\S+) \| (.+) \|$", PAGE.read_text())
}
# docutils is in the public domain but for a few files; the one under the GPL is an Emacs mode that
# the package does not hold.
KNOWN = {"docutils"}
STRONG = re.compile(r"\b(AGPL|GPL|Affero|SSPL|BUSL)\b")


def test_the_page_is_what_the_lock_says() -> None:
    # No name stands twice, with a version for each Python: what is tested on one is what runs on
    # another.
    assert list(VERSIONS) == re.findall(r"(?m)^([A-Za-z0-9._-]+)==", LOCK.read_text())
    assert len(VERSIONS) > 50
    assert {
        name: version for name, (version, _) in ROWS.items() if name != "package"
    } == VERSIONS, "run `python -m local.dependencies`"


def test_each_licence_is_what_the_installed_package_says() -> None:
    installed = {name: said for name in VERSIONS if (said := licence(name)) != ELSEWHERE}
    assert len(installed) > 50
    assert {
        name: said
        for name, (_, said) in ROWS.items()
        if name in installed and said != installed[name]
    } == {}
    assert "(not stated)" not in installed.values()


def test_no_licence_asks_for_more_than_ours_does() -> None:
    assert {
        name: said for name, (_, said) in ROWS.items() if STRONG.search(said) and "LGPL" not in said
    }.keys() == KNOWN
