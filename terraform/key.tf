# What the policy of a customer's own KMS key must hold for this deployment (docs/rights.md). The key is not ours, so neither is
# its policy: this is an output, to be put there before an apply with `kms_key_arn`. It refers to no resource, so that the first plan
# shows it. Roles have their rights from IAM, which the first statement lets decide; services have no role here, and must be named.

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109: The first statement is AWS's own default for a key: what it allows, IAM's policies decide.
  #checkov:skip=CKV_AWS_111: As above.
  #checkov:skip=CKV_AWS_356: In a key's policy the star is the key.
  statement {
    sid       = "${local.key_sid}AccountDecides"
    actions   = ["kms:*"]
    resources = ["*"] # in a key's policy: the key

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account_id}:root"]
    }
  }

  # S3 sends to the queue of uploads, EventBridge to that of hints and its dead-letter queue.
  dynamic "statement" {
    for_each = {
      Uploads = { service = "s3.amazonaws.com", source = "arn:${local.partition}:s3:::${local.bucket_name}" }
      Hints   = { service = "events.amazonaws.com", source = "arn:${local.partition}:events:${local.region}:${local.account_id}:rule/${local.rule_name}" }
    }

    content {
      sid       = "${local.key_sid}${statement.key}"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = ["*"]

      principals {
        type        = "Service"
        identifiers = [statement.value.service]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [statement.value.source]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account_id]
      }
    }
  }

  # CloudWatch Logs tells the group in the encryption context.
  statement {
    sid       = "${local.key_sid}Logs"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.${data.aws_partition.current.dns_suffix}"]
    }

    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = [for function in ["intake", "scheduler"] : "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:/aws/lambda/${var.name}-${function}"]
    }
  }
}

locals {
  key_sid = "Bbq"
}

output "key_policy" {
  description = "What the policy of kms_key_arn must hold, as JSON."
  value       = data.aws_iam_policy_document.key.json
}
