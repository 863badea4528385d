"""What there is to examine on PostgreSQL."""

from dlq_db.doctor.postgresql import autovacuum, bloat, budget, clock, holders, invalid

CHECKS = {
    "indexes that are invalid": invalid.check,
    "autovacuum": autovacuum.check,
    "bloat": bloat.check,
    "transactions": holders.check,
    "clock": clock.check,
    "connections": budget.check,
}
