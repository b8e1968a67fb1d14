# No provider block: this directory is applied directly, and also used as a module.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id # `name` until version 5, `region` since version 6 of the provider; `id` in both
  tags       = merge(var.tags, { "bbq-deployment" = var.name })

  # Known before anything is made: alarms and dashboard watch by name and wait for nothing, and a first plan shows key_policy.
  intake_name    = "${var.name}-intake"
  scheduler_name = "${var.name}-scheduler"
  bucket_name    = coalesce(var.bucket_name, "${var.name}-${local.account_id}-${local.region}")
  rule_name      = "${var.name}-bedrock"

  # Roles are global in an account, everything else is regional: with the Region in it, one name fits several Regions.
  role_prefix = "${var.name}-${local.region}"

  # Only an emulator has another event source. There is no other difference between AWS and an emulator than these two:
  emulated = var.event_source != "aws.bedrock"

  # - the value of aws:SecureTransport that policies refuse: emulators speak plain HTTP;
  refused_transport = local.emulated ? "none" : "false"

  # - the group that IAM sees for a schedule: MiniStack takes every schedule to be in the default group.
  timer_groups = local.emulated ? [var.name, "default"] : [var.name]
}
