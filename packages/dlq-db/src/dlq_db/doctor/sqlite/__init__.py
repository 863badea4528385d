"""What there is to examine on SQLite."""

from dlq_db.doctor.sqlite import file

CHECKS = {"journal": file.check_journal, "file": file.check_space, "integrity": file.check_integrity}
