# The bucket: uploads come in under to-process/, intake copies what it inspected to staged/, Bedrock reads there and writes
# under processed/. Only to-process/ raises notifications, so no output ever comes back in as an upload. Every name in it does:
# intake rejects what other tools name otherwise (.JSONL, .json, .jsonl.gz), with a reason, and ignores the rest.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144: Inputs and outputs can be uploaded and bought again; a replica doubles the copies of what may be confidential.
  #checkov:skip=CKV_AWS_18: Who wants access logs takes CloudTrail data events, which need no second bucket; every job's own history is kept.
  bucket        = local.bucket_name
  force_destroy = !var.data_protection
  tags          = local.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# A job is one version of one object: an upload that replaces another while it waits changes nothing.
resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  # A staged copy is read by its job's attempts only. A job may wait for a slot this long, not longer.
  rule {
    id     = "staged"
    status = "Enabled"

    filter {
      prefix = "staged/"
    }

    expiration {
      days = 180
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]

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

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.bucket.json

  depends_on = [aws_s3_bucket_public_access_block.this] # S3 refuses two changes of this kind at once
}

resource "aws_s3_bucket_notification" "uploads" {
  bucket = aws_s3_bucket.this.id

  queue {
    id            = "uploads"
    queue_arn     = module.uploads.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "to-process/"
  }

  depends_on = [aws_s3_bucket_versioning.this] # no upload before it has a version
}
