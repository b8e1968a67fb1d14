# What somebody must be told. Every alarm says what it means and which `bbq` command to begin with; docs/operating.md says more,
# docs/metrics.md where each number comes from.
#
# Missing data: a count that is missing is no count. A gauge that is missing has not changed, because one is written whenever
# something happens to its model, and at every check-in; so its alarm keeps its state.

locals {
  # Between two gauges of a model of which anything runs there are check_in_minutes at most, and what a timer may be late.
  gauge_period_seconds = 60 * (var.check_in_minutes + 5)

  ours = { namespace = "BedrockBatchQueue", dimensions = { service = "${var.name}-scheduler" } }

  alarms = merge(
    # A message in a dead-letter queue is work that nobody does any more.
    {
      for queue, what in {
        uploads       = { name = module.uploads.dead_letter_name, is = "Uploads that intake failed to take in for nine hours", run = "mend what its log, or `bbq status`, says, then `bbq redrive uploads`" }
        hints         = { name = module.hints.dead_letter_name, is = "Hints that the scheduler failed to handle for days, or that it was never given", run = "mend what its log says, then `bbq redrive hints`" }
        stream        = { name = module.stream_failures.name, is = "Events that the scheduler could neither handle nor set aside for 23 hours", run = "`bbq redrive stream`, which wakes every unfinished job" }
        notifications = { name = module.notification_failures.name, is = "Events of which the topic's subscribers were not told; the jobs are well", run = "look at the pipe's permissions; `bbq jobs` and `bbq show` tell what was missed" }
        } : "${queue}-dead-letters" => {
        description        = "${what.is}. In ${what.name}, for 14 days: ${what.run}."
        namespace          = "AWS/SQS"
        metric             = "ApproximateNumberOfMessagesVisible"
        dimensions         = { QueueName = what.name }
        statistic          = "Maximum"
        threshold          = 0
        period             = 300
        evaluation_periods = 1
        missing            = "notBreaching"
      }
    },

    # A single error is tried again and means nothing.
    {
      for alarm in flatten([
        for function in [module.intake.name, module.scheduler.name] : [
          { function = function, metric = "Errors", is = "crashes or times out" },
          { function = function, metric = "Throttles", is = "is kept from running: the account's or the function's concurrency is used up" },
        ]
        ]) : "${trimprefix(alarm.function, "${var.name}-")}-${lower(alarm.metric)}" => {
        description        = "${alarm.function} ${alarm.is}, for a quarter of an hour. Nothing is lost while its messages are tried again. See /aws/lambda/${alarm.function}; `bbq status` shows what waits, `bbq reconcile --all` wakes all of it once this is mended."
        namespace          = "AWS/Lambda"
        metric             = alarm.metric
        dimensions         = { FunctionName = alarm.function }
        statistic          = "Sum"
        threshold          = 0
        period             = 300
        evaluation_periods = 3
        missing            = "notBreaching"
      }
    },

    {
      # The stream forgets after 24 hours; here are 23 more to act.
      events-unread = {
        description        = "The scheduler is an hour behind the events: new uploads do not get in line. See /aws/lambda/${module.scheduler.name} for what fails; once it is mended, `bbq reconcile --all` wakes whatever was passed over."
        namespace          = "AWS/Lambda"
        metric             = "IteratorAge"
        dimensions         = { FunctionName = module.scheduler.name }
        statistic          = "Maximum"
        threshold          = 3600000
        period             = 300
        evaluation_periods = 3
        missing            = "notBreaching"
      }

      # A hint that fails comes back, an hour apart at most, for days; its dead-letter queue hears of it too late.
      hints-failing = merge(local.ours, {
        description        = "Hints fail hour after hour: some job is not looked after. HintFailed in /aws/lambda/${module.scheduler.name} has the error; `bbq verify` finds a job whose events are damaged."
        metric             = "HintFailed"
        statistic          = "Sum"
        threshold          = 0
        period             = 3600
        evaluation_periods = 3
        missing            = "notBreaching"
      })

      # Each try is counted, and they are half an hour apart in the end: one in an hour is enough, and told within minutes. An hour
      # without one means that it can be read, or that its message is a dead letter, which has an alarm of its own.
      uploads-unreadable = {
        description        = "Intake may not read uploads, or not copy them: a right on the bucket or on a KMS key is missing, or the key is disabled. Nothing is lost or rejected. `bbq status` and `bbq jobs --status Unreadable` name the right and the key. Grant it: uploads are tried again by themselves for nine hours, at least every half hour; after that, or to hurry them, run `bbq wake`."
        namespace          = "BedrockBatchQueue"
        metric             = "UploadUnreadable"
        dimensions         = { service = module.intake.name }
        statistic          = "Sum"
        threshold          = 0
        period             = 300
        evaluation_periods = 12
        datapoints         = 1
        missing            = "notBreaching"
      }

      slot-overdue = merge(local.ours, {
        description        = "A job holds a slot past its own deadline, and Bedrock has not said that it ended. `bbq jobs` names it; `bbq show` says what Bedrock knows of it; `bbq cancel` stops it."
        metric             = "SlotOverdue"
        statistic          = "Sum"
        threshold          = 0
        period             = local.gauge_period_seconds # it is found at check-ins
        evaluation_periods = 1
        missing            = "notBreaching"
      })

      # AWS turns a pipe off that fails all the time; then nothing reaches its dead-letter queue.
      notifications-failing = {
        description        = "Events are not published to the topic; the jobs are well. See why with `aws pipes describe-pipe --name ${aws_pipes_pipe.notifications.name}`; `bbq jobs` and `bbq show` tell what was missed."
        namespace          = "AWS/EventBridge/Pipes"
        metric             = "ExecutionFailed"
        dimensions         = { PipeName = aws_pipes_pipe.notifications.name }
        statistic          = "Sum"
        threshold          = 0
        period             = 300
        evaluation_periods = 3
        missing            = "notBreaching"
      }
    },

    # Bedrock refuses with "access denied": the queue waits, but only a person can mend the rights.
    {
      for alias in keys(var.models) : "access-denied-${alias}" => {
        description        = "Bedrock denies access to ${alias}: model access, the role's rights, or a service control policy. `bbq jobs` shows who is Held, `bbq show` has Bedrock's words. Mend it; the jobs are tried again by themselves, for 7 days."
        namespace          = local.ours.namespace
        metric             = "AccessDenied"
        dimensions         = merge(local.ours.dimensions, { model = alias })
        statistic          = "Sum"
        threshold          = 0
        period             = 300
        evaluation_periods = 1
        missing            = "notBreaching"
      }
    },

    {
      for alias in keys(var.models) : "oldest-wait-${alias}" => {
        description        = "A job has waited for ${alias} longer than ${var.max_wait_hours} h (max_wait_hours). `bbq status` shows the line and who holds the slots: raise the limit, ask AWS for quota, move a job up with `bbq priority`, or `bbq resume` where the model is paused."
        namespace          = local.ours.namespace
        metric             = "OldestWait"
        dimensions         = merge(local.ours.dimensions, { model = alias })
        statistic          = "Maximum"
        threshold          = var.max_wait_hours * 3600
        period             = 300
        evaluation_periods = 1
        missing            = "ignore"
      }
    },

    # Somebody waits for tomorrow. Not an error: the ceiling does what it is for; but a person should know that it did.
    {
      for alias, model in var.models : "ceiling-reached-${alias}" => {
        description        = "As much of ${alias} has begun today (UTC) as may: ${join(" and ", compact([model.max_jobs_per_day == null ? "" : "${coalesce(model.max_jobs_per_day, 0)} jobs", model.max_records_per_day == null ? "" : "${coalesce(model.max_records_per_day, 0)} records"]))}. The line goes on after midnight UTC. `bbq status` and `bbq jobs` show who uploaded what; `bbq cancel` what is not meant; a ceiling that is too low is raised by a deployment, and used at once."
        namespace          = local.ours.namespace
        metric             = "CeilingReached"
        dimensions         = merge(local.ours.dimensions, { model = alias })
        statistic          = "Sum"
        threshold          = 0
        period             = 300
        evaluation_periods = 1
        missing            = "notBreaching"
      } if model.max_jobs_per_day != null || model.max_records_per_day != null
    },

    # Never, if all is well. Silence after a first sight of it counts as "still so": CloudWatch fills `missing` with what is there.
    {
      for alias in keys(var.models) : "free-slots-${alias}" => {
        description        = "Slots of ${alias} are free although somebody waits, nothing is refused and the model is not paused. `bbq wake ${alias}` wakes the scheduler; if it happens again, its log says why, and `bbq verify` compares the slots with the events."
        namespace          = local.ours.namespace
        metric             = "FreeSlotsWhileWaiting"
        dimensions         = merge(local.ours.dimensions, { model = alias })
        statistic          = "Minimum"
        threshold          = 0
        period             = local.gauge_period_seconds
        evaluation_periods = 2
        missing            = "missing"
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = try(each.value.datapoints, null) # of those periods; null: all
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arn[*]
  ok_actions          = var.alarm_topic_arn[*]
  tags                = local.tags
}

# Deployed before all alarms were one list.
moved {
  from = aws_cloudwatch_metric_alarm.dead_letters["uploads"]
  to   = aws_cloudwatch_metric_alarm.this["uploads-dead-letters"]
}

moved {
  from = aws_cloudwatch_metric_alarm.dead_letters["hints"]
  to   = aws_cloudwatch_metric_alarm.this["hints-dead-letters"]
}

moved {
  from = aws_cloudwatch_metric_alarm.dead_letters["stream"]
  to   = aws_cloudwatch_metric_alarm.this["stream-dead-letters"]
}
