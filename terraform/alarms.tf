# What a person must know. Every alarm says what it means and which `bbq` command to begin with; docs/operating.md says more,
# docs/metrics.md where each number comes from. Another alarm is one more entry of `alarms`, and a row in both pages.
#
# Everything is watched by its name, which is known beforehand: the alarms of a first apply are there although something that is
# made later fails.
#
# Missing data: a count that is missing is no count. A gauge that is missing has not changed, because one is written whenever
# something happens to its model, and at every check-in; so its alarm keeps its state.

locals {
  # Between two gauges of a model of which anything runs there are check_in_minutes at most, and what a timer may be late.
  gauge_period_seconds = 60 * (var.check_in_minutes + 5)

  ours = { namespace = "BedrockBatchQueue", dimensions = { service = local.scheduler_name } }

  # Days that a message is in its dead-letter queue at least. One that was moved there keeps its age: of 14 days are left what its
  # receives have not taken.
  dead_letters = {
    uploads = { queue = "${var.name}-uploads-dead", days = 12 }
    hints   = { queue = "${var.name}-hints-dead", days = 9 }
    stream  = { queue = "${var.name}-stream-failures", days = 14 }
  }

  alarms = merge(
    # A message in a dead-letter queue is work that is not done any more.
    {
      for from, what in {
        uploads = "Uploads that intake failed to take in for nine hours. Repair what its log, or `bbq status`, says, then `bbq redrive uploads`."
        hints   = "Hints that the scheduler failed to handle for days, or never received. Repair what its log says, then `bbq redrive hints`."
        stream  = "Events that the scheduler could neither handle nor set aside for 23 hours. `bbq redrive stream` wakes every unfinished job."
        } : "${from}-dead-letters" => {
        description        = "${what} They are in ${local.dead_letters[from].queue} for ${local.dead_letters[from].days} days from now at least, then gone."
        namespace          = "AWS/SQS"
        metric             = "ApproximateNumberOfMessagesVisible"
        dimensions         = { QueueName = local.dead_letters[from].queue }
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
        for function in [local.intake_name, local.scheduler_name] : [
          { function = function, metric = "Errors", is = "crashes or times out" },
          { function = function, metric = "Throttles", is = "is kept from running: the account's or the function's concurrency is used up" },
        ]
        ]) : "${trimprefix(alarm.function, "${var.name}-")}-${lower(alarm.metric)}" => {
        description        = "${alarm.function} ${alarm.is}, for a quarter of an hour. Nothing is lost while its messages are tried again. See /aws/lambda/${alarm.function}; `bbq status` shows what waits, `bbq wake --all` wakes all of it once this is mended."
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
        description        = "The scheduler is an hour behind the events: new uploads do not get in line. See /aws/lambda/${local.scheduler_name} for what fails; once it is mended, `bbq wake --all` wakes whatever was passed over."
        namespace          = "AWS/Lambda"
        metric             = "IteratorAge"
        dimensions         = { FunctionName = local.scheduler_name }
        statistic          = "Maximum"
        threshold          = 3600000
        period             = 300
        evaluation_periods = 3
        missing            = "notBreaching"
      }

      # A hint that fails comes back, an hour apart at most, for days; its dead-letter queue shows it too late.
      hints-failing = merge(local.ours, {
        description        = "Hints fail hour after hour: some job is not looked after. HintFailed in /aws/lambda/${local.scheduler_name} has the error; `bbq verify` finds a job whose events are damaged. \"The execution role you provide must allow AWS EventBridge Scheduler to assume the role\" is normal for minutes after the first deployment; later, see the trust of the role ${local.role_prefix}-timers."
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
        dimensions         = { service = local.intake_name }
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

      job-unknown = merge(local.ours, {
        description        = "Bedrock does not know a job that it took, although its ARN is ours: the job holds a slot. JobUnknown in /aws/lambda/${local.scheduler_name} names it. If Bedrock's console or AWS support says that it is gone, `bbq forget JOB --why ...` ends it as Failed and frees its slot; `bbq retry JOB` runs it again."
        metric             = "JobUnknown"
        statistic          = "Sum"
        threshold          = 0
        period             = local.gauge_period_seconds # it is found at check-ins
        evaluation_periods = 1
        missing            = "notBreaching"
      })

      # What is not published comes back like every hint, an hour apart at most.
      notifications-failing = merge(local.ours, {
        description        = "Subscribers of the topic ${var.name}-events are not notified, hour after hour; the jobs are well. PublishFailed in /aws/lambda/${local.scheduler_name} has the error: the topic's policy, the scheduler's rights, or the key. What waits is published by itself once that is repaired; `bbq jobs` and `bbq show` tell the rest."
        metric             = "PublishFailed"
        statistic          = "Sum"
        threshold          = 0
        period             = 3600
        evaluation_periods = 2
        missing            = "notBreaching"
      })
    },

    # A timer that cannot be delivered shows nowhere else: the dead letter is sent with the same role (recorded 2026). Attempts are
    # still looked at when Bedrock reports them.
    {
      for alarm, what in {
        timers-failing = { metric = "TargetErrorCount", minutes = 15, periods = 2, is = "EventBridge Scheduler fails to send timers to ${var.name}-hints. It tries for a day." }
        timers-dropped = { metric = "InvocationDroppedCount", minutes = 5, periods = 1, is = "EventBridge Scheduler gave up timers: the attempts or models that they were for are looked at when Bedrock reports something, or never." }
        timers-lost    = { metric = "InvocationsFailedToBeSentToDeadLetterCount", minutes = 5, periods = 1, is = "EventBridge Scheduler gave up timers, and could not send them to ${var.name}-hints-dead either: nothing is left of them." }
        } : alarm => {
        description        = "${what.is} See the trust and the rights of the role ${local.role_prefix}-timers and, with kms_key_arn, the key's policy; once they are repaired, `bbq redrive hints` and `bbq wake --all` make up for all of it."
        namespace          = "AWS/Scheduler"
        metric             = what.metric
        dimensions         = { ScheduleGroup = var.name }
        statistic          = "Sum"
        threshold          = 0
        period             = 60 * what.minutes
        evaluation_periods = what.periods
        missing            = "notBreaching"
      }
    },

    # On hold for what a person must look at: everything but a full quota and throttling. It is noted at every probe, and probes are
    # half an hour apart in the end: one in an hour is enough, and told within minutes.
    {
      for alias in keys(var.models) : "model-held-${alias}" => {
        description        = "Nothing new is sent to ${alias} but a probe now and then: Bedrock refuses its jobs, does not answer, or takes jobs that fail before a record is processed. No upload is lost: the line waits. `bbq status` says what is wrong in Bedrock's words, since when, when it is tried next, and what to do. Once it is repaired, the line goes on with the next probe, or at once with `bbq wake ${alias}` (`bbq resume ${alias}` if jobs were taken and failed)."
        namespace          = local.ours.namespace
        metric             = "ModelHeld"
        dimensions         = merge(local.ours.dimensions, { model = alias })
        statistic          = "Sum"
        threshold          = 0
        period             = 300
        evaluation_periods = 12
        datapoints         = 1
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
