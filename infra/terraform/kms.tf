resource "aws_kms_key" "state" {
  description         = "State of sensedex: plans, embeddings, receipts."
  enable_key_rotation = true
  policy              = data.aws_iam_policy_document.state_key.json
  tags                = var.tags
}

resource "aws_kms_alias" "state" {
  name          = "alias/sensedex-state"
  target_key_id = aws_kms_key.state.key_id
}

# The account's own policies say who else may use it; S3 may, to put the inventory there.
data "aws_iam_policy_document" "state_key" {
  statement {
    sid       = "LeaveItToTheAccount"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.here.partition}:iam::${data.aws_caller_identity.here.account_id}:root"]
    }
  }

  statement {
    sid       = "PutTheInventory"
    actions   = ["kms:GenerateDataKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.here.account_id]
    }
  }
}
