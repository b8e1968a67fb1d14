# What is refused at plan.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name   = "bbq"
  models = { haiku = { model_id = "anthropic.claude-3-haiku-20240307-v1:0", limit = 2 } }
}

# Each of these is wrong, and each is reported.
run "every_wrong_input_is_refused" {
  command = plan

  variables {
    name               = "Bad_Name"
    default_model      = "sonnet"
    bedrock_role_arn   = "arn:aws:iam::111122223333:user/somebody"
    bucket_name        = "My_Bucket"
    kms_key_arn        = "arn:aws:kms:eu-west-1:111122223333:alias/mine"
    check_in_minutes   = 0
    log_retention_days = 10
    alarm_topic_arn    = "operators"
    max_wait_hours     = 0
    concurrency        = { intake = 1 }
    event_source       = "aws.s3"
    environment        = { BBQ_DEPLOYMENT = "other" }
  }

  expect_failures = [
    var.name,
    var.default_model,
    var.bedrock_role_arn,
    var.bucket_name,
    var.kms_key_arn,
    var.check_in_minutes,
    var.log_retention_days,
    var.alarm_topic_arn,
    var.max_wait_hours,
    var.concurrency,
    var.event_source,
    var.environment,
  ]
}

run "there_is_at_least_one_model" {
  command = plan

  variables {
    models = {}
  }

  expect_failures = [var.models]
}

run "an_alias_is_short_lower_case_and_plain" {
  command = plan

  variables {
    models = { Haiku_3 = { model_id = "a.model", limit = 1 } }
  }

  expect_failures = [var.models]
}

run "no_alias_is_all" {
  command = plan

  variables {
    models = { all = { model_id = "a.model", limit = 1 } }
  }

  expect_failures = [var.models]
}

run "a_model_id_has_no_spaces" {
  command = plan

  variables {
    models = { m = { model_id = "a model", limit = 1 } }
  }

  expect_failures = [var.models]
}

run "a_model_has_a_limit_or_a_quota_code" {
  command = plan

  variables {
    models = { m = { model_id = "a.model" } }
  }

  expect_failures = [var.models]
}

run "a_shard_has_ten_readers_at_most" {
  command = plan

  variables {
    concurrency = { stream = 11 }
  }

  expect_failures = [var.concurrency]
}

run "concurrency_is_whole" {
  command = plan

  variables {
    concurrency = { hints = 2.5 }
  }

  expect_failures = [var.concurrency]
}

run "a_limit_is_not_negative" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = -1 } }
  }

  expect_failures = [var.models]
}

run "a_limit_is_whole" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1.5 } }
  }

  expect_failures = [var.models]
}

run "a_quota_code_is_one" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", quota_code = "haiku" } }
  }

  expect_failures = [var.models]
}

run "an_invocation_type_is_one_of_two" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, invocation_type = "Chat" } }
  }

  expect_failures = [var.models]
}

run "a_timeout_is_at_least_a_day" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, timeout_hours = 23 } }
  }

  expect_failures = [var.models]
}

run "a_timeout_is_at_most_a_week" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, timeout_hours = 169 } }
  }

  expect_failures = [var.models]
}

run "a_job_is_tried_at_least_once" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, max_attempts = 0 } }
  }

  expect_failures = [var.models]
}

run "an_order_is_one_that_there_is" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, order = "smallest-first" } }
  }

  expect_failures = [var.models]
}

run "min_records_are_not_above_max_records" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, max_records = 50 } }
  }

  expect_failures = [var.models]
}

run "a_day_has_room_for_at_least_one_job" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, max_jobs_per_day = 0 } }
  }

  expect_failures = [var.models]
}

run "a_model_has_one_alias" {
  command = plan

  variables {
    default_model = "a"
    models = {
      a = { model_id = "a.model", limit = 1 }
      b = { model_id = "arn:aws:bedrock:us-east-1::foundation-model/a.model", limit = 1 }
    }
  }

  expect_failures = [var.models]
}

run "a_day_has_room_for_the_largest_job" {
  command = plan

  variables {
    models = { m = { model_id = "a.model", limit = 1, max_records_per_day = 99999 } }
  }

  expect_failures = [var.models]
}

run "of_two_models_one_is_the_default" {
  command = plan

  variables {
    models = { a = { model_id = "a.model", limit = 1 }, b = { model_id = "b.model", limit = 1 } }
  }

  expect_failures = [var.default_model]
}
