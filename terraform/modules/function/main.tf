# A Lambda function with its role and its log group. What the role may do beyond logging and tracing is `policy`, written
# beside the function that needs it.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "name" {
  description = "Name of the function."
  type        = string
}

variable "role_name" {
  description = "Name of its role."
  type        = string
}

variable "description" {
  description = "What the function is for."
  type        = string
}

variable "handler" {
  description = "Python path of the handler."
  type        = string
}

variable "zip" {
  description = "Path of the function's zip."
  type        = string
}

variable "memory_mb" {
  description = "Memory, and with it CPU: 1,769 MB are one vCPU."
  type        = number
}

variable "timeout_seconds" {
  description = "How long one invocation may run."
  type        = number
}

variable "environment" {
  description = "Environment variables. Lambda allows 4 KB."
  type        = map(string)
}

variable "policy" {
  description = "JSON of the policy of its role."
  type        = string
}

variable "log_retention_days" {
  description = "Days that its logs are kept."
  type        = number
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the logs; null for CloudWatch's own."
  type        = string
}

variable "tags" {
  description = "Tags of everything here."
  type        = map(string)
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

# No right to create a log group: the one below is the only one, and its retention holds.
data "aws_iam_policy_document" "basics" {
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    sid       = "Trace"
    actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    resources = ["*"] # X-Ray has no resources to name
  }
}

resource "aws_iam_role" "this" {
  name               = var.role_name
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "basics" {
  name   = "log-and-trace"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.basics.json
}

resource "aws_iam_role_policy" "work" {
  name   = "work"
  role   = aws_iam_role.this.name
  policy = var.policy
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158: With kms_key_arn it is the customer's key; without it CloudWatch encrypts with its own. Logs hold ids, no content.
  #checkov:skip=CKV_AWS_338: The events are the record, and stay. Logs are for finding faults; log_retention_days decides.
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116: Nobody invokes it asynchronously; its queues and its stream have dead-letter queues of their own.
  #checkov:skip=CKV_AWS_117: It talks to AWS's APIs alone and holds no network resource; a VPC would add endpoints to pay and to fail.
  #checkov:skip=CKV_AWS_115: The event source mappings bound its concurrency; a reservation would take from the account's.
  #checkov:skip=CKV_AWS_272: The zips are built from this tree by whoever applies; a signing profile is theirs to add.
  #checkov:skip=CKV_AWS_173: The environment holds names of resources and models, no secret; Lambda encrypts it with its own key.
  function_name    = var.name
  description      = var.description
  role             = aws_iam_role.this.arn
  runtime          = "python3.13"
  architectures    = ["arm64"]
  handler          = var.handler
  filename         = var.zip
  source_code_hash = filebase64sha256(var.zip)
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds
  tags             = var.tags

  environment {
    variables = var.environment
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.basics, aws_iam_role_policy.work]
}

output "arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "fingerprint" {
  description = "Changes with the function's code and its configuration."
  value       = sha256(jsonencode([aws_lambda_function.this.source_code_hash, var.environment]))
}
