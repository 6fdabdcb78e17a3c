variable "media_bucket" {
  description = "Name of the bucket that holds the media."
  type        = string
}

variable "make_media_bucket" {
  description = "Whether that bucket is made here; false where it is there already."
  type        = bool
  default     = false
}

variable "state_bucket" {
  description = "Name of the bucket that holds the state: plans, embeddings, receipts."
  type        = string
}

variable "make_state_bucket" {
  description = "Whether that bucket is made here; false where it is there already."
  type        = bool
  default     = true
}

variable "state_prefix" {
  description = "Prefix of the state in its bucket, as in state.location = s3://BUCKET/PREFIX."
  type        = string
  default     = "sensedex"
}

variable "media_kms_key_arn" {
  description = "Key by which the media is encrypted; empty where S3's own key does it."
  type        = string
  default     = ""
}

variable "send_events" {
  description = "Whether the media's bucket tells a queue what comes and goes. A bucket has one such configuration: where others use it, set this to false and add the queue to theirs."
  type        = bool
  default     = true
}

variable "keep_inventory" {
  description = "Whether S3 lists the media's bucket every day into the state's bucket."
  type        = bool
  default     = true
}

variable "oidc_provider_arn" {
  description = "Identity provider of the Kubernetes cluster (IRSA); empty where no pod takes the role."
  type        = string
  default     = ""
}

variable "oidc_issuer" {
  description = "Its issuer without https://, as in oidc.eks.eu-central-1.amazonaws.com/id/ABC."
  type        = string
  default     = ""
}

variable "namespace" {
  description = "Namespace of the pods."
  type        = string
  default     = "sensedex"
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = { service = "sensedex" }
}
