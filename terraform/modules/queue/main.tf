# A queue with its dead-letter queue. Both keep messages as long as SQS can, and refuse what does not come over TLS.
#
# With a KMS key, S3 and EventBridge can only send if the key's policy lets them, too (key.tf): without it EventBridge loses
# events without a word, and the timers' check-ins find out. The policies are set with the queue, because the provider waits
# half a minute after each separate change.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "name" {
  description = "Name of the queue; the dead-letter queue has `-dead` behind it."
  type        = string
}

variable "arn_prefix" {
  description = "The queue's ARN up to its name: its policy must name it before it exists."
  type        = string
}

variable "function_timeout_seconds" {
  description = "Timeout of the function that receives: a message stays hidden six times as long, as Lambda asks."
  type        = number
}

variable "max_receive_count" {
  description = "How often a message is received before it moves to the dead-letter queue."
  type        = number
}

variable "senders" {
  description = "AWS services that may send, each only for one source. With `dead_letters` it may also send to the dead-letter queue."
  type = list(object({
    service        = string
    source_arn     = string
    source_account = optional(string)
    dead_letters   = optional(bool, false)
  }))
}

variable "refused_transport" {
  description = "The value of aws:SecureTransport that is refused."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the messages; null for SQS's own."
  type        = string
}

variable "tags" {
  description = "Tags of both queues."
  type        = map(string)
}

locals {
  names = { queue = var.name, dead = "${var.name}-dead" }
  senders = {
    queue = var.senders
    dead  = [for sender in var.senders : sender if sender.dead_letters]
  }
}

data "aws_iam_policy_document" "this" {
  for_each = local.names

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = ["${var.arn_prefix}${each.value}"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = [var.refused_transport]
    }
  }

  dynamic "statement" {
    for_each = local.senders[each.key]

    content {
      actions   = ["sqs:SendMessage"]
      resources = ["${var.arn_prefix}${each.value}"]

      principals {
        type        = "Service"
        identifiers = [statement.value.service]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [statement.value.source_arn]
      }

      dynamic "condition" {
        for_each = statement.value.source_account[*]

        content {
          test     = "StringEquals"
          variable = "aws:SourceAccount"
          values   = [condition.value]
        }
      }
    }
  }
}

resource "aws_sqs_queue" "dead" {
  name                      = local.names.dead
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  policy                    = data.aws_iam_policy_document.this["dead"].json
  tags                      = var.tags
}

resource "aws_sqs_queue" "this" {
  name                       = local.names.queue
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 6 * var.function_timeout_seconds
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  kms_master_key_id          = var.kms_key_arn
  policy                     = data.aws_iam_policy_document.this["queue"].json
  tags                       = var.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = var.max_receive_count
  })
}

output "arn" {
  description = "ARN of the queue."
  value       = aws_sqs_queue.this.arn
}

output "url" {
  description = "URL of the queue."
  value       = aws_sqs_queue.this.url
}

output "dead_letter_arn" {
  description = "ARN of the dead-letter queue."
  value       = aws_sqs_queue.dead.arn
}

output "dead_letter_url" {
  description = "URL of the dead-letter queue."
  value       = aws_sqs_queue.dead.url
}
