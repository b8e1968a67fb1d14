# The projections: job views, the lines and the slots. A function of the events, which can be rebuilt.

resource "aws_dynamodb_table" "projections" {
  #checkov:skip=CKV_AWS_119: With kms_key_arn it is the customer's key; without it DynamoDB encrypts with its own, at no charge.
  name                        = "${var.name}-projections"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.data_protection
  tags                        = local.tags

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  attribute {
    name = "status_key"
    type = "S"
  }

  attribute {
    name = "queued_at"
    type = "S"
  }

  # For people and the CLI only: no function may read it, because no decision may rest on it.
  global_secondary_index {
    name            = "by-status"
    hash_key        = "status_key"
    range_key       = "queued_at"
    projection_type = "ALL"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = var.kms_key_arn != null
    kms_key_arn = var.kms_key_arn
  }
}
