import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq import ConfigError
from dlq.selectors import Selector, is_queue_name

names = st.text("ab-", min_size=1, max_size=4)
parts = names | names.map(lambda name: f"{name}*") | st.just("*")
selectors = st.builds(
    lambda included, excluded: Selector(",".join([*included, *(f"!{part}" for part in excluded)])),
    st.lists(parts, min_size=1, max_size=5),
    st.lists(parts, max_size=2),
)
waiting = st.lists(names, unique=True, max_size=8)
turns = st.integers(0, 10**6)


@given(selector=selectors, waiting=waiting, turn=turns)
def test_a_worker_claims_only_from_queues_that_its_selector_matches_and_once_from_each(
    selector: Selector, waiting: list[str], turn: int
) -> None:
    queues = selector.expand(waiting, turn)
    assert all(selector.matches(queue) for queue in queues)
    assert len(queues) == len(set(queues))


@given(selector=selectors, waiting=waiting, turn=turns)
def test_no_waiting_queue_that_matches_is_left_out(selector: Selector, waiting: list[str], turn: int) -> None:
    assert {queue for queue in waiting if selector.matches(queue)} <= set(selector.expand(waiting, turn))


@given(listed=st.lists(names, min_size=1, unique=True), waiting=waiting, turn=turns)
def test_a_listed_order_is_strict(listed: list[str], waiting: list[str], turn: int) -> None:
    assert Selector(",".join(listed)).expand(waiting, turn) == listed


@given(waiting=waiting)
def test_queues_of_one_wildcard_take_turns(waiting: list[str]) -> None:
    first = [Selector("*").expand(waiting, turn)[0] for turn in range(len(waiting))]
    assert first == waiting


def test_earlier_parts_come_before_the_turns_of_later_ones() -> None:
    selector = Selector("alerts, email*, *, !email-bulk")
    queues = ["alerts", "email-a", "email-b", "email-bulk", "other"]
    assert selector.expand(queues, turn=0) == ["alerts", "email-a", "email-b", "other"]
    assert selector.expand(queues, turn=1) == ["alerts", "email-b", "email-a", "other"]


def test_a_queue_named_before_a_wildcard_is_looked_at_even_when_it_seems_empty() -> None:
    assert Selector("alerts,*").expand([]) == ["alerts"]


@pytest.mark.parametrize(
    ("text", "matching", "others"),
    [
        ("email", {"email"}, {"email-bulk", "Email", "emai"}),
        ("email*", {"email", "email-bulk"}, {"e-mail"}),
        ("*,!email*", {"default"}, {"email", "email-bulk"}),
        ("*,!email", {"email-bulk"}, {"email"}),
    ],
)
def test_names_prefixes_and_exclusions(text: str, matching: set[str], others: set[str]) -> None:
    assert {queue for queue in matching | others if Selector(text).matches(queue)} == matching


@pytest.mark.parametrize(
    ("text", "looks_up"), [("a,b", False), ("a,b*", True), ("*", True), ("a,!b*", False)]
)
def test_the_store_is_asked_for_queues_only_when_a_wildcard_needs_it(text: str, looks_up: bool) -> None:
    assert Selector(text).has_wildcard is looks_up


@pytest.mark.parametrize("name", ["q", "default", "e-mail_2.x/y:z", "täglich", "日次", "?[a]", "q" * 255])
def test_a_queue_may_have_any_name_that_a_selector_can_tell_apart(name: str) -> None:
    assert is_queue_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "two words",
        " q",
        "q\n",
        "no\u00a0break",
        "a,b",
        "!a",
        "a!",
        "a*",
        "*",
        "nul\x00",
        "\ud800",
        "q" * 256,
        5,
        None,
        b"q",
    ],
    ids=ascii,
)
def test_what_no_selector_or_not_every_store_can_hold_is_no_name_of_a_queue(name: object) -> None:
    assert not is_queue_name(name)


@given(name=st.text(min_size=1, max_size=255).filter(is_queue_name))
def test_a_selector_can_name_every_queue(name: str) -> None:
    assert Selector(name).expand([]) == [name]
    assert not Selector(f"*,!{name}").matches(name)


@pytest.mark.parametrize("text", ["", "a,", ",a", "!", "a*b", "**", "!!a", "two words", "a,,b"])
def test_what_is_not_a_selector_is_refused_with_the_part_that_is_wrong(text: str) -> None:
    with pytest.raises(ConfigError, match="is neither a queue name, nor a prefix"):
        Selector(text)


def test_a_selector_of_exclusions_alone_selects_nothing_and_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'!email' selects nothing; start it with '\*,'"):
        Selector("!email")
