import dlq_cron


def test_the_public_names_are_these() -> None:
    assert dlq_cron.__all__ == [
        "Expression",
        "Missed",
        "Overlap",
        "ScheduleConflict",
        "ScheduleError",
        "SpecError",
        "cron",
        "daily",
        "disable",
        "enable",
        "every",
        "explain",
        "next_times",
        "once",
        "parse",
        "preview",
        "run_now",
        "schedule",
        "scheduled",
        "unschedule",
        "weekdays",
        "weekends",
    ]
    assert all(hasattr(dlq_cron, name) for name in dlq_cron.__all__)
