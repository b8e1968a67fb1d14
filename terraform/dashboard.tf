# The dashboard, to be read from top to bottom by whoever is on call: is anything wrong, do the models work, what have they done,
# and is the machinery well. docs/metrics.md says what each number is.

locals {
  # With more models than this a graph finds its series by search; CloudWatch shows a search only while it has data.
  max_listed_models = 12
  listed_models     = length(var.models) <= local.max_listed_models ? keys(var.models) : []
  searched_models   = length(var.models) <= local.max_listed_models ? [] : [true]

  # metric -> its series, one for each model
  per_model = {
    for metric, statistic in {
      SlotsHeld             = "Maximum"
      SlotLimit             = "Maximum"
      JobsWaiting           = "Maximum"
      OnHold                = "Maximum"
      OldestWait            = "Maximum"
      FreeSlotsWhileWaiting = "Maximum"
      } : metric => concat(
      [
        for alias in local.listed_models :
        ["BedrockBatchQueue", metric, "service", local.scheduler_name, "model", alias, { label = metric == "SlotLimit" ? "${alias} limit" : alias, stat = statistic }]
      ],
      [
        for _ in local.searched_models :
        [{ expression = "SEARCH('{BedrockBatchQueue,service,model} MetricName=\"${metric}\" service=\"${local.scheduler_name}\"', '${statistic}', 300)", label = metric == "SlotLimit" ? "limit" : "" }]
      ],
    )
  }

  # One series for each value of a dimension beyond service and model, over all models.
  by_value = {
    for metric, dimension in {
      JobEnded          = { name = "status", values = ["Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"] }
      SubmissionRefused = { name = "reason", values = ["quota", "throttled", "access", "invalid", "not found", "name taken", "unanswered"] }
      } : metric => [
      for value in dimension.values :
      [{ expression = "SUM(SEARCH('{BedrockBatchQueue,service,model,${dimension.name}} MetricName=\"${metric}\" service=\"${local.scheduler_name}\" ${dimension.name}=\"${value}\"', 'Sum', 3600))", label = value }]
    ]
  }

  dashboard_text = <<-END
    ## ${var.name} (${local.region})
    Read from top to bottom. **Red alarm?** Its description says what it means and what to run. **Slots below their limit with a line beside them?** `bbq status` says why a model is on hold, and what to do; a paused model starts nothing (`bbq resume`). **Missed events or overdue slots?** Bedrock's events do not arrive: timers make good, later.
    Gauges are points in time, written when something happens to a model and at every check-in (each ${var.check_in_minutes} min): no point means no change.

    `bbq status` lines and slots · `bbq jobs` what there is · `bbq show JOB` one job, with its reason · `bbq timeline` who held which slot · `bbq pause` / `bbq resume` a model · `bbq cancel` / `bbq retry` a job · `bbq redrive` dead letters · `bbq wake` a model · `bbq wake --all` wake everything unfinished · `bbq verify` compare with the events
    END

  # CloudWatch shows a hundred alarms at most in one widget. Those of many models are left to the list of alarms.
  dashboard_alarms = [
    for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn if length(local.listed_models) > 0 || !contains(keys(alarm.dimensions), "model")
  ]

  # Three to a row, below the text and the alarms.
  dashboard_graphs = [
    { title = "Slots held, and their limit", metrics = concat(local.per_model.SlotsHeld, local.per_model.SlotLimit), period = 300 },
    { title = "Jobs in line", metrics = local.per_model.JobsWaiting, period = 300 },
    { title = "Age of the oldest in line (s)", metrics = local.per_model.OldestWait, period = 300, bound = { label = "max_wait_hours", value = var.max_wait_hours * 3600 } },

    { title = "On hold (1): Bedrock refuses, or jobs fail at once", metrics = local.per_model.OnHold, period = 300 },
    {
      title   = "Refusals by reason (per hour)"
      period  = 3600
      stacked = true
      metrics = concat(local.by_value.SubmissionRefused, [["BedrockBatchQueue", "ModelHeld", "service", local.scheduler_name, { stat = "Sum", label = "model held" }]])
    },
    { title = "Free slots while somebody waits (should be 0)", metrics = local.per_model.FreeSlotsWhileWaiting, period = 300 },

    {
      title  = "Refill: from an end to the next acceptance (ms)"
      period = 3600
      metrics = [
        ["BedrockBatchQueue", "RefillTime", "service", local.scheduler_name, { stat = "p50", label = "p50" }],
        ["BedrockBatchQueue", "RefillTime", "service", local.scheduler_name, { stat = "p99", label = "p99" }],
      ]
    },
    {
      title  = "Waiting and running (s, p50)"
      period = 3600
      metrics = [
        ["BedrockBatchQueue", "WaitTime", "service", local.scheduler_name, { stat = "p50", label = "in line" }],
        ["BedrockBatchQueue", "SlotTime", "service", local.scheduler_name, { stat = "p50", label = "in a slot" }],
      ]
    },
    { title = "Ended, by outcome (per hour)", metrics = local.by_value.JobEnded, period = 3600, stacked = true },

    {
      title   = "Uploads (per hour)"
      period  = 3600
      metrics = [for metric in ["JobQueued", "JobRejected", "UploadUnreadable", "UploadIgnored"] : ["BedrockBatchQueue", metric, "service", local.intake_name, { stat = "Sum" }]]
    },
    {
      title   = "Records (per day)"
      period  = 86400
      stacked = true
      metrics = [for metric in ["RecordsSucceeded", "RecordsFailed"] : ["BedrockBatchQueue", metric, "service", local.scheduler_name, { stat = "Sum" }]]
    },
    {
      title   = "Tokens (per day)"
      period  = 86400
      stacked = true
      metrics = [for metric in ["InputTokens", "OutputTokens"] : ["BedrockBatchQueue", metric, "service", local.scheduler_name, { stat = "Sum" }]]
    },

    {
      title   = "Missed events, overdue slots, failed hints and messages"
      period  = 3600
      metrics = [for metric in ["EventMissed", "SlotOverdue", "JobUnknown", "HintFailed", "PublishFailed"] : ["BedrockBatchQueue", metric, "service", local.scheduler_name, { stat = "Sum" }]]
    },
    {
      title   = "Dead letters"
      period  = 300
      metrics = [for name in values(local.dead_letters)[*].queue : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name, { stat = "Maximum", label = name }]]
    },
    {
      title   = "How far behind the events the scheduler is (ms)"
      period  = 300
      metrics = [["AWS/Lambda", "IteratorAge", "FunctionName", local.scheduler_name, { stat = "Maximum" }]]
    },

    {
      title   = "Errors of the functions"
      period  = 300
      metrics = [for function in [local.intake_name, local.scheduler_name] : ["AWS/Lambda", "Errors", "FunctionName", function, { stat = "Sum", label = function }]]
    },
    {
      title   = "Throttles of the functions"
      period  = 300
      metrics = [for function in [local.intake_name, local.scheduler_name] : ["AWS/Lambda", "Throttles", "FunctionName", function, { stat = "Sum", label = function }]]
    },
    {
      title   = "Duration of the functions (ms, p99)"
      period  = 300
      metrics = [for function in [local.intake_name, local.scheduler_name] : ["AWS/Lambda", "Duration", "FunctionName", function, { stat = "p99", label = function }]]
    },
  ]

  graph_widgets = [
    for number, graph in local.dashboard_graphs : {
      type   = "metric"
      x      = number % 3 * 8
      y      = 9 + floor(number / 3) * 6
      width  = 8
      height = 6
      properties = merge(
        { region = local.region, view = "timeSeries", yAxis = { left = { min = 0 } } },
        { title = graph.title, metrics = graph.metrics, period = graph.period, stacked = try(graph.stacked, false) },
        { for bound in [try(graph.bound, null)] : "annotations" => { horizontal = [bound] } if bound != null },
      )
    }
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.name}-${local.region}" # a dashboard is global in an account

  dashboard_body = jsonencode({
    start = "-PT24H"
    widgets = concat(
      [
        { type = "text", x = 0, y = 0, width = 24, height = 5, properties = { markdown = local.dashboard_text } },
        { type = "alarm", x = 0, y = 5, width = 24, height = 4, properties = { title = "Alarms", alarms = local.dashboard_alarms } },
      ],
      local.graph_widgets,
    )
  })
}
