# Hints: everything that wakes the scheduler from outside. Bedrock's state changes, timers, and the scheduler's own messages
# go to one queue that keeps them until they are handled.

module "hints" {
  source = "./modules/queue"

  refused_transport        = local.refused_transport
  kms_key_arn              = var.kms_key_arn
  name                     = "${var.name}-hints"
  arn_prefix               = local.queue_arn_prefix
  function_timeout_seconds = local.scheduler_timeout_seconds
  # An outage of days must not end the timers of live attempts; yet a message that moves to the dead-letter queue keeps its age,
  # and disappears 14 days after it was sent. 120 receives are a day when every invocation is cut off (12 minutes apart), and
  # five when the handler waits an hour between two: a person has nine at least.
  max_receive_count = 120
  senders = [{
    service      = "events.amazonaws.com"
    source_arn   = aws_cloudwatch_event_rule.bedrock.arn
    dead_letters = true
  }]
  tags = local.tags
}

# Every batch job of the account, not only ours: whoever's job ends, it frees quota. `Submitted` is left out: the answer to
# Create has said as much, and where that was lost the next status tells.
resource "aws_cloudwatch_event_rule" "bedrock" {
  name        = local.rule_name
  description = "State changes of Bedrock batch inference jobs, ours and others'"
  tags        = local.tags

  event_pattern = jsonencode({
    source      = [var.event_source]
    detail-type = ["Batch Inference Job State Change"]
    detail      = { status = [{ "anything-but" = ["Submitted"] }] }
  })
}

resource "aws_cloudwatch_event_target" "hints" {
  rule      = aws_cloudwatch_event_rule.bedrock.name
  target_id = "hints"
  arn       = module.hints.arn

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = module.hints.dead_letter_arn
  }
}

# The scheduler makes one-time schedules in this group, each with the hints queue as target and its dead-letter queue behind.
resource "aws_scheduler_schedule_group" "timers" {
  name = var.name
  tags = local.tags
}

data "aws_iam_policy_document" "timers_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_scheduler_schedule_group.timers.arn]
    }
  }
}

data "aws_iam_policy_document" "timers" {
  statement {
    sid       = "Send"
    actions   = ["sqs:SendMessage"]
    resources = [module.hints.arn, module.hints.dead_letter_arn]
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
        values   = ["sqs.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role" "timers" {
  name               = "${local.role_prefix}-timers"
  assume_role_policy = data.aws_iam_policy_document.timers_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "timers" {
  name   = "send-hints"
  role   = aws_iam_role.timers.name
  policy = data.aws_iam_policy_document.timers.json
}
