# A list of the media's bucket, made by S3 every day, in Parquet with a manifest: for buckets in which
# a listing takes hours.
resource "aws_s3_bucket_inventory" "media" {
  count                    = var.keep_inventory ? 1 : 0
  bucket                   = var.media_bucket
  name                     = "sensedex"
  included_object_versions = "Current"
  optional_fields          = ["Size", "LastModifiedDate", "StorageClass", "ETag"]

  schedule {
    frequency = "Daily"
  }

  destination {
    bucket {
      format     = "Parquet"
      bucket_arn = local.state_bucket_arn
      prefix     = "inventory"
      account_id = data.aws_caller_identity.here.account_id
    }
  }

  depends_on = [aws_s3_bucket.media, aws_s3_bucket_policy.inventory]
}

# S3 may put the lists there, for that bucket alone.
data "aws_iam_policy_document" "inventory" {
  statement {
    sid       = "TakeTheInventory"
    actions   = ["s3:PutObject"]
    resources = ["${local.state_bucket_arn}/inventory/*"]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [local.media_bucket_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.here.account_id]
    }
  }
}

resource "aws_s3_bucket_policy" "inventory" {
  count  = var.keep_inventory && var.make_state_bucket ? 1 : 0
  bucket = aws_s3_bucket.state[0].id
  policy = data.aws_iam_policy_document.inventory.json
}
