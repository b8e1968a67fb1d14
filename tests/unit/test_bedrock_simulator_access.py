"""Which right Bedrock asks for first, and in which words it says that it is missing. Policies are
MiniStack's to judge.
"""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.bedrock_simulator.access import Access
from local.bedrock_simulator.errors import BedrockError
from tests.support.recorded import recorded, row

ALLOWED = {
    "PassRole": {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"},
    "Create": {"Effect": "Allow", "Action": "bedrock:CreateModelInvocationJob", "Resource": "*"},
}
SIGNED = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260906/us-east-1/bedrock/aws4_request"


def access(*rights: str) -> Access:
    """Asked by a user who has these rights."""
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [ALLOWED[name] for name in rights]}
    )
    iam = SimpleNamespace(
        list_users=lambda: {"Users": [{"UserName": "example"}]},
        list_access_keys=lambda **_: {"AccessKeyMetadata": [{"AccessKeyId": "AKIAEXAMPLE"}]},
        list_user_policies=lambda **_: {"PolicyNames": ["own"] if rights else []},
        get_user_policy=lambda **_: {"PolicyDocument": document},
        list_attached_user_policies=lambda **_: {"AttachedPolicies": []},
    )
    session: Any = SimpleNamespace(region_name="us-east-1", client=lambda _: iam)
    return Access(cast("Any", session))


def refused(*rights: str) -> str:
    with pytest.raises(BedrockError, match="AccessDeniedException") as caught:
        access(*rights).create(SIGNED, recorded("create")["request"])
    return caught.value.message


@pytest.mark.parametrize("rights", [(), ("Create",)])
def test_the_right_to_pass_the_role_is_asked_for_first_and_missed_in_the_recorded_words(
    rights: tuple[str, ...],
) -> None:
    _, _, said = row("errors-create", "pass-role")["message"].partition(" is not authorized")
    assert refused(*rights).endswith(
        " is not authorized" + said.replace("example-missing-role", "example-batch-role")
    )


def test_the_right_to_create_is_asked_for_next() -> None:
    assert "bedrock:CreateModelInvocationJob on resource: arn:aws:bedrock:us-east-1:" in refused(
        "PassRole"
    )


def test_who_has_both_rights_is_let_in() -> None:
    asking = access("PassRole", "Create")
    asking.create(SIGNED, recorded("create")["request"])
    assert asking.denied == []
