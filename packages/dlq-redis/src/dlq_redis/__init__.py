"""Nothing here yet: dlq-redis is being built."""
