# The role that Bedrock reads the staged input and writes the output with, unless one is given.

locals {
  create_bedrock_role = var.bedrock_role_arn == null
  bedrock_role_arn    = local.create_bedrock_role ? aws_iam_role.bedrock[0].arn : var.bedrock_role_arn
}

data "aws_iam_policy_document" "bedrock_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["bedrock.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["${local.own}:model-invocation-job/*"]
    }
  }
}

data "aws_iam_policy_document" "bedrock" {
  statement {
    sid       = "ReadInput"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this.arn}/staged/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [local.account_id]
    }
  }

  statement {
    sid       = "WriteOutput"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/processed/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [local.account_id]
    }
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this.arn]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [local.account_id]
    }
  }

  # A job that runs on an inference profile invokes the model in the profile's Regions with this role.
  dynamic "statement" {
    for_each = length(local.profile_arns) > 0 ? [local.profile_arns] : []

    content {
      sid       = "InvokeThroughProfiles"
      actions   = ["bedrock:InvokeModel"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]

    content {
      sid       = "UseKey"
      actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "bedrock" {
  count = local.create_bedrock_role ? 1 : 0

  name               = "${local.role_prefix}-bedrock"
  assume_role_policy = data.aws_iam_policy_document.bedrock_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "bedrock" {
  count = local.create_bedrock_role ? 1 : 0

  name   = "batch-inference"
  role   = aws_iam_role.bedrock[0].name
  policy = data.aws_iam_policy_document.bedrock.json
}
