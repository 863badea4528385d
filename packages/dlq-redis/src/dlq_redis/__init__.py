"""Redis stores for DLQ: see ``dlq_redis.backends``."""
