import copy
from collections import OrderedDict, namedtuple
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from django.db import models
from django.http import QueryDict
from django.test.utils import isolate_apps
from hypothesis import given
from hypothesis import strategies as st

from dlq import PayloadError, PayloadTooLarge
from dlq.payload import DEEPEST, decode, decode_value, encode, encode_value

text = st.text(st.characters())
"""With NUL and with surrogates that have no partner."""
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20
)


@given(args=st.lists(json_values), kwargs=st.dictionaries(text, json_values))
def test_every_json_value_comes_back_as_it_went_in(args: list[Any], kwargs: dict[str, Any]) -> None:
    given = copy.deepcopy((args, kwargs))
    written, sent_args, sent_kwargs = encode(args, kwargs)
    # By their text: 1, 1.0 and True are equal, and so are 0.0 and -0.0.
    assert repr(decode(written)) == repr((sent_args, sent_kwargs)) == repr((args, kwargs)) == repr(given)


@given(value=json_values)
def test_every_json_value_is_returned_as_it_is(value: Any) -> None:
    assert repr(decode_value(encode_value(value))) == repr(value)


@given(args=st.lists(json_values))
def test_the_text_fits_any_column_and_any_encoding(args: list[Any]) -> None:
    written, _, _ = encode(args, {})
    assert written.isascii()
    assert written.isprintable()


def test_the_caller_may_change_its_objects_afterwards() -> None:
    numbers = [1, 2]
    _, (sent,), _ = encode([numbers], {})
    numbers.append(3)
    assert sent == [1, 2]


def test_tuples_become_lists() -> None:
    point = namedtuple("point", "x y")
    _, args, kwargs = encode([(1, (2,))], {"at": point(3, 4)})
    assert (args, kwargs) == ([[1, [2]]], {"at": [3, 4]})


def test_kinds_of_str_int_and_dict_that_equal_plain_ones_pass() -> None:
    level = IntEnum("level", "LOW HIGH")
    assert encode([level.HIGH, OrderedDict(a=1)], {})[1] == [2, {"a": 1}]


class Opaque:
    def __repr__(self) -> str:
        return "opaque" * 100


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text for this")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "is nan, which JSON does not have. Pass None"),
        (float("-inf"), "is -inf, which JSON does not have"),
        ({1: "one"}, "has the key 1 of type int, which JSON would turn into a string. Use str keys"),
        ({True: 1}, "has the key True of type bool"),
        ({None: 1}, "has the key None of type NoneType"),
        ({1, 2}, "Pass a sorted list"),
        (b"bytes", "is b'bytes'. Unsupported type: <class 'bytes'>"),
        (
            date(2030, 1, 2),
            "is datetime.date(2030, 1, 2). Unsupported type: <class 'datetime.date'>. Pass value.iso",
        ),
        (Decimal("1.5"), "is Decimal('1.5'). Unsupported type"),
        pytest.param(
            10**5000, "is an int of 16,610 bits, more than Python reads from decimal digits", id="huge int"
        ),
        (QueryDict("a=1&a=2"), "is a QueryDict, of which JSON would keep a part. Pass a plain dict"),
        (Unprintable(), "Unprintable object at"),
    ],
)
def test_a_value_that_json_would_alter_is_refused_with_a_remedy(value: object, says: str) -> None:
    with pytest.raises(PayloadError) as refusal:
        encode([value], {})
    assert "args[0]" in str(refusal.value)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("args", "kwargs", "place"),
    [
        ([1, [2, {"a": {3}}]], {}, "args[1][1]['a'] is {3}"),
        ([], {"options": [{"limits": (1, {2: 3})}]}, "kwargs['options'][0]['limits'][1] has the key 2"),
        ([(1, float("inf"))], {}, "args[0][1] is inf"),
    ],
)
def test_a_refusal_names_the_place(args: list[Any], kwargs: dict[str, Any], place: str) -> None:
    with pytest.raises(PayloadError) as refusal:
        encode(args, kwargs)
    assert place in str(refusal.value)


