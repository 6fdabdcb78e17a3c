# The policies are the files of infra/iam, which the tests hold the code to; only the names in capitals
# are put in here.
locals {
  media_key_arn = var.media_kms_key_arn == "" ? aws_kms_key.state.arn : var.media_kms_key_arn

  policy_files = toset(["writer", "writer-keys", "events", "inventory", "reader", "reader-keys"])

  policies = { for name in local.policy_files : name => replace(replace(replace(replace(replace(replace(replace(
    file("${path.module}/../iam/${name}.json"),
    "SOURCE-BUCKET", var.media_bucket),
    "STATE-BUCKET", var.state_bucket),
    "STATE-PREFIX", var.state_prefix),
    "INVENTORY-BUCKET", var.state_bucket),
    "QUEUE-ARN", aws_sqs_queue.events.arn),
    "STATE-KEY-ARN", aws_kms_key.state.arn),
    "SOURCE-KEY-ARN", local.media_key_arn)
  }

  for_the_writer = toset(["writer", "writer-keys", "events", "inventory"])
}

data "aws_iam_policy_document" "pods" {
  count = var.oidc_provider_arn == "" ? 0 : 1

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:sub"
      values = [
        "system:serviceaccount:${var.namespace}:sensedex",
        "system:serviceaccount:${var.namespace}:sensedex-head",
      ]
    }
  }
}

resource "aws_iam_policy" "sensedex" {
  for_each = local.policies
  name     = "sensedex-${each.key}"
  policy   = each.value
  tags     = var.tags
}

resource "aws_iam_role" "writer" {
  count              = var.oidc_provider_arn == "" ? 0 : 1
  name               = "sensedex-writer"
  assume_role_policy = data.aws_iam_policy_document.pods[0].json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "writer" {
  for_each   = var.oidc_provider_arn == "" ? toset([]) : local.for_the_writer
  role       = aws_iam_role.writer[0].name
  policy_arn = aws_iam_policy.sensedex[each.key].arn
}
