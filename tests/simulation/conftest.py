"""`BBQ_MUTANT` puts a mistake into the production code, before anything imports it (see mutants.py)."""

import os

from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import install

if os.environ.get("BBQ_MUTANT"):
    install(MUTANTS[os.environ["BBQ_MUTANT"]].changes)
