"""The commands of dlq-db."""
