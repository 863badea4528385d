"""Nothing here yet: dlq-cron is being built."""
