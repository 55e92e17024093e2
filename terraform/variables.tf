variable "app_name" {
  description = "Name of the application. Names of images begin with it."
  type        = string
  default     = "image-builder"
}

variable "base" {
  description = "Base of the machines."
  type        = string
  default     = "ubuntu@24.04"
}

variable "channel" {
  description = "Channel on Charmhub to deploy from."
  type        = string
  default     = "latest/edge"
}

variable "config" {
  description = "Options of the charm by name. A secret is given by its URI, secret:ID."
  type        = map(string)
  default     = {}
}

variable "constraints" {
  description = "Constraints of the machines. Builds on the unit (build-mode=local) need a root disk of 20 GiB."
  type        = string
  default     = "arch=amd64"
}

variable "model_uuid" {
  description = "UUID of the model to deploy to."
  type        = string
}

variable "revision" {
  description = "Revision of the charm. The newest of the channel by default."
  type        = number
  default     = null
}

variable "units" {
  description = "Number of units. One of them builds; each publishes images."
  type        = number
  default     = 1

  validation {
    condition     = var.units >= 1
    error_message = "At least one unit is needed."
  }
}
