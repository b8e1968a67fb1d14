# The topic of events: the scheduler publishes to it, and nothing else does.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name   = "bbq"
  models = { haiku = { model_id = "anthropic.claude-3-haiku-20240307-v1:0", limit = 2 } }
}

run "the_topic" {
  command = apply

  assert {
    condition = jsonencode([
      for document in [data.aws_iam_policy_document.scheduler, data.aws_iam_policy_document.intake, data.aws_iam_policy_document.timers, data.aws_iam_policy_document.bedrock, data.aws_iam_policy_document.operator] :
      [for statement in document.statement : [statement.actions, statement.resources] if contains(statement.actions, "sns:Publish")]
    ]) == jsonencode([[[["sns:Publish"], ["arn:aws:sns:eu-west-1:111122223333:bbq-events"]]], [], [], [], []])
    error_message = "The scheduler publishes to this topic, and nobody else to any."
  }

  assert {
    condition     = aws_sns_topic.events.kms_master_key_id == null && aws_sns_topic.events.policy == data.aws_iam_policy_document.events_topic.json
    error_message = "The topic has its policy."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.events_topic.statement : [statement.effect, statement.actions, statement.resources, statement.condition]]) == jsonencode([[
      "Deny",
      ["sns:Publish", "sns:Subscribe"],
      [aws_sns_topic.events.arn],
      [{ test = "Bool", values = ["false"], variable = "aws:SecureTransport" }],
    ]])
    error_message = "The topic refuses what does not come over TLS, and lets nobody in from outside."
  }

  assert {
    condition     = output.events_topic_arn == aws_sns_topic.events.arn
    error_message = "The topic is an output."
  }
}

run "a_given_key_encrypts_the_topic" {
  command = apply

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition     = aws_sns_topic.events.kms_master_key_id == var.kms_key_arn
    error_message = "The topic uses the key."
  }
}
