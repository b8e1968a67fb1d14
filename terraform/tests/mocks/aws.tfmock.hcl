# Stand-ins for what only AWS can know. Each resource has its own ARN, so that an assertion can tell them apart.

mock_data "aws_caller_identity" {
  defaults = { account_id = "111122223333" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
}

mock_data "aws_region" {
  defaults = { id = "eu-west-1" }
}

# What a document says is asserted on its statements; its text only has to be JSON.
mock_data "aws_iam_policy_document" {
  defaults = { json = "{}" }
}

mock_data "aws_servicequotas_service_quota" {
  defaults = { value = 7.0 }
}

override_resource {
  target = aws_s3_bucket.this
  values = { id = "bbq-bucket", arn = "arn:aws:s3:::bbq-bucket" }
}

override_resource {
  target = aws_dynamodb_table.events
  values = {
    arn        = "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events"
    stream_arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events/stream/2026-01-01T00:00:00.000"
  }
}

override_resource {
  target = aws_dynamodb_table.projections
  values = { arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-projections" }
}

override_resource {
  target = module.uploads.aws_sqs_queue.this
  values = { arn = "arn:aws:sqs:eu-west-1:111122223333:bbq-uploads", url = "https://sqs/bbq-uploads" }
}

override_resource {
  target = module.uploads.aws_sqs_queue.dead
  values = { arn = "arn:aws:sqs:eu-west-1:111122223333:bbq-uploads-dead", url = "https://sqs/bbq-uploads-dead" }
}

override_resource {
  target = module.hints.aws_sqs_queue.this
  values = { arn = "arn:aws:sqs:eu-west-1:111122223333:bbq-hints", url = "https://sqs/bbq-hints" }
}

override_resource {
  target = module.hints.aws_sqs_queue.dead
  values = { arn = "arn:aws:sqs:eu-west-1:111122223333:bbq-hints-dead", url = "https://sqs/bbq-hints-dead" }
}

override_resource {
  target = aws_sqs_queue.stream_failures
  values = { arn = "arn:aws:sqs:eu-west-1:111122223333:bbq-stream-failures", url = "https://sqs/bbq-stream-failures" }
}

override_resource {
  target = aws_cloudwatch_event_rule.bedrock
  values = { arn = "arn:aws:events:eu-west-1:111122223333:rule/bbq-bedrock" }
}

override_resource {
  target = aws_scheduler_schedule_group.timers
  values = { arn = "arn:aws:scheduler:eu-west-1:111122223333:schedule-group/bbq" }
}

override_resource {
  target = aws_iam_role.timers
  values = { arn = "arn:aws:iam::111122223333:role/bbq-eu-west-1-timers" }
}

override_resource {
  target = aws_iam_role.bedrock
  values = { arn = "arn:aws:iam::111122223333:role/bbq-eu-west-1-bedrock" }
}

override_resource {
  target = module.intake.aws_iam_role.this
  values = { arn = "arn:aws:iam::111122223333:role/bbq-eu-west-1-intake" }
}

override_resource {
  target = module.scheduler.aws_iam_role.this
  values = { arn = "arn:aws:iam::111122223333:role/bbq-eu-west-1-scheduler" }
}

override_resource {
  target = module.intake.aws_cloudwatch_log_group.this
  values = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/bbq-intake" }
}

override_resource {
  target = module.scheduler.aws_cloudwatch_log_group.this
  values = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/bbq-scheduler" }
}

override_resource {
  target = module.intake.aws_lambda_function.this
  values = { arn = "arn:aws:lambda:eu-west-1:111122223333:function:bbq-intake" }
}

override_resource {
  target = module.scheduler.aws_lambda_function.this
  values = { arn = "arn:aws:lambda:eu-west-1:111122223333:function:bbq-scheduler" }
}

override_resource {
  target = aws_sns_topic.events
  values = { arn = "arn:aws:sns:eu-west-1:111122223333:bbq-events" }
}

override_resource {
  target = aws_ssm_parameter.deployment
  values = { arn = "arn:aws:ssm:eu-west-1:111122223333:parameter/bedrock-batch-queue/bbq" }
}

override_resource {
  target = aws_iam_policy.viewer
  values = { arn = "arn:aws:iam::111122223333:policy/bbq-eu-west-1-viewer" }
}

override_resource {
  target = aws_iam_policy.operator
  values = { arn = "arn:aws:iam::111122223333:policy/bbq-eu-west-1-operator" }
}
