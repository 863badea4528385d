import dlq_metrics


def test_the_package_imports_and_exports_nothing_yet() -> None:
    assert [name for name in vars(dlq_metrics) if not name.startswith("_")] == []
