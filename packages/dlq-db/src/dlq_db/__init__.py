"""DLQ over a database: PostgreSQL, MySQL, MariaDB and SQLite."""
