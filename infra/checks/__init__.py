"""What can be known of the templates without an AWS account (`make infra`)."""
