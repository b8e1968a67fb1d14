# A changed configuration wakes the scheduler, once: it appends `limit-set` where a limit changed, and fills what is free. No
# event would do so. Runs when everything that the scheduler uses is there, and fails the apply when it fails. A model that is
# no longer configured is not touched: its running jobs end, its waiting ones wait until it is back.
#
# In a first apply the role is minutes old at most, and AWS may refuse what it may do. The function itself tries again then, for
# all but the last seconds of its timeout (services/scheduler/handler.py): the provider does not repeat a call whose function
# failed. Nothing depends on this.
resource "aws_lambda_invocation" "wake" {
  function_name = module.scheduler.name

  input = jsonencode({
    wake          = "all"
    limits        = local.limits
    configuration = module.scheduler.fingerprint
  })

  depends_on = [
    aws_cloudwatch_event_target.hints,
    aws_dynamodb_resource_policy.events,
    aws_iam_role_policy.bedrock,
    aws_iam_role_policy.timers,
    aws_lambda_function_recursion_config.scheduler,
    aws_lambda_event_source_mapping.events,
    aws_lambda_event_source_mapping.hints,
  ]

  lifecycle {
    precondition {
      condition     = length(local.models_json) <= local.models_json_max_bytes
      error_message = "The models take ${length(local.models_json)} bytes as JSON; ${local.models_json_max_bytes} fit in a function's environment. Leave out what equals the defaults, or make a second deployment for some of them."
    }
  }
}
