# Notifications: the scheduler publishes what people want to hear of to an SNS topic, for anyone who subscribes (docs/events.md,
# services/scheduler/publish.py). A message may come twice, and late.

# Nobody outside the account: no statement lets them in, and inside it everybody's own rights decide.
data "aws_iam_policy_document" "events_topic" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sns:Publish", "sns:Subscribe"] # a topic's policy takes no `sns:*`
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account_id}:${var.name}-events"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = [local.refused_transport]
    }
  }
}

resource "aws_sns_topic" "events" {
  name              = "${var.name}-events"
  display_name      = var.name
  kms_master_key_id = var.kms_key_arn
  policy            = data.aws_iam_policy_document.events_topic.json
  tags              = local.tags
}
