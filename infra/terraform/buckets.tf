locals {
  media_bucket_arn = "arn:${data.aws_partition.here.partition}:s3:::${var.media_bucket}"
  state_bucket_arn = "arn:${data.aws_partition.here.partition}:s3:::${var.state_bucket}"
}

data "aws_partition" "here" {}

data "aws_caller_identity" "here" {}

resource "aws_s3_bucket" "media" {
  count  = var.make_media_bucket ? 1 : 0
  bucket = var.media_bucket
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "media" {
  count                   = var.make_media_bucket ? 1 : 0
  bucket                  = aws_s3_bucket.media[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket" "state" {
  count  = var.make_state_bucket ? 1 : 0
  bucket = var.state_bucket
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "state" {
  count                   = var.make_state_bucket ? 1 : 0
  bucket                  = aws_s3_bucket.state[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  count  = var.make_state_bucket ? 1 : 0
  bucket = aws_s3_bucket.state[0].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.state.arn
    }
  }
}

# Parts of uploads that were broken off cost money and are seen by nobody.
resource "aws_s3_bucket_lifecycle_configuration" "state" {
  count  = var.make_state_bucket ? 1 : 0
  bucket = aws_s3_bucket.state[0].id

  rule {
    id     = "broken-off-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}
