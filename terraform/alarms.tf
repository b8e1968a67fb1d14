# A message in a dead-letter queue is work that nobody does any more: somebody must look.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = {
    uploads = module.uploads.dead_letter_name
    hints   = module.hints.dead_letter_name
    stream  = aws_sqs_queue.stream_failures.name
  }

  alarm_name          = "${var.name}-${each.key}-dead-letters"
  alarm_description   = "Messages in ${each.value}: look at them, mend the cause, and move them back within 14 days."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arn[*]
  ok_actions          = var.alarm_topic_arn[*]
  tags                = local.tags
}

# Bedrock refuses with "access denied": the queue waits, but only a person can mend the rights. The scheduler counts each
# refusal's kind; this one is a metric of its own.
resource "aws_cloudwatch_metric_alarm" "access_denied" {
  alarm_name          = "${var.name}-bedrock-access-denied"
  alarm_description   = "Bedrock refuses jobs of ${var.name} with AccessDenied: see the reason in the views of the jobs that are Held."
  namespace           = "BedrockBatchQueue"
  metric_name         = "AccessDenied"
  dimensions          = { service = "${var.name}-scheduler" }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arn[*]
  ok_actions          = var.alarm_topic_arn[*]
  tags                = local.tags
}
