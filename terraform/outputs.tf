output "bucket" {
  description = "The bucket: uploads go to to-process/, results come to processed/."
  value       = aws_s3_bucket.this.id
}

output "events_table" {
  description = "The table of events."
  value       = aws_dynamodb_table.events.name
}

output "projections_table" {
  description = "The table of job views, lines and slots."
  value       = aws_dynamodb_table.projections.name
}

output "intake_function" {
  description = "The function that inspects uploads."
  value       = module.intake.name
}

output "scheduler_function" {
  description = "The function that schedules jobs."
  value       = module.scheduler.name
}

output "intake_queue_url" {
  description = "The queue of uploads, between the bucket and intake."
  value       = module.uploads.url
}

output "hints_queue_url" {
  description = "The queue of hints, in front of the scheduler."
  value       = module.hints.url
}

output "dead_letter_queue_urls" {
  description = "The queues of messages that could not be handled, by where they came from: `uploads`, `hints`, the events' `stream`."
  value       = local.dead_letter_queue_urls
}

output "event_rule" {
  description = "The EventBridge rule for Bedrock's state changes."
  value       = aws_cloudwatch_event_rule.bedrock.name
}

output "timer_group" {
  description = "The group of the scheduler's one-time schedules."
  value       = aws_scheduler_schedule_group.timers.name
}

output "limits" {
  description = "The limit in force of each model."
  value       = local.limits
}

output "bedrock_role_arn" {
  description = "The role that Bedrock runs the jobs with."
  value       = local.bedrock_role_arn
}

output "parameter" {
  description = "The SSM parameter by which `bbq` finds the deployment."
  value       = aws_ssm_parameter.deployment.name
}

output "events_topic_arn" {
  description = "The SNS topic of what becomes of jobs."
  value       = aws_sns_topic.events.arn
}

output "viewer_policy_arn" {
  description = "The policy for people who may look."
  value       = aws_iam_policy.viewer.arn
}

output "operator_policy_arn" {
  description = "The policy for people who may act."
  value       = aws_iam_policy.operator.arn
}

output "dashboard" {
  description = "The CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
