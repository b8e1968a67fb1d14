# The examples are planned as they stand. tests/terraform/test_terraform.py looks at what they would make.
mock_provider "aws" {
  source = "./tests/mocks"
}

run "minimal" {
  command = plan

  module {
    source = "./examples/minimal"
  }

  assert {
    condition     = output.limits == { haiku = 20 }
    error_message = "The limit of the example is the limit in force."
  }
}

run "with_alarms_and_kms" {
  command = plan

  module {
    source = "./examples/with-alarms-and-kms"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
    mail        = "ada@example.org"
  }

  assert {
    condition     = output.limits == { haiku = 20, nova = 7 }
    error_message = "nova's limit is the quota, which is known at plan."
  }

  assert {
    condition     = output.key_policy != ""
    error_message = "A first plan knows what the key's policy must hold: an unknown value fails here."
  }
}
