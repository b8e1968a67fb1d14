# Every alarm watches something that is there, says what it means, and tells the topic.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  default_model = "haiku"
  models = {
    haiku = { model_id = "anthropic.claude-haiku-4-5-20251001-v1:0", limit = 1 }
    nova  = { model_id = "amazon.nova-lite-v1:0", limit = 1 }
  }
}

run "a_ceiling_that_is_reached_is_told" {
  command = plan

  variables {
    models = {
      haiku = { model_id = "anthropic.claude-haiku-4-5-20251001-v1:0", limit = 1, max_jobs_per_day = 50 }
      nova  = { model_id = "amazon.nova-lite-v1:0", limit = 1 }
    }
  }

  assert {
    condition     = [for name, alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions.model if alarm.metric_name == "CeilingReached"] == ["haiku"]
    error_message = "A model with a ceiling has its alarm, and no other."
  }

  assert {
    condition     = strcontains(aws_cloudwatch_metric_alarm.this["ceiling-reached-haiku"].alarm_description, ": 50 jobs.")
    error_message = "The alarm says what the ceiling is."
  }
}

run "an_upload_that_cannot_be_read_is_told_within_minutes_and_for_as_long_as_it_is_tried" {
  command = plan

  assert {
    condition     = jsonencode([for attribute in ["period", "datapoints_to_alarm", "evaluation_periods"] : aws_cloudwatch_metric_alarm.this["uploads-unreadable"][attribute]]) == jsonencode([300, 1, 12])
    error_message = "One try in an hour raises the alarm at once; tries are half an hour apart in the end."
  }
}

run "what_is_watched" {
  command = plan

  assert {
    condition = toset([for alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions.QueueName if alarm.namespace == "AWS/SQS"]) == toset([
      "bbq-uploads-dead", "bbq-hints-dead", "bbq-stream-failures",
    ])
    error_message = "An alarm watches a queue that is not there, or a dead-letter queue has none."
  }

  assert {
    condition = jsonencode(sort([for name, alarm in aws_cloudwatch_metric_alarm.this : name if alarm.namespace != "AWS/SQS"])) == jsonencode([
      "events-unread", "free-slots-haiku", "free-slots-nova", "hints-failing",
      "intake-errors", "intake-throttles", "job-unknown", "model-held-haiku", "model-held-nova", "notifications-failing", "oldest-wait-haiku", "oldest-wait-nova",
      "scheduler-errors", "scheduler-throttles", "slot-overdue", "timers-dropped", "timers-failing", "timers-lost", "uploads-unreadable",
    ])
    error_message = "There are exactly these alarms."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions.service == (alarm.metric_name == "UploadUnreadable" ? "bbq-intake" : "bbq-scheduler") if alarm.namespace == "BedrockBatchQueue"])
    error_message = "An alarm must watch the metrics of this deployment's functions: intake's of uploads, else the scheduler's."
  }

  assert {
    condition = alltrue([
      for name, alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions.model == regex("(haiku|nova)$", name)[0]
      if can(regex("(haiku|nova)$", name))
    ])
    error_message = "A model's alarm watches that model."
  }

  assert {
    condition = jsonencode({ for name, alarm in aws_cloudwatch_metric_alarm.this : name => [alarm.metric_name, alarm.dimensions] if alarm.namespace == "AWS/Scheduler" }) == jsonencode({
      timers-dropped = ["InvocationDroppedCount", { ScheduleGroup = "bbq" }]
      timers-failing = ["TargetErrorCount", { ScheduleGroup = "bbq" }]
      timers-lost    = ["InvocationsFailedToBeSentToDeadLetterCount", { ScheduleGroup = "bbq" }]
    })
    error_message = "A timer that cannot be delivered shows in the metrics of its group, and nowhere else."
  }

  assert {
    condition = alltrue([
      for queue, days in { uploads = 12, hints = 9, stream = 14 } :
      strcontains(aws_cloudwatch_metric_alarm.this["${queue}-dead-letters"].alarm_description, "for ${days} days from now at least")
    ])
    error_message = "An alarm of dead letters says how long a person has."
  }

  assert {
    condition     = strcontains(aws_cloudwatch_metric_alarm.this["hints-failing"].alarm_description, "must allow AWS EventBridge Scheduler to assume the role")
    error_message = "The alarm names the refusal that passes by itself."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["oldest-wait-nova"].threshold == 24 * 3600
    error_message = "A job may wait a day."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_actions) == 0])
    error_message = "No topic, no action."
  }

  # 30 minutes between two gauges of a model: a period must hold at least one.
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["free-slots-nova"].period > 30 * 60 && aws_cloudwatch_metric_alarm.this["slot-overdue"].period > 30 * 60
    error_message = "A gauge is written every check_in_minutes only."
  }
}

# CloudWatch: at most a week of evaluation, and a day where the period is below an hour.
run "the_longest_check_in_is_still_a_legal_alarm" {
  command = plan

  variables {
    check_in_minutes = 1440
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.period * alarm.evaluation_periods <= (alarm.period >= 3600 ? 604800 : 86400) && alarm.period % 60 == 0])
    error_message = "CloudWatch would refuse this alarm."
  }
}

run "the_shortest_check_in_is_still_a_legal_alarm_and_a_topic_is_told" {
  command = plan

  variables {
    check_in_minutes = 1
    max_wait_hours   = 0.5
    alarm_topic_arn  = "arn:aws:sns:us-east-1:123456789012:operators"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : contains(alarm.alarm_actions, "arn:aws:sns:us-east-1:123456789012:operators") && alarm.ok_actions == alarm.alarm_actions])
    error_message = "The topic must be told, of the end too."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.period * alarm.evaluation_periods <= (alarm.period >= 3600 ? 604800 : 86400) && alarm.period % 60 == 0])
    error_message = "CloudWatch would refuse this alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["oldest-wait-haiku"].threshold == 1800
    error_message = "max_wait_hours is the bound."
  }
}
