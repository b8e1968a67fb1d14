# Every event of a job is published, by a pipe that may do nothing else.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name   = "bbq"
  models = { haiku = { model_id = "anthropic.claude-3-haiku-20240307-v1:0", limit = 2 } }
}

run "the_pipe" {
  command = apply

  assert {
    condition     = aws_pipes_pipe.notifications.source == aws_dynamodb_table.events.stream_arn && aws_pipes_pipe.notifications.target == aws_sns_topic.events.arn && aws_pipes_pipe.notifications.desired_state == "RUNNING"
    error_message = "The pipe runs from the events to the topic."
  }

  assert {
    condition = jsondecode(one(one(one(aws_pipes_pipe.notifications.source_parameters).filter_criteria).filter).pattern) == {
      eventName = ["INSERT"]
      dynamodb  = { Keys = { stream = { S = [{ prefix = "job#" }] } } }
    }
    error_message = "Events of jobs are published, and only they."
  }

  assert {
    condition = alltrue([
      for stream in [one(one(aws_pipes_pipe.notifications.source_parameters).dynamodb_stream_parameters)] : alltrue([
        stream.starting_position == "TRIM_HORIZON",
        stream.maximum_record_age_in_seconds > 0 && stream.maximum_record_age_in_seconds < 86400,
        stream.maximum_retry_attempts > 0,
        stream.on_partial_batch_item_failure == "AUTOMATIC_BISECT",
        one(stream.dead_letter_config).arn == "arn:aws:sqs:eu-west-1:111122223333:bbq-notification-failures",
      ])
    ])
    error_message = "Every retry is bounded, and what is given up is set aside before the stream forgets it."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.notifications.statement : statement.sid => [statement.actions, statement.resources] }) == jsonencode({
      FindStream = [["dynamodb:ListStreams"], ["*"]]
      FollowEvents = [
        ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
        ["arn:aws:dynamodb:eu-west-1:111122223333:table/bbq-events/stream/2026-01-01T00:00:00.000"],
      ]
      Publish  = [["sns:Publish"], ["arn:aws:sns:eu-west-1:111122223333:bbq-events"]]
      SetAside = [["sqs:SendMessage"], ["arn:aws:sqs:eu-west-1:111122223333:bbq-notification-failures"]]
    })
    error_message = "The pipe has exactly these rights."
  }

  assert {
    condition = jsonencode({ for condition in data.aws_iam_policy_document.notifications_trust.statement[0].condition : condition.variable => condition.values }) == jsonencode({
      "aws:SourceAccount" = ["111122223333"]
      "aws:SourceArn"     = ["arn:aws:pipes:eu-west-1:111122223333:pipe/${aws_pipes_pipe.notifications.name}"]
    })
    error_message = "The role is for this pipe only."
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

run "another_reader_of_the_stream_may_have_its_place" {
  command = plan

  variables {
    publish_events = false
  }

  assert {
    condition     = aws_pipes_pipe.notifications.desired_state == "STOPPED"
    error_message = "A stopped pipe does not read."
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

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.notifications.statement : [statement.actions, statement.resources, one(statement.condition).values] if statement.sid == "UseKey"]) == jsonencode([[
      ["kms:Decrypt", "kms:GenerateDataKey"], [var.kms_key_arn], ["dynamodb.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com"],
    ]])
    error_message = "The pipe may use the key through the stream, the topic and its dead-letter queue only."
  }
}
