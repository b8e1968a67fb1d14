"""No test depends on the shell it is run from: its AWS settings, endpoints among them, are
forgotten before any import.

`BBQ_MUTANT` names a mistake (tests/simulation/mutants.py) that is put into the production code,
before anything imports it.
"""

import os

import pytest
from hypothesis import settings

from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import install

if os.environ.get("BBQ_MUTANT"):
    install(MUTANTS[os.environ["BBQ_MUTANT"]].changes)


def pytest_configure() -> None:
    """The end-to-end tests set endpoints of their own; every other test talks to nobody."""
    # how long an example takes says more of the machine than of the code
    settings.register_profile("explore", deadline=None)
    # CI repeats itself; every other run explores
    settings.register_profile("ci", derandomize=True, deadline=None)
    settings.load_profile("ci" if os.environ.get("CI") else "explore")
    for name in [
        name for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"
    ]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(autouse=True)
def nobody_else_answers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's endpoints, set for a whole session by the end-to-end tests, are seen by these
    alone.
    """
    if request.node.get_closest_marker("e2e") is None:
        for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
            monkeypatch.delenv(name)
