"""What AWS charges, us-east-1, as of the dates given: the one table that every dollar of the measurement comes from."""

from collections.abc import Mapping
from dataclasses import dataclass

MILLION = 1_000_000.0


@dataclass(frozen=True)
class Price:
    """Dollars for one `unit`. UNVERIFIED: not from a page of AWS's that was read.

    Left out: free tiers; events of AWS services, which are free (Bedrock user guide, monitoring; read 2026-10); and Bedrock's
    control calls, for which no price is published.
    """

    dollars: float
    unit: str
    source: str


PRICES: Mapping[str, Price] = {
    "lambda_request": Price(0.20 / MILLION, "invocation", "AWS whitepaper 'How AWS pricing works', Lambda; read 2026-10"),
    "lambda_gb_second_arm": Price(0.0000133334, "GB and second", "aws.amazon.com/lambda/pricing, arm64; from memory: UNVERIFIED"),
    "dynamodb_write_unit": Price(0.625 / MILLION, "write request unit", "airbyte.com, on-demand; read 2026-10: UNVERIFIED"),
    "dynamodb_read_unit": Price(0.125 / MILLION, "read request unit", "airbyte.com, on-demand; read 2026-10: UNVERIFIED"),
    "sqs_request": Price(0.40 / MILLION, "request", "aws.amazon.com/sqs/pricing, standard queues; from memory: UNVERIFIED"),
    "sns_request": Price(0.50 / MILLION, "request", "aws.amazon.com/sns/pricing, standard topics; from memory: UNVERIFIED"),
    "scheduler_invocation": Price(1.00 / MILLION, "fired schedule", "cloudburn.io, March 2026; read 2026-10: UNVERIFIED"),
    "s3_put": Price(0.005 / 1000, "PUT or COPY", "aws.amazon.com/s3/pricing, Standard; from memory: UNVERIFIED"),
    "s3_get": Price(0.0004 / 1000, "GET", "aws.amazon.com/s3/pricing, Standard; from memory: UNVERIFIED"),
}  # fmt: skip
