"""MiniStack, as local.stack starts it: it runs functions on the Python that Terraform names (local/function_python.py), and not
on its own. That Python has none of this environment's packages, so a function runs on what is in its zip, as on AWS.
"""

from ministack.app import main as serve
from ministack.core import lambda_runtime

from local.function_python import function_python

_own_choice = lambda_runtime._detect_runtime_binary  # noqa: SLF001 - MiniStack 1.5.33 has no setting for it; the lock pins it


def binary_and_script(runtime: str) -> tuple[str, str]:
    """What MiniStack runs a function of this runtime with: an interpreter, and the text of its worker for it."""
    binary, script = _own_choice(runtime)
    return (function_python() if runtime.startswith("python") else binary), script


def main() -> None:
    """Serve until a signal comes."""
    lambda_runtime._detect_runtime_binary = binary_and_script  # noqa: SLF001 - as above
    serve()


if __name__ == "__main__":
    main()
