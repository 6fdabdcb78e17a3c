output "queue_url" {
  description = "For events.queue_url."
  value       = aws_sqs_queue.events.url
}

output "dead_letter_queue_url" {
  description = "Where messages go that were tried five times."
  value       = aws_sqs_queue.dead_letters.url
}

output "state_location" {
  description = "For state.location."
  value       = "s3://${var.state_bucket}/${var.state_prefix}"
}

output "inventory_location" {
  description = "Where S3 puts its lists, each with a manifest.json."
  value       = var.keep_inventory ? "s3://${var.state_bucket}/inventory/${var.media_bucket}/sensedex/" : null
}

output "writer_role_arn" {
  description = "For the accounts of infra/kubernetes/components/eks."
  value       = var.oidc_provider_arn == "" ? null : aws_iam_role.writer[0].arn
}

output "policy_arns" {
  description = "The policies by their names in infra/iam; `reader` is for who looks at results."
  value       = { for name, policy in aws_iam_policy.sensedex : name => policy.arn }
}
