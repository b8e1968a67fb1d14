# Notifications: every event of a job is published to an SNS topic, for whoever wants to hear of it (docs/events.md). No code:
# a pipe reads the events table's stream and writes one message for each event.
#
# A stream serves two readers at most: the scheduler is one, this is the other. A message may come twice, and late.

locals {
  # Not forever, because one record that cannot be published holds up those behind it. What is given up is set aside, by its
  # place in the stream; the event itself is in the table.
  notification_max_age_seconds    = 14400
  notification_max_retry_attempts = 185

  # The message's body. Without quotes around them: a pipe puts a string in as a JSON string, so that a key that holds quotes
  # cannot write fields of its own. `version` is a DynamoDB number, which streams give as text.
  notification_body = {
    job     = "<$.dynamodb.NewImage.job.S>"
    model   = "<$.dynamodb.NewImage.model.S>"
    status  = "<$.dynamodb.NewImage.status.S>"
    outcome = "<$.dynamodb.NewImage.outcome.S>"
    owner   = "<$.dynamodb.NewImage.owner.S>"
    key     = "<$.dynamodb.NewImage.key.S>"
    event   = "<$.dynamodb.NewImage.name.S>"
    version = "<$.dynamodb.NewImage.version.N>"
    at      = "<$.dynamodb.NewImage.at.S>"
    data    = "<$.dynamodb.NewImage.data.S>"
  }
  notification_template = "{${join(", ", [for name, path in local.notification_body : "\"${name}\": ${path}"])}}"
}

# Nobody outside the account: no statement lets them in, and inside it everybody's own rights decide.
data "aws_iam_policy_document" "events_topic" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sns:Publish", "sns:Subscribe"] # a topic's policy takes no `sns:*`
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account_id}:${var.name}-events"]

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

resource "aws_sns_topic" "events" {
  name              = "${var.name}-events"
  display_name      = var.name
  kms_master_key_id = var.kms_key_arn
  policy            = data.aws_iam_policy_document.events_topic.json
  tags              = local.tags
}

data "aws_iam_policy_document" "notifications_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["pipes.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:pipes:${local.region}:${local.account_id}:pipe/${var.name}-notifications"]
    }
  }
}

data "aws_iam_policy_document" "notifications" {
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
    sid       = "Publish"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.events.arn]
  }

  statement {
    sid       = "SetAside"
    actions   = ["sqs:SendMessage"]
    resources = [module.notification_failures.arn]
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
        values   = [for service in ["dynamodb", "sns", "sqs"] : "${service}.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role" "notifications" {
  name               = "${local.role_prefix}-notifications"
  assume_role_policy = data.aws_iam_policy_document.notifications_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "notifications" {
  name   = "publish-events"
  role   = aws_iam_role.notifications.name
  policy = data.aws_iam_policy_document.notifications.json
}

# From the stream's beginning, or the first events of a new deployment could be missed. A pipe that is made anew therefore
# publishes the last day's events once more.
resource "aws_pipes_pipe" "notifications" {
  name          = "${var.name}-notifications"
  description   = "Publishes every event of a job"
  desired_state = var.publish_events ? "RUNNING" : "STOPPED"
  role_arn      = aws_iam_role.notifications.arn
  source        = aws_dynamodb_table.events.stream_arn
  target        = aws_sns_topic.events.arn
  tags          = local.tags

  source_parameters {
    dynamodb_stream_parameters {
      starting_position             = "TRIM_HORIZON"
      batch_size                    = 10
      maximum_record_age_in_seconds = local.notification_max_age_seconds
      maximum_retry_attempts        = local.notification_max_retry_attempts
      on_partial_batch_item_failure = "AUTOMATIC_BISECT"

      dead_letter_config {
        arn = module.notification_failures.arn
      }
    }

    filter_criteria {
      filter {
        pattern = jsonencode({
          eventName = ["INSERT"]
          dynamodb  = { Keys = { stream = { S = [{ prefix = "job#" }] } } }
        })
      }
    }
  }

  target_parameters {
    input_template = local.notification_template
  }

  depends_on = [aws_iam_role_policy.notifications] # AWS tries the role when the pipe is made
}

# Where records go that could not be published.
module "notification_failures" {
  source = "./modules/dead_letters"

  refused_transport = local.refused_transport
  kms_key_arn       = var.kms_key_arn
  name              = "${var.name}-notification-failures"
  arn_prefix        = local.queue_arn_prefix
  tags              = local.tags
}
