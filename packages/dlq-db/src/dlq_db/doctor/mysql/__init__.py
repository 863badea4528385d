"""What there is to examine on MySQL and MariaDB."""

from dlq_db.doctor.mysql import budget, clock, holders, server

CHECKS = {
    "server": server.check,
    "transactions": holders.check,
    "clock": clock.check,
    "connections": budget.check,
}
