# What a deployment says of itself, and what people may do with it.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name   = "bbq"
  models = { haiku = { model_id = "anthropic.claude-3-haiku-20240307-v1:0", limit = 2, timeout_hours = 48 } }
}

run "rights" {
  command = apply

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.viewer.statement : statement.sid => [statement.actions, statement.resources] }) == jsonencode({
      AskBedrock = [["bedrock:GetModelInvocationJob"], ["arn:aws:bedrock:eu-west-1:111122223333:model-invocation-job/*"]]
      CountMessages = [["sqs:GetQueueAttributes"], [
        "arn:aws:sqs:eu-west-1:111122223333:bbq-hints-dead",
        "arn:aws:sqs:eu-west-1:111122223333:bbq-stream-failures",
        "arn:aws:sqs:eu-west-1:111122223333:bbq-uploads-dead",
      ]]
      FindDeployment = [["ssm:GetParameter", "ssm:GetParametersByPath"], [
        "arn:aws:ssm:eu-west-1:111122223333:parameter/bedrock-batch-queue",
        "arn:aws:ssm:eu-west-1:111122223333:parameter/bedrock-batch-queue/",
        "arn:aws:ssm:eu-west-1:111122223333:parameter/bedrock-batch-queue/bbq",
      ]]
      ListObjects = [["s3:ListBucket"], ["arn:aws:s3:::bbq-bucket"]]
      ReadObjects = [["s3:GetObject"], ["arn:aws:s3:::bbq-bucket/processed/*", "arn:aws:s3:::bbq-bucket/to-process/*"]]
      ReadTables = [["dynamodb:GetItem", "dynamodb:Query"], [
        "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events",
        "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-projections",
        "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-projections/index/by-status",
      ]]
    })
    error_message = "A viewer has exactly these rights."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.operator.statement : statement.sid => [statement.actions, statement.resources] }) == jsonencode({
      AppendEvents = [["dynamodb:ConditionCheckItem", "dynamodb:PutItem"], ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events"]]
      Project = [
        ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
        ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-projections"],
      ]
      TakeDeadLetters = [["sqs:DeleteMessage", "sqs:ReceiveMessage"], [
        "arn:aws:sqs:eu-west-1:111122223333:bbq-hints-dead",
        "arn:aws:sqs:eu-west-1:111122223333:bbq-stream-failures",
        "arn:aws:sqs:eu-west-1:111122223333:bbq-uploads-dead",
      ]]
      Upload = [["s3:AbortMultipartUpload", "s3:PutObject"], ["arn:aws:s3:::bbq-bucket/to-process/*"]]
      Wake   = [["sqs:SendMessage"], ["arn:aws:sqs:eu-west-1:111122223333:bbq-hints", "arn:aws:sqs:eu-west-1:111122223333:bbq-uploads"]]
      WalkTables = [["dynamodb:Scan"], [
        "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events",
        "arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-projections",
      ]]
    })
    error_message = "Beyond a viewer's, an operator has exactly these rights."
  }

  assert {
    condition     = jsonencode(data.aws_iam_policy_document.operator.source_policy_documents) == jsonencode([data.aws_iam_policy_document.viewer.json])
    error_message = "An operator may all that a viewer may."
  }

  # A condition on s3:prefix would turn "not found" into "forbidden".
  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.viewer.statement : length(statement.condition) == 0])
    error_message = "A viewer's rights have no conditions."
  }

  assert {
    condition     = length(setintersection(flatten(concat(data.aws_iam_policy_document.viewer.statement, data.aws_iam_policy_document.operator.statement)[*].actions), data.aws_iam_policy_document.events.statement[0].actions)) == 2 && contains(data.aws_iam_policy_document.events.statement[0].actions, "dynamodb:UpdateItem") && contains(data.aws_iam_policy_document.events.statement[0].actions, "dynamodb:DeleteItem")
    error_message = "What an operator may do to projections, the events' own policy must deny for events."
  }

  assert {
    condition     = aws_iam_policy.viewer.name == "bbq-eu-west-1-viewer" && aws_iam_policy.operator.name == "bbq-eu-west-1-operator"
    error_message = "A policy is global: its name must hold the Region."
  }

  assert {
    condition     = output.viewer_policy_arn == aws_iam_policy.viewer.arn && output.operator_policy_arn == aws_iam_policy.operator.arn
    error_message = "Each policy is an output."
  }
}

run "with_a_key_people_need_it_too" {
  command = apply

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = jsonencode([for statement in concat(data.aws_iam_policy_document.viewer.statement, data.aws_iam_policy_document.operator.statement) : [statement.sid, statement.actions, statement.resources, one(statement.condition).variable] if strcontains(statement.sid, "Encrypted")]) == jsonencode([
      ["ReadEncrypted", ["kms:Decrypt"], [var.kms_key_arn], "kms:ViaService"],
      ["WriteEncrypted", ["kms:GenerateDataKey"], [var.kms_key_arn], "kms:ViaService"],
    ])
    error_message = "A viewer decrypts, an operator encrypts, through DynamoDB and S3 only."
  }
}
