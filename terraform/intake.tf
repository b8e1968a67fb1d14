# Intake: upload -> notification -> queue -> inspection -> `job-queued` or `job-rejected`.

module "uploads" {
  source = "./modules/queue"

  refused_transport        = local.refused_transport
  kms_key_arn              = var.kms_key_arn
  name                     = "${var.name}-uploads"
  arn_prefix               = local.queue_arn_prefix
  function_timeout_seconds = local.intake_timeout_seconds
  # The last of them half an hour apart: an outage of nine hours passes unnoticed. A day and a half if every one is cut off.
  max_receive_count = 24
  senders = [{
    service        = "s3.amazonaws.com"
    source_arn     = aws_s3_bucket.this.arn
    source_account = local.account_id
  }]
  tags = local.tags
}

locals {
  queue_arn_prefix       = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:"
  intake_timeout_seconds = 900 # Lambda's longest
  zip_directory          = coalesce(var.zip_directory, "${path.module}/../.build")

  # Of both functions. Each has only what it reads: 4 KB hold all variables of a function, the models among them.
  environment = merge({
    BBQ_EVENTS_TABLE             = aws_dynamodb_table.events.name
    BBQ_MODELS                   = local.models_json
    POWERTOOLS_LOG_LEVEL         = "INFO"
    POWERTOOLS_METRICS_NAMESPACE = "BedrockBatchQueue"
  }, var.environment)
}

data "aws_iam_policy_document" "intake" {
  statement {
    sid       = "ReceiveUploads"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    resources = [module.uploads.arn]
  }

  statement {
    sid       = "ReadUploads"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.this.arn}/to-process/*"]
  }

  # Only for S3's sake: without it a missing object answers 403 instead of 404. A condition on s3:prefix would undo that,
  # because reading an object has no prefix.
  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this.arn]
  }

  # For a warning: the version before holds the same bytes.
  statement {
    sid       = "SeeVersionBefore"
    actions   = ["s3:ListBucketVersions"]
    resources = [aws_s3_bucket.this.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["to-process/*"]
    }
  }

  statement {
    sid       = "Stage"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/staged/*"]
  }

  statement {
    sid       = "AppendEvents"
    actions   = ["dynamodb:PutItem", "dynamodb:Query"]
    resources = [aws_dynamodb_table.events.arn]
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
        values   = local.kms_via
      }
    }
  }
}

module "intake" {
  source = "./modules/function"

  name               = local.intake_name
  role_name          = "${local.role_prefix}-intake"
  description        = "Inspects uploads, and queues or rejects them"
  handler            = "bbq.services.intake.handler.handler"
  zip                = "${local.zip_directory}/intake.zip"
  memory_mb          = 1769 # one whole vCPU: inspecting 1 GB takes about 20 seconds
  timeout_seconds    = local.intake_timeout_seconds
  policy             = data.aws_iam_policy_document.intake.json
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = local.tags

  environment = merge(local.environment, {
    POWERTOOLS_SERVICE_NAME = local.intake_name
    BBQ_BUCKET              = aws_s3_bucket.this.id
    BBQ_DEFAULT_MODEL       = local.default_model
    BBQ_UPLOADS_QUEUE_URL   = module.uploads.url
  })
}

# One upload per invocation: a large one neither delays nor fails another.
resource "aws_lambda_event_source_mapping" "uploads" {
  event_source_arn        = module.uploads.arn
  function_name           = module.intake.arn
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = local.tags

  scaling_config {
    maximum_concurrency = var.concurrency.intake
  }
}
