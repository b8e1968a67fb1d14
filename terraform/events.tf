# The events: the truth. Appended to, read by stream of events, followed by the scheduler; never changed.

resource "aws_dynamodb_table" "events" {
  #checkov:skip=CKV_AWS_119: With kms_key_arn it is the customer's key; without it DynamoDB encrypts with its own, at no charge.
  name                        = "${var.name}-events"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "stream"
  range_key                   = "version"
  stream_enabled              = true
  stream_view_type            = "NEW_IMAGE"
  deletion_protection_enabled = var.data_protection
  tags                        = local.tags

  attribute {
    name = "stream"
    type = "S"
  }

  attribute {
    name = "version"
    type = "N"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = var.kms_key_arn != null
    kms_key_arn = var.kms_key_arn
  }
}

# Nobody's role may change or remove an event, an administrator's neither, as long as this stands. A Put can still replace an
# item: IAM cannot ask for a condition, so the code's attribute_not_exists is what prevents that. Deleting the table needs
# none of these actions, so a destroy works.
data "aws_iam_policy_document" "events" {
  statement {
    sid    = "AppendOnly"
    effect = "Deny"
    actions = [
      "dynamodb:BatchWriteItem",
      "dynamodb:DeleteItem",
      "dynamodb:PartiQLDelete",
      "dynamodb:PartiQLInsert",
      "dynamodb:PartiQLUpdate",
      "dynamodb:UpdateItem",
    ]
    resources = [aws_dynamodb_table.events.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }
}

resource "aws_dynamodb_resource_policy" "events" {
  resource_arn = aws_dynamodb_table.events.arn
  policy       = data.aws_iam_policy_document.events.json
}
