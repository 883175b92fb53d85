"""Who is asking: one authorizer for API keys and tokens, on AWS and on one machine."""
