output "app_name" {
  description = "Name of the application."
  value       = juju_application.image_builder.name
}

output "provides" {
  description = "Endpoints that the charm provides."
  value = {
    image     = "image"
    cos_agent = "cos-agent"
  }
}

output "requires" {
  description = "Endpoints that the charm requires: none."
  value       = {}
}
