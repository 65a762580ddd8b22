"""Numbers as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.core.words import duration, rough_duration, size_text, three_digits


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (725, "12 min"),
        (3599, "59 min"),
        (7800, "2 h 10 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_estimates_of_durations_have_two_digits():
    seconds = (0.0, 5, 300, 7200, 400_000)
    assert [rough_duration(one) for one in seconds] == ["0 s", "5 s", "5 min", "2 h", "4.6 d"]


def test_digits():
    values = (0.01234, 12.34, 1234.5, 1.234e7, None)
    assert [three_digits(value) for value in values] == ["0.0123", "12.3", "1234", "1.23e+07", "–"]


def test_sizes():
    sizes = (0, 812, 4200, 999.9e3, 12e6, 3.3e9, 2e15)
    assert [size_text(size) for size in sizes] == ["0 B", "812 B", "4.2 kB", "1.0 MB", "12 MB", "3.3 GB", "2000 TB"]


@given(st.floats(0, 1e18))
def test_a_size_in_words_is_the_size(size):
    number, unit = size_text(size).split()
    assert float(number) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit] == pytest.approx(
        size, rel=0.06, abs=0.5
    )
