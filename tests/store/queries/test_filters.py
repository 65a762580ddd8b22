"""The filter language: what it says, what it refuses, and that what is typed stays a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.store.queries.filters import Filter, is_filter, parse_filter, sort_rows


@pytest.mark.parametrize(
    ("text", "cell", "expected"),
    [
        ("a=1", 1, True),
        ("a=1", 1.0, True),
        ("a=0.3", 0.1 + 0.2, True),
        ("a=1,2", 2, True),
        ("a!=1,2", 2, False),
        ("a!=1", None, True),
        ("a=none", None, True),
        ("a=none", "x", False),
        ("a!=none", "x", True),
        ("a>600", 800.0, True),
        ("a>600", 600, False),
        ("a>=600", 600, True),
        ("a<-1e-3", -0.5, True),
        ("a<1", None, False),
        ("a=true", True, True),
        ("a=no", False, True),
        ("a>0", True, False),
        ("a=finished", "finished", True),
        ("a=Finished", "finished", False),
        ("a~LI7*", "li7p3s11", True),
        ("a!~li7*", "li7p3s11", False),
        ("a!~li7*", None, True),
        ("a~li7?3*", "li7p3s11", True),
        ("created>2026-01", "2026-11-20T10:00:00", True),
        ("a= b ", "b", True),
    ],
)
def test_what_a_filter_means(text, cell, expected):
    assert parse_filter(text).matches(cell) is expected


def test_a_number_is_not_compared_with_a_word():
    with pytest.raises(InputError, match="temperature_K is a number, 'hot' is none"):
        parse_filter("temperature_K>hot").matches(800.0)


@pytest.mark.parametrize("text", ["", "a", "=1", "a=", "a= ", "1a=2", "$where=1", "a b=1", "a" * 600 + "=1", "{a}=1"])
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(InputError, match="filter"):
        parse_filter(text)


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_refused(text):
    try:
        found = parse_filter(text)
    except InputError:
        return
    assert is_filter(text)
    # Whatever the value is, comparing it with plain cells says yes or no, or that it is no number.
    for cell in (None, "text", True):
        assert found.matches(cell) in (True, False)


@given(st.sampled_from(["=", "!=", "~", "!~"]), st.text(min_size=1, max_size=20).filter(str.strip))
def test_a_filter_prints_as_what_it_was_read_from(symbol, value):
    one = Filter("field", symbol, value)
    if value.startswith(("=", "~")):
        return
    assert parse_filter(str(one)) == one


def test_missing_values_come_last_in_either_order():
    rows = [[2], [None], [1], [3]]
    assert sort_rows(rows, [(0, False)]) == [[1], [2], [3], [None]]
    assert sort_rows(rows, [(0, True)]) == [[3], [2], [1], [None]]


def test_the_first_key_counts_first():
    rows = [["b", 1], ["a", 1], ["a", 2]]
    assert sort_rows(rows, [(0, False), (1, True)]) == [["a", 2], ["a", 1], ["b", 1]]
