"""Nothing here yet: dlq-metrics is being built."""
