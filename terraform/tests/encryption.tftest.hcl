# With a customer's own KMS key everything that is kept is encrypted with it, whoever uses it through a service may, and the key's
# policy names the services that send on their own.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name   = "bbq"
  models = { haiku = { model_id = "anthropic.claude-3-haiku-20240307-v1:0", limit = 2 } }
}

run "encrypted_with_a_given_key" {
  command = apply

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = jsonencode({
      for who, document in {
        intake    = data.aws_iam_policy_document.intake
        scheduler = data.aws_iam_policy_document.scheduler
        timers    = data.aws_iam_policy_document.timers
      } : who => [for statement in document.statement : [statement.actions, statement.resources, statement.condition[*].values] if statement.sid == "UseKey"]
      }) == jsonencode({
      for who, services in {
        intake    = ["dynamodb", "s3", "sqs"]
        scheduler = ["dynamodb", "s3", "sqs", "sns"]
        timers    = ["sqs"]
      } : who => [[["kms:Decrypt", "kms:GenerateDataKey"], [var.kms_key_arn], [[for service in services : "${service}.eu-west-1.amazonaws.com"]]]]
    })
    error_message = "Each role may use the key, through the services it uses, and no other key."
  }
}

run "the_keys_own_policy" {
  command = apply

  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.key.statement : statement.sid => [statement.actions, one(statement.principals).identifiers, { for condition in statement.condition : condition.variable => condition.values }]
      }) == jsonencode({
      BbqAccountDecides = [["kms:*"], ["arn:aws:iam::111122223333:root"], {}]
      BbqUploads = [["kms:Decrypt", "kms:GenerateDataKey"], ["s3.amazonaws.com"], {
        "aws:SourceAccount" = ["111122223333"]
        "aws:SourceArn"     = ["arn:aws:s3:::bbq-111122223333-eu-west-1"]
      }]
      BbqHints = [["kms:Decrypt", "kms:GenerateDataKey"], ["events.amazonaws.com"], {
        "aws:SourceAccount" = ["111122223333"]
        "aws:SourceArn"     = ["arn:aws:events:eu-west-1:111122223333:rule/bbq-bedrock"]
      }]
      BbqLogs = [["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"], ["logs.eu-west-1.amazonaws.com"], {
        "kms:EncryptionContext:aws:logs:arn" = [
          "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/bbq-intake",
          "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/bbq-scheduler",
        ]
      }]
    })
    error_message = "Services use the key for this deployment's bucket, rule and log groups only."
  }

  assert {
    condition     = output.key_policy == data.aws_iam_policy_document.key.json
    error_message = "What the key's policy must hold is an output."
  }
}
