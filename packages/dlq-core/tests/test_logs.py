import logging
from typing import Any

import pytest
from django.utils.functional import empty
from django.utils.log import RequireDebugFalse, RequireDebugTrue
from pytest_django import Settings

from dlq import conf
from dlq.logs import METHODS, get_logger, leave_out_unseen

made: list[str] = []


def factory(name: str) -> logging.Logger:
    made.append(name)
    return logging.getLogger(f"site.{name}")


def broken(name: str) -> logging.Logger:
    raise LookupError("no logger today")


@pytest.fixture(autouse=True)
def forget_what_was_made() -> None:
    made.clear()


def test_a_name_has_one_logger() -> None:
    assert get_logger("dlq.test.same") is get_logger("dlq.test.same")


def test_a_logger_is_a_plain_one_unless_a_factory_is_named(caplog: pytest.LogCaptureFixture) -> None:
    logger = get_logger("dlq.test.plain")
    with caplog.at_level(logging.INFO, "dlq.test.plain"):
        logger.info("Job %s is done", 5, extra={"queue": "email"})
        logger.debug("nobody asked")
        assert (logger.isEnabledFor(logging.INFO), logger.isEnabledFor(logging.DEBUG)) == (True, False)
    [record] = caplog.records
    assert (record.name, record.getMessage(), record.queue) == ("dlq.test.plain", "Job 5 is done", "email")


def test_a_line_names_the_place_that_it_comes_from(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("dlq.test.place").warning("here")
    [record] = caplog.records
    assert (record.filename, record.funcName) == (
        "test_logs.py",
        "test_a_line_names_the_place_that_it_comes_from",
    )


@pytest.mark.parametrize("given", [factory, f"{__name__}.factory"], ids=["callable", "path"])
def test_a_factory_makes_a_logger_once_at_its_first_use(
    settings: Settings, caplog: pytest.LogCaptureFixture, given: Any
) -> None:
    logger = get_logger("dlq.test.made")
    settings.DLQ_LOGGER_FACTORY = given
    assert made == []
    logger.warning("one")
    logger.error("two")
    assert made == ["dlq.test.made"]
    assert [(record.name, record.message) for record in caplog.records] == [
        ("site.dlq.test.made", "one"),
        ("site.dlq.test.made", "two"),
    ]


def test_a_changed_setting_changes_loggers_that_are_in_use(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    logger = get_logger("dlq.test.changed")
    logger.warning("plain")
    settings.DLQ_LOGGER_FACTORY = factory
    logger.warning("made")
    settings.DLQ_LOGGER_FACTORY = None
    logger.warning("plain")
    assert [record.name for record in caplog.records] == [
        "dlq.test.changed",
        "site.dlq.test.changed",
        "dlq.test.changed",
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (broken, "no logger today"),
        ("no.such.module", "No module named 'no'"),
        (lambda name: None, "It returned None, which has no debug, info"),
        (lambda name: 5, "It returned 5, which has no debug, info"),
    ],
    ids=["raises", "missing", "None", "no logger"],
)
def test_a_factory_that_fails_costs_no_line(
    settings: Settings, caplog: pytest.LogCaptureFixture, given: Any, says: str
) -> None:
    settings.DLQ_LOGGER_FACTORY = given
    logger = get_logger("dlq.test.broken")
    logger.warning("one")
    logger.warning("two")
    assert [record.message for record in caplog.records] == [
        "DLQ_LOGGER_FACTORY cannot make the logger 'dlq.test.broken'; a plain one takes its place.",
        "one",
        "two",
    ]
    assert says in caplog.text


def test_lines_come_through_before_there_are_settings(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DLQ_LOGGER_FACTORY = factory
    logger = get_logger("dlq.test.early")
    with monkeypatch.context() as unconfigured:
        unconfigured.delenv("DJANGO_SETTINGS_MODULE")
        unconfigured.setattr(conf.settings, "_wrapped", empty)
        logger.warning("early")
    logger.warning("late")
    assert [record.name for record in caplog.records] == ["dlq.test.early", "site.dlq.test.early"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_that_of_the_logger_made(method: str) -> None:
    assert getattr(get_logger("dlq.test.methods"), method) == getattr(
        logging.getLogger("dlq.test.methods"), method
    )


# --- Lines that nobody would see ---


@pytest.fixture
def unseen() -> logging.Logger:
    """A logger below another one, which has a level and no handler that takes INFO."""
    # Not getLogger: they are to be forgotten.
    parent = logging.Logger("site", logging.INFO)  # noqa: LOG001
    logger = logging.Logger("site.tasks")  # noqa: LOG001
    logger.parent = parent
    handler = logging.NullHandler(logging.ERROR)
    parent.addHandler(handler)
    return logger


def test_lines_that_no_handler_takes_are_not_made(unseen: logging.Logger) -> None:
    leave_out_unseen(unseen, logging.INFO)
    assert not unseen.isEnabledFor(logging.INFO)
    assert unseen.isEnabledFor(logging.WARNING)


def test_a_logger_without_any_handler_shows_warnings_alone(unseen: logging.Logger) -> None:
    unseen.propagate = False
    leave_out_unseen(unseen, logging.INFO)
    assert not unseen.isEnabledFor(logging.INFO)
    assert unseen.isEnabledFor(logging.WARNING)


def test_the_level_that_a_site_has_chosen_is_not_lowered(unseen: logging.Logger) -> None:
    assert unseen.parent is not None
    unseen.parent.setLevel(logging.CRITICAL)
    leave_out_unseen(unseen, logging.INFO)
    assert not unseen.isEnabledFor(logging.ERROR)


def seen_by_one_more(logger: logging.Logger, *filters: Any) -> bool:
    handler = logging.NullHandler(logging.INFO)
    for each in filters:
        handler.addFilter(each)
    logger.addHandler(handler)
    leave_out_unseen(logger, logging.INFO)
    return logger.isEnabledFor(logging.INFO)


def test_lines_that_one_handler_takes_are_made(unseen: logging.Logger) -> None:
    assert seen_by_one_more(unseen)


@pytest.mark.parametrize("debug", [True, False])
def test_a_handler_that_asks_for_debug_is_one_when_it_gets_it(
    unseen: logging.Logger, settings: Settings, debug: bool
) -> None:
    settings.DEBUG = debug
    assert seen_by_one_more(unseen, RequireDebugTrue()) is debug


def test_a_handler_that_asks_for_no_debug_is_one_without_it(
    unseen: logging.Logger, settings: Settings
) -> None:
    settings.DEBUG = True
    assert not seen_by_one_more(unseen, RequireDebugFalse())


def test_what_other_filters_refuse_is_not_known_before(unseen: logging.Logger) -> None:
    assert seen_by_one_more(unseen, lambda record: False)
