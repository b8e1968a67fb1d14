# For people: what a deployment is, for `bbq` to find, and the rights to look at it (viewer) and to act on it (operator). The
# policies are attached to nobody here. Their names hold the Region, as the roles' do: IAM is global.

# `bbq` reads this and nothing else to find a deployment (cli/deployment.py).
resource "aws_ssm_parameter" "deployment" {
  #checkov:skip=CKV2_AWS_34: It holds names of resources, no secret; a SecureString would only cost every reader a right to decrypt.
  name        = "${local.parameter_path}/${var.name}"
  description = "What the deployment ${var.name} of bedrock-batch-queue is; read by bbq"
  type        = "String"
  tier        = "Intelligent-Tiering" # the standard one ends at 4 KB
  tags        = local.tags

  value = jsonencode({
    name                   = var.name
    region                 = local.region
    account_id             = local.account_id
    bucket                 = aws_s3_bucket.this.id
    events_table           = aws_dynamodb_table.events.name
    projections_table      = aws_dynamodb_table.projections.name
    models                 = jsondecode(local.models_json)
    default_model          = local.default_model
    uploads_queue_url      = module.uploads.url
    hints_queue_url        = module.hints.url
    dead_letter_queue_urls = local.dead_letter_queue_urls
    events_topic_arn       = aws_sns_topic.events.arn
    lease_seconds          = local.scheduler_timeout_seconds + local.lease_beyond_timeout_seconds
  })
}

locals {
  parameter_path = "/bedrock-batch-queue"

  # CREATE_TIMEOUT and LEASE_MARGIN of services/scheduler/config.py: 35 s and a minute.
  lease_beyond_timeout_seconds = 95

  # Those whose messages can be sent again.
  dead_letter_queue_urls = {
    uploads = module.uploads.dead_letter_url
    hints   = module.hints.dead_letter_url
    stream  = aws_sqs_queue.stream_failures.url
  }
  dead_letter_queue_arns = [
    module.uploads.dead_letter_arn,
    module.hints.dead_letter_arn,
    aws_sqs_queue.stream_failures.arn,
  ]
}

data "aws_iam_policy_document" "viewer" {
  # The path without a name: `bbq` lists the deployments when none was named.
  statement {
    sid     = "FindDeployment"
    actions = ["ssm:GetParameter", "ssm:GetParametersByPath"]
    resources = [
      aws_ssm_parameter.deployment.arn,
      "arn:${local.partition}:ssm:${local.region}:${local.account_id}:parameter${local.parameter_path}",
      "arn:${local.partition}:ssm:${local.region}:${local.account_id}:parameter${local.parameter_path}/",
    ]
  }

  # Jobs by status come from the index; histories, views, lines and slots from the tables. No Scan.
  statement {
    sid     = "ReadTables"
    actions = ["dynamodb:GetItem", "dynamodb:Query"]
    resources = [
      aws_dynamodb_table.events.arn,
      aws_dynamodb_table.projections.arn,
      "${aws_dynamodb_table.projections.arn}/index/by-status",
    ]
  }

  # How many dead letters there are, not what they say. `bbq` looks at no other queue.
  statement {
    sid       = "CountMessages"
    actions   = ["sqs:GetQueueAttributes"]
    resources = local.dead_letter_queue_arns
  }

  # What Bedrock itself says of a job.
  statement {
    sid       = "AskBedrock"
    actions   = ["bedrock:GetModelInvocationJob"]
    resources = ["${local.own}:model-invocation-job/*"]
  }

  # Results, to download; uploads, because HeadObject needs the right to read.
  statement {
    sid       = "ReadObjects"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this.arn}/processed/*", "${aws_s3_bucket.this.arn}/to-process/*"]
  }

  # Names of objects; and without it a missing object answers 403 instead of 404. A condition on s3:prefix would undo that.
  statement {
    sid       = "ListObjects"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this.arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]

    content {
      sid       = "ReadEncrypted"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = local.kms_via
      }
    }
  }
}

# What an operator has beyond a viewer.
data "aws_iam_policy_document" "operator" {
  source_policy_documents = [data.aws_iam_policy_document.viewer.json]

  # Cancel, retry, pause, resume and priorities are events. The table's own policy keeps them from being changed or removed.
  statement {
    sid       = "AppendEvents"
    actions   = ["dynamodb:ConditionCheckItem", "dynamodb:PutItem"]
    resources = [aws_dynamodb_table.events.arn]
  }

  # `bbq rebuild`: it pauses a model in its item too, and writes what differs.
  statement {
    sid = "Project"
    actions = [
      "dynamodb:DeleteItem",
      "dynamodb:PutItem",
      "dynamodb:UpdateItem",
    ]
    resources = [aws_dynamodb_table.projections.arn]
  }

  # `bbq verify`, `rebuild`, `wake --all` and `redrive stream` walk whole tables. No function has this right.
  statement {
    sid       = "WalkTables"
    actions   = ["dynamodb:Scan"]
    resources = [aws_dynamodb_table.events.arn, aws_dynamodb_table.projections.arn]
  }

  # Wake the scheduler, and send dead letters once more.
  statement {
    sid       = "Wake"
    actions   = ["sqs:SendMessage"]
    resources = [module.uploads.arn, module.hints.arn]
  }

  # `bbq redrive`.
  statement {
    sid       = "TakeDeadLetters"
    actions   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = local.dead_letter_queue_arns
  }

  # `bbq submit`, in parts where a file is large.
  statement {
    sid       = "Upload"
    actions   = ["s3:AbortMultipartUpload", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/to-process/*"]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]

    content {
      sid       = "WriteEncrypted"
      actions   = ["kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = local.kms_via
      }
    }
  }
}

resource "aws_iam_policy" "viewer" {
  name        = "${local.role_prefix}-viewer"
  description = "Look at the deployment ${var.name} in ${local.region}: jobs, lines, slots, results"
  policy      = data.aws_iam_policy_document.viewer.json
  tags        = local.tags
}

resource "aws_iam_policy" "operator" {
  name        = "${local.role_prefix}-operator"
  description = "Look at the deployment ${var.name} in ${local.region}, and act on it: upload, cancel, retry, pause, repair"
  policy      = data.aws_iam_policy_document.operator.json
  tags        = local.tags
}
