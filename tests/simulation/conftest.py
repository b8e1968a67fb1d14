"""`BBQ_MUTANT` puts a mistake into the production code, before anything imports it (see mutants.py)."""

import os

from tests.simulation import mutation

if os.environ.get("BBQ_MUTANT"):
    mutation.apply(os.environ["BBQ_MUTANT"])
