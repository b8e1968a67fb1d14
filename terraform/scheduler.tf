# The scheduler: woken by new events and by hints, it gives free slots to the jobs in line and follows them to their end.

locals {
  scheduler_timeout_seconds = 120

  events_that_leave_nothing_to_do = ["job-progressed", "job-submitted", "slot-claimed"]

  kms_via = [for service in ["dynamodb", "s3", "sqs"] : "${service}.${local.region}.${data.aws_partition.current.dns_suffix}"]
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "AppendEvents"
    actions   = ["dynamodb:PutItem", "dynamodb:Query"]
    resources = [aws_dynamodb_table.events.arn]
  }

  statement {
    sid       = "FollowEvents"
    actions   = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
    resources = [aws_dynamodb_table.events.stream_arn]
  }

  statement {
    sid       = "FindStream"
    actions   = ["dynamodb:ListStreams"]
    resources = ["*"] # it has no resource to name
  }

  statement {
    sid = "Project"
    actions = [
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = [aws_dynamodb_table.projections.arn]
  }

  statement {
    sid = "HandleHints"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
      "sqs:SendMessage",
    ]
    resources = [module.hints.arn]
  }

  statement {
    sid       = "SetAside"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.stream_failures.arn]
  }

  statement {
    sid       = "Publish"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.events.arn]
  }

  statement {
    sid       = "ArmTimers"
    actions   = ["scheduler:CreateSchedule", "scheduler:DeleteSchedule"]
    resources = [for group in local.timer_groups : "arn:${local.partition}:scheduler:${local.region}:${local.account_id}:schedule/${group}/*"]
  }

  statement {
    sid       = "PassTimerRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.timers.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["scheduler.amazonaws.com"]
    }
  }

  statement {
    sid       = "StartJobs"
    actions   = ["bedrock:CreateModelInvocationJob"]
    resources = concat(["${local.own}:model-invocation-job/*"], local.model_arns)
  }

  statement {
    sid       = "FollowJobs"
    actions   = ["bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob"]
    resources = ["${local.own}:model-invocation-job/*"]
  }

  statement {
    sid       = "FindJobs"
    actions   = ["bedrock:ListModelInvocationJobs"]
    resources = ["*"] # it has no resource to name
  }

  statement {
    sid       = "PassBedrockRole"
    actions   = ["iam:PassRole"]
    resources = [local.bedrock_role_arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["bedrock.amazonaws.com"]
    }
  }

  statement {
    sid       = "ReadManifests"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this.arn}/processed/*/manifest.json.out"]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]

    content {
      sid       = "UseKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = concat(local.kms_via, ["sns.${local.region}.${data.aws_partition.current.dns_suffix}"])
      }
    }
  }
}

module "scheduler" {
  source = "./modules/function"

  name               = local.scheduler_name
  role_name          = "${local.role_prefix}-scheduler"
  description        = "Gives free slots to waiting jobs, and follows them at Bedrock"
  handler            = "bbq.services.scheduler.handler.handler"
  zip                = "${local.zip_directory}/scheduler.zip"
  memory_mb          = 1024
  timeout_seconds    = local.scheduler_timeout_seconds
  policy             = data.aws_iam_policy_document.scheduler.json
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = local.tags

  environment = merge(local.environment, {
    POWERTOOLS_SERVICE_NAME      = local.scheduler_name
    BBQ_ACCOUNT_ID               = local.account_id
    BBQ_BEDROCK_ROLE_ARN         = local.bedrock_role_arn
    BBQ_DEPLOYMENT               = var.name
    BBQ_PROJECTIONS_TABLE        = aws_dynamodb_table.projections.name
    BBQ_CHECK_IN_MINUTES         = tostring(var.check_in_minutes)
    BBQ_EVENT_SOURCE             = var.event_source
    BBQ_EVENTS_TOPIC_ARN         = aws_sns_topic.events.arn
    BBQ_FUNCTION_TIMEOUT_SECONDS = tostring(local.scheduler_timeout_seconds)
    BBQ_HINTS_DLQ_ARN            = module.hints.dead_letter_arn
    BBQ_HINTS_QUEUE_ARN          = module.hints.arn
    BBQ_HINTS_QUEUE_URL          = module.hints.url
    BBQ_TIMER_GROUP              = aws_scheduler_schedule_group.timers.name
    BBQ_TIMER_ROLE_ARN           = aws_iam_role.timers.arn
  }, { for arn in var.kms_key_arn[*] : "BBQ_KMS_KEY_ARN" => arn })
}

# AWS stops a function that sends itself messages through a queue at the 17th hop (recorded 2023-10 and 2026-03). The scheduler
# does so on purpose: a fill without time left leaves a hint for what is left in line. SECURITY.md has what bounds each of its hints.
resource "aws_lambda_function_recursion_config" "scheduler" {
  function_name  = module.scheduler.name
  recursive_loop = "Allow"
}

# New events. Those that leave nothing to do are filtered out here; one of a name that nobody knows yet is not. (After a claim
# there is something to do, but its timer is armed first.) job-ended and job-tallied come to be published, and for nothing else:
# the message that told of the end does the rest. Retried without limit for 23 of the 24 hours that a stream keeps them; what is
# left then is set aside while it can still be read.
resource "aws_lambda_event_source_mapping" "events" {
  event_source_arn                   = aws_dynamodb_table.events.stream_arn
  function_name                      = module.scheduler.arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = 10
  parallelization_factor             = var.concurrency.stream
  maximum_retry_attempts             = -1
  maximum_record_age_in_seconds      = 82800
  bisect_batch_on_function_error     = true
  maximum_batching_window_in_seconds = 0
  function_response_types            = ["ReportBatchItemFailures"]
  tags                               = local.tags

  filter_criteria {
    filter {
      pattern = jsonencode({
        eventName = ["INSERT"]
        dynamodb  = { NewImage = { name = { S = [{ "anything-but" = local.events_that_leave_nothing_to_do }] } } }
      })
    }
  }

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.stream_failures.arn
    }
  }
}

# One hint per invocation: a slow one neither delays nor fails another. Never reserved concurrency instead: with that a queue's
# messages are received, refused, and moved to the dead-letter queue unread (recorded 2024-02, seek-oss/skuba #1412).
resource "aws_lambda_event_source_mapping" "hints" {
  event_source_arn        = module.hints.arn
  function_name           = module.scheduler.arn
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = local.tags

  scaling_config {
    maximum_concurrency = var.concurrency.hints
  }
}

# Where the stream's records go that could neither be handled nor become a hint.
data "aws_iam_policy_document" "stream_failures" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = ["${local.queue_arn_prefix}${local.dead_letters.stream.queue}"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = [local.refused_transport]
    }
  }
}

resource "aws_sqs_queue" "stream_failures" {
  name                      = local.dead_letters.stream.queue
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  policy                    = data.aws_iam_policy_document.stream_failures.json
  tags                      = local.tags
}
