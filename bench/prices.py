"""What AWS charges in us-east-1, in dollars: the one table that every dollar of the measurement
comes from.

UNVERIFIED: not from a page of AWS's that was read. Left out: free tiers; events of AWS services,
which are free (Bedrock user guide, monitoring; read 2026-10); and Bedrock's control calls, for
which no price is published.
"""

PRICES = {
    # an invocation; AWS whitepaper 'How AWS pricing works', Lambda; read 2026-10
    "lambda_request": 0.20e-6,
    # a GB for a second; aws.amazon.com/lambda/pricing, arm64; from memory: UNVERIFIED
    "lambda_gb_second_arm": 13.3334e-6,
    # a write request unit; airbyte.com, on-demand; read 2026-10: UNVERIFIED
    "dynamodb_write_unit": 0.625e-6,
    # a read request unit; airbyte.com, on-demand; read 2026-10: UNVERIFIED
    "dynamodb_read_unit": 0.125e-6,
    # a request; aws.amazon.com/sqs/pricing, standard queues; from memory: UNVERIFIED
    "sqs_request": 0.40e-6,
    # a request; aws.amazon.com/sns/pricing, standard topics; from memory: UNVERIFIED
    "sns_request": 0.50e-6,
    # a schedule that fired; cloudburn.io, March 2026; read 2026-10: UNVERIFIED
    "scheduler_invocation": 1.00e-6,
    "s3_put": 5e-6,  # a PUT or COPY; aws.amazon.com/s3/pricing, Standard; from memory: UNVERIFIED
    "s3_get": 0.4e-6,  # a GET; aws.amazon.com/s3/pricing, Standard; from memory: UNVERIFIED
}
