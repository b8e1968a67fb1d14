"""What `make rights` takes away is one thing, and nothing else."""

from typing import Any

import pytest

from tests.rights.excused import excuse
from tests.rights.mutation import Right, rights, without

POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Sid": "One", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:a"},
        {
            "Sid": "Many",
            "Effect": "Allow",
            "Action": ["sqs:A", "sqs:B"],
            "Resource": ["arn:b", "arn:c"],
        },
    ],
}


def test_each_action_and_each_of_several_resources_is_a_right() -> None:
    assert [(right.sid, str(right)) for right in rights("x", POLICY)] == [
        ("One", "s3:GetObject"),
        ("Many", "sqs:A"),
        ("Many", "sqs:B"),
        ("Many", "arn:b"),
        ("Many", "arn:c"),
    ]


def test_one_is_taken_away_and_the_document_is_as_it_was() -> None:
    left = [without(POLICY, [right])["Statement"] for right in rights("x", POLICY)]
    one, many = POLICY["Statement"]
    assert left == [
        [many],
        [one, {**many, "Action": ["sqs:B"]}],
        [one, {**many, "Action": ["sqs:A"]}],
        [one, {**many, "Resource": ["arn:c"]}],
        [one, {**many, "Resource": ["arn:b"]}],
    ]
    assert len(list(rights("x", POLICY))) == 5


def test_all_of_them_can_be_taken_away_at_once() -> None:
    assert without(POLICY, list(rights("x", POLICY)))["Statement"] == []
    one, many = POLICY["Statement"]
    taken = [Right(who="x", sid="Many", action="sqs:A"), Right(who="x", sid="Many", action="sqs:B")]
    assert without(POLICY, [*taken, Right(who="x", sid="Many", resource="arn:b")])["Statement"] == [
        one
    ]
    assert many["Action"] == ["sqs:A", "sqs:B"]


def test_what_is_not_there_cannot_be_taken_away() -> None:
    with pytest.raises(ValueError, match="there is no sqs:C"):
        without(POLICY, [Right(who="x", sid="Many", action="sqs:C")])


def test_an_excuse_is_for_one_right() -> None:
    assert excuse(Right(who="scheduler", sid="PassTimerRole", action="iam:PassRole"))
    assert not excuse(Right(who="scheduler", sid="PassBedrockRole", action="iam:PassRole"))
    assert not excuse(Right(who="scheduler", sid="HandleHints", action="sqs:SendMessage"))