def test_a_long_value_is_not_repeated_in_full() -> None:
    with pytest.raises(PayloadError) as refusal:
        encode([Opaque()], {})
    assert len(str(refusal.value)) < 400


@isolate_apps("dlq")
def test_for_a_model_the_remedy_is_its_primary_key() -> None:
    class Customer(models.Model):
        class Meta:
            app_label = "dlq"
            managed = False

    with pytest.raises(PayloadError, match=r"Customer object \(7\).*Pass its primary key"):
        encode([Customer(pk=7)], {})


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(PayloadError, match="nested too deeply, or contains itself"):
        encode([endless], {})


@pytest.mark.parametrize("depth", [10**4, 10**5])
def test_a_list_too_deep_to_be_read_again_is_refused(depth: int) -> None:
    deep: list[Any] = []
    for _ in range(depth):
        deep = [deep]
    with pytest.raises(PayloadError, match="nested too deeply"):
        encode([deep], {})


def nested(levels: int, leaf: Any, *, dicts: bool) -> Any:
    for _ in range(levels):
        leaf = {"inner": leaf} if dicts else [leaf]
    return leaf


@pytest.mark.parametrize("dicts", [False, True])
@pytest.mark.parametrize("leaf", [None, "text"])
def test_what_is_nested_deeper_than_every_python_reads_is_refused(leaf: Any, dicts: bool) -> None:
    # The text has two levels around each argument.
    deepest = nested(DEEPEST - 2, leaf, dicts=dicts)
    written, args, kwargs = encode([deepest, []], {"key": deepest})
    assert decode(written) == (args, kwargs) == ([deepest, []], {"key": deepest})
    for args, kwargs in ([[[], [deepest]], {}], [[], {"key": {"inner": deepest}}]):
        with pytest.raises(
            PayloadError, match=f"not every Python can read more than {DEEPEST} levels of nest"
        ):
            encode(args, kwargs)


@pytest.mark.parametrize("dicts", [False, True])
@pytest.mark.parametrize("leaf", [None, "text"])
def test_a_return_value_nested_deeper_than_every_python_reads_is_refused(leaf: Any, dicts: bool) -> None:
    deepest = nested(DEEPEST - 1, leaf, dicts=dicts)
    assert decode_value(encode_value([deepest, []])) == [deepest, []]
    with pytest.raises(TypeError, match=f"The return value .* more than {DEEPEST} levels of nesting"):
        encode_value([[deepest]])


@pytest.mark.parametrize(
    "wide", [[[]] * 1000, [{"a": {}}] * 1000, "[{" * 1000], ids=["lists", "dicts", "text"]
)
def test_what_is_wide_is_not_deep(wide: Any) -> None:
    assert encode([wide], {})[1] == [wide]
    assert decode_value(encode_value(wide)) == wide


def test_the_limit_counts_bytes_of_json() -> None:
    written, _, _ = encode(["é" * 10], {})
    assert encode(["é" * 10], {}, limit=len(written))[0] == written
    with pytest.raises(
        PayloadTooLarge, match=r'69 bytes of JSON, over the limit of 68.*OPTIONS\["max_payload"\]'
    ):
        encode(["é" * 10], {}, limit=len(written) - 1)


@pytest.mark.parametrize("value", [lambda: True, {1, 2}, float("nan"), {1: 2}, b""])
def test_a_return_value_that_json_cannot_hold_is_a_type_error_as_it_is_for_django(value: object) -> None:
    with pytest.raises(TypeError, match="The return value must survive JSON unchanged, but the value"):
        encode_value(value)


def test_an_unsupported_return_value_is_described_in_the_words_of_django() -> None:
    with pytest.raises(TypeError, match="Unsupported type: <class 'object'>"):
        encode_value(object())


def test_no_return_value_reads_as_none() -> None:
    assert decode_value(None) is None
    assert decode_value(encode_value(None)) is None
