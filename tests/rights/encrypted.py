"""`make encrypted`: the same pipeline with a KMS key of one's own, on the emulator: an upload runs,
and everything it left is encrypted with the key. MiniStack keeps keys and their policies; a
service's own use of a key it does not check.
"""

import os
import sys
import tempfile
from pathlib import Path

from bbq.shared.names import staged_key
from local import build, deploy, stack
from local.deployment import LocalDeployment, records
from local.emulators import MINISTACK
from local.settings import ROOT, free_endpoints, local_environment
from tests.rights.bench import until


def main() -> int:
    """0 where the job completed and the key was used."""
    os.environ |= free_endpoints()
    os.environ |= local_environment()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        build.build(ROOT, ROOT / ".build")
        stack.up(("--job-seconds", "1-1"), record=work / "stack.json", emulator=MINISTACK)
        try:
            kms = LocalDeployment({}).client("kms")
            key = kms.create_key()["KeyMetadata"]["Arn"]
            deployment = LocalDeployment(
                deploy.apply([f"-var=kms_key_arn={key}"], work=work / "terraform", quiet=True)
            )
            kms.put_key_policy(
                KeyId=key, PolicyName="default", Policy=deployment.outputs["key_policy"]
            )
            return _used(deployment, key)
        finally:
            stack.down(work / "stack.json")


def _used(deployment: LocalDeployment, key: str) -> int:
    job = deployment.upload("haiku/encrypted.jsonl", records())
    until(lambda: "processed_records" in deployment.view(job), 45)
    bucket, staged = (
        deployment.outputs["bucket"],
        staged_key(job, "to-process/haiku/encrypted.jsonl"),
    )
    queue = deployment.sqs.get_queue_attributes(
        QueueUrl=deployment.outputs["hints_queue_url"], AttributeNames=["KmsMasterKeyId"]
    )
    found = {
        "status": deployment.view(job).get("status"),
        "staged": deployment.s3.head_object(Bucket=bucket, Key=staged).get("SSEKMSKeyId"),
        "hints": queue["Attributes"].get("KmsMasterKeyId"),
    }
    print(found)
    return 0 if found == {"status": "Completed", "staged": key, "hints": key} else 1


if __name__ == "__main__":
    sys.exit(main())
