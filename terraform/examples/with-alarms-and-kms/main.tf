# Two models, alarms that send mail, and everything that is kept encrypted with a KMS key of yours.
#
# The key exists before the deployment, because S3 and EventBridge are refused until its policy lets them use it. A plan
# already knows that policy: `terraform plan` shows it as the output `key_policy`. Put it on the key, then apply.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key."
  type        = string
}

variable "mail" {
  description = "Mail address that alarms are sent to. AWS asks the address for consent first."
  type        = string
}

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26: CloudWatch sends alarms to an encrypted topic only if the key's policy names it. Alarms hold no content.
  name = "bbq-alarms"
}

resource "aws_sns_topic_subscription" "mail" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.mail
}

module "bbq" {
  source        = "../.."
  default_model = "haiku"
  models = {
    haiku = { model_id = "us.anthropic.claude-haiku-4-5-20251001-v1:0", limit = 20, max_records_per_day = 500000 }
    nova  = { model_id = "amazon.nova-lite-v1:0", quota_code = "L-E2ED42E6", invocation_type = "Converse" }
  }
  kms_key_arn     = var.kms_key_arn
  alarm_topic_arn = aws_sns_topic.alarms.arn
  max_wait_hours  = 6
}

output "bucket" {
  description = "Upload to to-process/ in this bucket; results come to processed/."
  value       = module.bbq.bucket
}

output "key_policy" {
  description = "What the key's policy must hold, before an apply."
  value       = module.bbq.key_policy
}

output "limits" {
  description = "How many jobs of each model may run at once. Here nova's is the account's quota."
  value       = module.bbq.limits
}
