"""DLQ over a database: PostgreSQL and SQLite."""
