import dlq_cron


def test_the_package_imports_and_exports_nothing_yet() -> None:
    assert [name for name in vars(dlq_cron) if not name.startswith("_")] == []
