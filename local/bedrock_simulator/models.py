"""The names of one model: as it was asked for, as answers and events give it, and as IAM sees it.
Pure.
"""

import re

# an inference profile's id; terraform/models.tf has the same
_PROFILE = re.compile(r"(?:global|apac|us-gov|[a-z]{2})\.(.+)")


def model_arn(model: str, region: str, account: str) -> str:
    """The full ARN of a model or an inference profile that was named by its id; an ARN stays as it
    is.

    Recorded 2026-03, cloud-custodian PR #10611: Get and List answer the ARN although the bare id of
    a foundation model was sent. Of a profile's id: said by terraform-provider-aws PR #49877
    (2026-09).
    """
    if model.startswith("arn:"):
        return model
    if _PROFILE.fullmatch(model):
        return f"arn:aws:bedrock:{region}:{account}:inference-profile/{model}"
    return foundation_model_arn(model, region)


def foundation_model_arn(model: str, region: str) -> str:
    """The ARN, in this Region, of the model itself, also if it was named by the id of a profile."""
    return f"arn:aws:bedrock:{region}::foundation-model/{base_model(model)}"


def base_model(model: str) -> str:
    """The id of the model itself: without an ARN's beginning and without a profile's group of
    Regions.
    """
    name = model.rpartition("/")[2]
    profile = _PROFILE.fullmatch(name)
    return profile[1] if profile else name


def is_profile(model: str) -> bool:
    """Whether a model is named by the id of an inference profile."""
    return _PROFILE.fullmatch(model) is not None
