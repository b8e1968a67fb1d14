# Every dead-letter queue has an alarm, by the queue's very name, and so has "access denied".
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  models = { haiku = { model_id = "anthropic.claude-haiku-4-5-20251001-v1:0", limit = 1 } }
}

run "every_dead_letter_queue_has_an_alarm" {
  command = plan

  assert {
    condition = toset([for alarm in aws_cloudwatch_metric_alarm.dead_letters : alarm.dimensions.QueueName]) == toset([
      "bbq-uploads-dead", "bbq-hints-dead", "bbq-stream-failures",
    ])
    error_message = "An alarm watches a queue that is not there, or a dead-letter queue has none."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.access_denied.dimensions.service == "bbq-scheduler"
    error_message = "The alarm must watch the metric of this deployment's scheduler."
  }
}

run "a_topic_is_told" {
  command = plan

  variables {
    alarm_topic_arn = "arn:aws:sns:us-east-1:123456789012:operators"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.dead_letters : contains(alarm.alarm_actions, "arn:aws:sns:us-east-1:123456789012:operators")])
    error_message = "The topic must be told."
  }
}

run "what_is_no_topic_is_refused" {
  command = plan

  variables {
    alarm_topic_arn = "operators"
  }

  expect_failures = [var.alarm_topic_arn]
}
