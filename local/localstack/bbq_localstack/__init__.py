"""Plugins that let LocalStack's open-source edition (localstack-core 4.14) run on this machine
without Docker.

What they stand in for, so that a green test says nothing about LocalStack's own: running a function
(`executor`, `runtime_api`), DynamoDB and its streams (`tables`), one-time schedules (`schedules`).
`server` keeps it on the loopback interface, `objects` S3's files in a directory of its own.
"""
