# A dead-letter queue that stands alone: what a reader of the events' stream could not handle. It keeps messages as long as SQS
# can, and refuses what does not come over TLS.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "name" {
  description = "Name of the queue."
  type        = string
}

variable "arn_prefix" {
  description = "The queue's ARN up to its name: its policy must name it before it exists."
  type        = string
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
  description = "Tags of the queue."
  type        = map(string)
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = ["${var.arn_prefix}${var.name}"]

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
}

resource "aws_sqs_queue" "this" {
  name                      = var.name
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  policy                    = data.aws_iam_policy_document.this.json
  tags                      = var.tags
}

output "arn" {
  description = "ARN of the queue."
  value       = aws_sqs_queue.this.arn
}

output "url" {
  description = "URL of the queue."
  value       = aws_sqs_queue.this.url
}

output "name" {
  description = "Name of the queue."
  value       = aws_sqs_queue.this.name
}
