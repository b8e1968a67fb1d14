# What the inputs change.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name   = "bbq"
  models = { haiku = { model_id = "anthropic.claude-3-haiku-20240307-v1:0", limit = 2 } }
}

run "limits_come_from_the_input_the_quota_or_the_smaller_of_both" {
  command = apply

  variables {
    default_model = "low"
    models = {
      low   = { model_id = "a.model-1", limit = 3, quota_code = "L-63020993" }
      high  = { model_id = "a.model-2", limit = 20, quota_code = "L-3030E098" }
      quota = { model_id = "a.model-3", quota_code = "L-16941C66" }
      plain = { model_id = "a.model-4", limit = 50 }
    }
  }

  assert {
    condition     = output.limits == { low = 3, high = 7, quota = 7, plain = 50 }
    error_message = "Of limit and quota the smaller counts."
  }

  assert {
    condition     = jsondecode(local.models_json).quota == { model_id = "a.model-3", limit = 7 }
    error_message = "The functions are told the limit in force, and only what differs from the defaults."
  }
}

run "a_model_id_may_be_a_profile_or_an_arn" {
  command = apply

  variables {
    default_model = "geo"
    models = {
      geo         = { model_id = "us.anthropic.claude-haiku-4-5-20251001-v1:0", limit = 1 }
      global      = { model_id = "global.anthropic.claude-opus-5", limit = 1 }
      profile     = { model_id = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.amazon.nova-lite-v1:0", limit = 1 }
      application = { model_id = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123def456", limit = 1 }
      custom      = { model_id = "arn:aws:bedrock:eu-west-1:111122223333:custom-model/amazon.titan-embed/ghi789jkl012", limit = 1 }
    }
  }

  assert {
    condition = toset(local.model_arns) == toset([
      "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
      "arn:aws:bedrock:*::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
      "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-opus-5",
      "arn:aws:bedrock:*::foundation-model/anthropic.claude-opus-5",
      "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.amazon.nova-lite-v1:0",
      "arn:aws:bedrock:*::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123def456",
      "arn:aws:bedrock:*::foundation-model/*",
      "arn:aws:bedrock:eu-west-1:111122223333:custom-model/amazon.titan-embed/ghi789jkl012",
    ])
    error_message = "IAM must name each model, its profile, and the model in the profile's Regions."
  }

  assert {
    condition     = toset(one([for statement in data.aws_iam_policy_document.bedrock.statement : statement.resources if contains(statement.actions, "bedrock:InvokeModel")])) == toset([for arn in local.model_arns : arn if !strcontains(arn, "custom-model/")])
    error_message = "Bedrock's role may invoke what a profile stands for, and no model that is named by itself."
  }
}

run "a_given_bedrock_role_is_used_and_none_is_created" {
  command = apply

  variables {
    bedrock_role_arn = "arn:aws:iam::111122223333:role/existing"
  }

  assert {
    condition     = length(aws_iam_role.bedrock) == 0 && length(aws_iam_role_policy.bedrock) == 0
    error_message = "No role is created beside the given one."
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.scheduler.statement : statement.resources if statement.sid == "PassBedrockRole"]) == toset(["arn:aws:iam::111122223333:role/existing"])
    error_message = "The given role is the one that may be passed."
  }
}

run "a_given_key_encrypts_what_holds_content" {
  command = apply

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = alltrue([
      one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms",
      one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn,
      one(aws_dynamodb_table.events.server_side_encryption).kms_key_arn == var.kms_key_arn,
      one(aws_dynamodb_table.projections.server_side_encryption).kms_key_arn == var.kms_key_arn,
    ])
    error_message = "Bucket and tables use the key."
  }

  assert {
    condition = alltrue([
      for document in [data.aws_iam_policy_document.intake, data.aws_iam_policy_document.scheduler, data.aws_iam_policy_document.bedrock] :
      one([for statement in document.statement : statement.resources if statement.sid == "UseKey"]) == toset([var.kms_key_arn])
    ])
    error_message = "All three roles may use this key, and no other."
  }
}

run "an_account_of_a_thousand_runs_more_at_once" {
  command = plan

  variables {
    concurrency = { intake = 50, hints = 10, stream = 10 }
  }

  assert {
    condition = jsonencode([
      one(aws_lambda_event_source_mapping.uploads.scaling_config).maximum_concurrency,
      one(aws_lambda_event_source_mapping.hints.scaling_config).maximum_concurrency,
      aws_lambda_event_source_mapping.events.parallelization_factor,
    ]) == jsonencode([50, 10, 10])
    error_message = "Each is what the input says."
  }
}

run "without_data_protection_a_destroy_removes_everything" {
  command = apply

  variables {
    data_protection = false
  }

  assert {
    condition     = aws_s3_bucket.this.force_destroy && !aws_dynamodb_table.events.deletion_protection_enabled && !aws_dynamodb_table.projections.deletion_protection_enabled
    error_message = "Bucket and tables can be destroyed."
  }

  assert {
    condition     = one(aws_dynamodb_table.events.point_in_time_recovery).enabled
    error_message = "Point-in-time recovery stays on."
  }
}

run "models_that_do_not_fit_the_environment_stop_the_plan" {
  command = plan

  variables {
    default_model = "m1"
    models = {
      for number in range(1, 40) : "m${number}" => {
        model_id = "us.anthropic.claude-haiku-4-5-20251001-v1:${number}", limit = 10, min_records = 1000, max_records = 90000
      }
    }
  }

  expect_failures = [aws_lambda_invocation.wake]
}
