import datetime
import operator
import re

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from mongomock.filtering import bson_compare, filter_applies

from ionloop.store.embedded.keys import UNSORTABLE, document_keys, encode, search_keys, sort_key
from ionloop.store.embedded.planner import Lookup, lookups

comparable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20),
    st.builds(ObjectId, st.binary(min_size=12, max_size=12)),
    st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)).map(
        lambda date: date.replace(microsecond=date.microsecond // 1000 * 1000)
    ),
)


@given(comparable, comparable)
def test_keys_sort_as_mongomock_compares(left, right):
    (left_key, left_exact), (right_key, right_exact) = encode(left), encode(right)
    assert left_exact
    assert right_exact
    assert (left_key < right_key) == bson_compare(operator.lt, left, right)
    assert (left_key == right_key) == (
        not bson_compare(operator.lt, left, right) and not bson_compare(operator.lt, right, left)
    )


@given(st.one_of(comparable, st.lists(comparable, max_size=3)), comparable)
def test_what_the_filter_finds_the_keys_find(stored, wanted):
    if filter_applies({"a": wanted}, {"a": stored}):
        assert document_keys({"a": stored}, "a") & search_keys(wanted)


@pytest.mark.parametrize(
    ("document", "field", "sortable"),
    [
        ({"a": 1}, "a", True),
        ({}, "a", True),
        ({"a": {"b": 1}}, "a.b", True),
        ({"a": 5}, "a.b", True),
        ({"a": [1]}, "a", False),
        ({"a": [{"b": 1}, {"b": 2}]}, "a.b", False),
        ({"a": {"x": 1}}, "a", False),
        ({"a": float("nan")}, "a", False),
        ({"a": "x" * 1000}, "a", False),
    ],
)
def test_where_keys_do_not_tell_the_order_a_mark_says_so(document, field, sortable):
    assert (UNSORTABLE not in document_keys(document, field)) == sortable


def test_values_whose_matches_keys_cannot_tell_are_not_looked_up():
    assert search_keys(re.compile("x")) is None
    assert search_keys(float("nan")) is None
    assert sort_key({"a": 1}) is None
    assert sort_key([3, 1]) == sort_key(3)


def test_the_planner_uses_equality_and_in_also_inside_and():
    found = lookups(
        {"a": 1, "b": {"$in": ["x", "y"]}, "c": 3, "$and": [{"a": {"$eq": 2}}, {"$or": [{"a": 5}]}]}, {"a", "b"}
    )
    assert [lookup.field for lookup in found] == ["a", "b", "a"]
    assert found[1] == Lookup("b", search_keys("x") | search_keys("y"))


@pytest.mark.parametrize(
    "condition",
    [{"$ne": 1}, {"$gt": 1}, {"$in": [re.compile("x")]}, {"$exists": True}, {"$not": {"$eq": 1}}, re.compile("x")],
)
def test_the_planner_leaves_the_rest_to_the_filter(condition):
    assert lookups({"a": condition}, {"a"}) == []
