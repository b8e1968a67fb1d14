"""MiniStack as `local.stack` starts it, which writes down every call that its IAM refuses: `<who>
<action> <resource>`, a line each, in the file that BBQ_DENIED names. What a function makes of a
refusal is its own affair; that there was one is seen here.
"""

import os
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator

from local.ministack import main

_enforce = iam_evaluator.enforce
_log = Path(os.environ["BBQ_DENIED"])


def enforce(access_key: str, action: str, service: str, region: str, **context: Any) -> Any:
    """MiniStack's own decision, written down."""
    decision = _enforce(access_key, action, service, region, **context)
    if isinstance(decision, iam_evaluator.EvalResult):
        with _log.open("a") as file:
            file.write(f"{decision.principal_arn} {action} {context.get('resource_arn', '*')}\n")
    return decision


iam_evaluator.enforce = enforce

if __name__ == "__main__":
    main()
