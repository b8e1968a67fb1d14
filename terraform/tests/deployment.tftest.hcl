# What is deployed by default. tests/terraform/test_terraform.py asks the same state what must hold of every resource.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name   = "bbq"
  models = { haiku = { model_id = "anthropic.claude-3-haiku-20240307-v1:0", limit = 2 } }
}

run "defaults" {
  command = apply

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
      one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced",
    ])
    error_message = "The bucket must be private."
  }

  assert {
    condition     = aws_s3_bucket.this.bucket == "bbq-111122223333-eu-west-1" && !aws_s3_bucket.this.force_destroy
    error_message = "The bucket's name holds account and Region, and it is not destroyed with its objects."
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
    error_message = "The bucket must be versioned."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "The bucket must be encrypted."
  }

  assert {
    condition = jsonencode(data.aws_iam_policy_document.bucket.statement[0]) == jsonencode({
      actions        = ["s3:*"]
      condition      = [{ test = "Bool", values = ["false"], variable = "aws:SecureTransport" }]
      effect         = "Deny"
      not_actions    = null
      not_principals = []
      not_resources  = null
      principals     = [{ identifiers = ["*"], type = "*" }]
      resources      = ["arn:aws:s3:::bbq-bucket", "arn:aws:s3:::bbq-bucket/*"]
      sid            = "TlsOnly"
    })
    error_message = "The bucket must refuse what does not come over TLS."
  }

  assert {
    condition = jsonencode([for queue in aws_s3_bucket_notification.uploads.queue : [queue.queue_arn, queue.events, queue.filter_prefix]]) == jsonencode([
      ["arn:aws:sqs:eu-west-1:111122223333:bbq-uploads", ["s3:ObjectCreated:*"], "to-process/"]
    ])
    error_message = "Uploads, and only uploads, are notified."
  }

  assert {
    condition = jsonencode([for table in [aws_dynamodb_table.events, aws_dynamodb_table.projections] : [
      table.billing_mode, table.deletion_protection_enabled, one(table.point_in_time_recovery).enabled
    ]]) == jsonencode([["PAY_PER_REQUEST", true, true], ["PAY_PER_REQUEST", true, true]])
    error_message = "Both tables are on demand, protected, and can be restored to a point in time."
  }

  assert {
    condition     = aws_dynamodb_table.events.stream_enabled && aws_dynamodb_table.events.stream_view_type == "NEW_IMAGE" && !coalesce(aws_dynamodb_table.projections.stream_enabled, false)
    error_message = "The events, and only they, have a stream of new images."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.events.statement : [statement.effect, statement.resources, statement.actions, statement.principals[*].identifiers]]) == jsonencode([[
      "Deny",
      ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events"],
      ["dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PartiQLDelete", "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate", "dynamodb:UpdateItem"],
      [["*"]],
    ]])
    error_message = "Nobody may update or delete an event."
  }

  assert {
    condition     = aws_dynamodb_resource_policy.events.resource_arn == aws_dynamodb_table.events.arn
    error_message = "The policy of the events is attached to their table."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.intake.statement : statement.sid => [statement.actions, statement.resources] }) == jsonencode({
      AppendEvents = [["dynamodb:PutItem", "dynamodb:Query"], ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events"]]
      ReadUploads  = [["s3:GetObject", "s3:GetObjectVersion"], ["arn:aws:s3:::bbq-bucket/to-process/*"]]
      ReceiveUploads = [
        ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        ["arn:aws:sqs:eu-west-1:111122223333:bbq-uploads"],
      ]
      SeeVersionBefore         = [["s3:ListBucketVersions"], ["arn:aws:s3:::bbq-bucket"]]
      Stage                    = [["s3:PutObject"], ["arn:aws:s3:::bbq-bucket/staged/*"]]
      TellMissingFromForbidden = [["s3:ListBucket"], ["arn:aws:s3:::bbq-bucket"]]
    })
    error_message = "Intake has exactly these rights."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.scheduler.statement : statement.sid => [statement.actions, statement.resources] }) == jsonencode({
      AppendEvents = [
        ["dynamodb:PutItem", "dynamodb:Query"],
        ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events"],
      ]
      ArmTimers  = [["scheduler:CreateSchedule", "scheduler:DeleteSchedule"], ["arn:aws:scheduler:eu-west-1:111122223333:schedule/bbq/*"]]
      FindJobs   = [["bedrock:ListModelInvocationJobs"], ["*"]]
      FindStream = [["dynamodb:ListStreams"], ["*"]]
      FollowEvents = [
        ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
        ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events/stream/2026-01-01T00:00:00.000"],
      ]
      FollowJobs = [
        ["bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob"],
        ["arn:aws:bedrock:eu-west-1:111122223333:model-invocation-job/*"],
      ]
      HandleHints = [
        ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"],
        ["arn:aws:sqs:eu-west-1:111122223333:bbq-hints"],
      ]
      PassBedrockRole = [["iam:PassRole"], ["arn:aws:iam::111122223333:role/bbq-eu-west-1-bedrock"]]
      PassTimerRole   = [["iam:PassRole"], ["arn:aws:iam::111122223333:role/bbq-eu-west-1-timers"]]
      Project = [
        ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"],
        ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-projections"],
      ]
      Publish       = [["sns:Publish"], ["arn:aws:sns:eu-west-1:111122223333:bbq-events"]]
      ReadManifests = [["s3:GetObject"], ["arn:aws:s3:::bbq-bucket/processed/*/manifest.json.out"]]
      SetAside      = [["sqs:SendMessage"], ["arn:aws:sqs:eu-west-1:111122223333:bbq-stream-failures"]]
      StartJobs = [["bedrock:CreateModelInvocationJob"], [
        "arn:aws:bedrock:eu-west-1:111122223333:model-invocation-job/*",
        "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
      ]]
    })
    error_message = "The scheduler has exactly these rights."
  }

  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.scheduler.statement : statement.sid => statement.condition if contains(statement.actions, "iam:PassRole")
      }) == jsonencode({
      PassBedrockRole = [{ test = "StringEquals", values = ["bedrock.amazonaws.com"], variable = "iam:PassedToService" }]
      PassTimerRole   = [{ test = "StringEquals", values = ["scheduler.amazonaws.com"], variable = "iam:PassedToService" }]
    })
    error_message = "A role is passed to one service only."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.bedrock.statement : statement.sid => [statement.actions, statement.resources, statement.condition[*].variable] }) == jsonencode({
      List        = [["s3:ListBucket"], ["arn:aws:s3:::bbq-bucket"], ["aws:ResourceAccount"]]
      ReadInput   = [["s3:GetObject"], ["arn:aws:s3:::bbq-bucket/staged/*"], ["aws:ResourceAccount"]]
      WriteOutput = [["s3:PutObject"], ["arn:aws:s3:::bbq-bucket/processed/*"], ["aws:ResourceAccount"]]
    })
    error_message = "Bedrock's role has exactly these rights."
  }

  assert {
    condition = jsonencode({
      for document in [data.aws_iam_policy_document.bedrock_trust, data.aws_iam_policy_document.timers_trust] :
      one(one(document.statement[0].principals).identifiers) => { for condition in document.statement[0].condition : condition.variable => condition.values }
      }) == jsonencode({
      "bedrock.amazonaws.com"   = { "aws:SourceAccount" = ["111122223333"], "aws:SourceArn" = ["arn:aws:bedrock:eu-west-1:111122223333:model-invocation-job/*"] }
      "scheduler.amazonaws.com" = { "aws:SourceAccount" = ["111122223333"], "aws:SourceArn" = ["arn:aws:scheduler:eu-west-1:111122223333:schedule-group/bbq"] }
    })
    error_message = "Bedrock and EventBridge Scheduler take their roles for this account's own jobs and timers only."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.timers.statement : statement.sid => [statement.actions, statement.resources] }) == jsonencode({
      Send = [["sqs:SendMessage"], ["arn:aws:sqs:eu-west-1:111122223333:bbq-hints", "arn:aws:sqs:eu-west-1:111122223333:bbq-hints-dead"]]
    })
    error_message = "Timers may only send hints."
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.bedrock.event_pattern) == {
      source      = ["aws.bedrock"]
      detail-type = ["Batch Inference Job State Change"]
      detail      = { status = [{ "anything-but" = ["Submitted"] }] }
    }
    error_message = "The rule takes every state change of a batch job but the first, whoever's it is."
  }

  assert {
    condition = jsonencode([
      aws_cloudwatch_event_target.hints.arn,
      one(aws_cloudwatch_event_target.hints.dead_letter_config).arn,
      one(aws_cloudwatch_event_target.hints.retry_policy).maximum_event_age_in_seconds,
    ]) == jsonencode(["arn:aws:sqs:eu-west-1:111122223333:bbq-hints", "arn:aws:sqs:eu-west-1:111122223333:bbq-hints-dead", 86400])
    error_message = "An event that cannot be delivered for a day goes to the dead-letter queue."
  }

  assert {
    condition = alltrue([
      aws_lambda_event_source_mapping.events.starting_position == "TRIM_HORIZON",
      aws_lambda_event_source_mapping.events.maximum_retry_attempts == -1,
      aws_lambda_event_source_mapping.events.maximum_record_age_in_seconds < 86400,
      aws_lambda_event_source_mapping.events.bisect_batch_on_function_error,
      one(one(aws_lambda_event_source_mapping.events.destination_config).on_failure).destination_arn == "arn:aws:sqs:eu-west-1:111122223333:bbq-stream-failures",
    ])
    error_message = "The stream is read from its beginning, and a record that fails to the end is set aside."
  }

  # Ten concurrent executions are a new account's (recorded 2026). A table on demand begins with capacity for 4,000 writes a second,
  # which are four partitions, and has a shard for each (DynamoDB developer guide; inferred). One is left for a deployment's call.
  assert {
    condition = jsonencode([
      one(aws_lambda_event_source_mapping.uploads.scaling_config).maximum_concurrency,
      one(aws_lambda_event_source_mapping.hints.scaling_config).maximum_concurrency,
      aws_lambda_event_source_mapping.events.parallelization_factor,
    ]) == jsonencode([2, 3, 1]) && 2 + 3 + 4 * 1 < 10
    error_message = "The defaults must fit an account of ten concurrent executions."
  }

  assert {
    condition     = aws_lambda_function_recursion_config.scheduler.function_name == "bbq-scheduler" && aws_lambda_function_recursion_config.scheduler.recursive_loop == "Allow"
    error_message = "The scheduler may send itself hints."
  }

  assert {
    condition     = alltrue([for mapping in [aws_lambda_event_source_mapping.events, aws_lambda_event_source_mapping.hints, aws_lambda_event_source_mapping.uploads] : contains(mapping.function_response_types, "ReportBatchItemFailures")])
    error_message = "One failed record must not repeat the others of its batch."
  }

  assert {
    condition     = jsondecode(aws_lambda_invocation.wake.input).wake == "all" && jsondecode(aws_lambda_invocation.wake.input).limits == { haiku = 2 }
    error_message = "A deployment wakes the scheduler and tells it the limits."
  }

  assert {
    condition = jsonencode(output.dead_letter_queue_urls) == jsonencode({
      hints   = "https://sqs/bbq-hints-dead"
      stream  = "https://sqs/bbq-stream-failures"
      uploads = "https://sqs/bbq-uploads-dead"
    })
    error_message = "Every dead-letter queue is an output."
  }
}


# tests/terraform/test_terraform.py looks at its dashboard.
run "many_models" {
  command = apply

  variables {
    default_model = "m1"
    models        = { for number in range(1, 14) : "m${number}" => { model_id = "a.model-${number}", limit = 1 } }
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 16 + 3 * 13
    error_message = "Every model has its three alarms."
  }
}
