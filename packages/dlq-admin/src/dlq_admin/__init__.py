"""Nothing here yet: dlq-admin is being built."""
