"""S3 keeps objects in LocalStack's own directory. By default all LocalStacks of a machine share
`/tmp/localstack-s3-storage`, and who deletes a bucket there deletes the objects of every other's
bucket of that name.
"""

import tempfile
from pathlib import Path

from localstack.runtime import hooks
from localstack.services.s3 import provider


@hooks.on_infra_start()  # type: ignore[untyped-decorator] # LocalStack is not in the environment that mypy sees
def keep_objects_apart() -> None:
    """Before the first call: the provider reads its place when it is made."""
    provider.DEFAULT_S3_TMP_DIR = str(Path(tempfile.gettempdir(), "objects"))
