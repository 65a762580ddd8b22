"""Work shared by threads."""

from __future__ import annotations

import threading
import time

import pytest

from ionloop.fitting.threads import default_threads, in_threads


@pytest.mark.parametrize(("text", "threads"), [("3", 3), ("4,2", 4), ("0", 1), ("", 1), ("many", 1)])
def test_the_number_of_threads_is_that_of_openmp(monkeypatch: pytest.MonkeyPatch, text: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert default_threads() == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert default_threads() == 1


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_results_keep_the_order_of_their_items(threads: int, count: int) -> None:
    def slower_at_first(item: int) -> int:
        time.sleep(0.001 * (count - item))
        return item**2

    assert in_threads(slower_at_first, range(count), threads) == [item**2 for item in range(count)]


def test_threads_work_at_once() -> None:
    meeting = threading.Barrier(2, timeout=10)
    # Each waits for the other: one thread alone would never come back.
    assert len(in_threads(lambda _: meeting.wait(), range(2), 2)) == 2


@pytest.mark.parametrize("failing", [0, 3])
def test_an_error_reaches_the_caller_after_all_have_ended(failing: int) -> None:
    ended = []

    def work(item: int) -> None:
        if item == failing:
            raise ValueError(f"item {item}")
        time.sleep(0.01)
        ended.append(item)

    with pytest.raises(ValueError, match=f"item {failing}"):
        in_threads(work, range(4), 2)
    assert set(ended) >= {2, 3} - {failing}
