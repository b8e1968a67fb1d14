# One model, and defaults for everything else. Build the zips first: `make build`, in the repository's root.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

module "bbq" {
  source = "../.."
  models = { haiku = { model_id = "us.anthropic.claude-haiku-4-5-20251001-v1:0", limit = 20 } }
}

output "bucket" {
  description = "Upload to to-process/ in this bucket; results come to processed/."
  value       = module.bbq.bucket
}

output "limits" {
  description = "How many jobs of each model may run at once."
  value       = module.bbq.limits
}
