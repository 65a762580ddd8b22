import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.core.states import (
    ACTIVE,
    ENDED,
    PENDING,
    RETRYABLE,
    UNSUCCESSFUL,
    Event,
    State,
    TransitionError,
    transition,
)


def test_every_state_is_active_or_ended_and_never_both():
    assert set(State) == ACTIVE | ENDED
    assert not ACTIVE & ENDED
    assert PENDING < ACTIVE
    assert UNSUCCESSFUL < RETRYABLE < ENDED


@pytest.mark.parametrize("state", list(State))
def test_finished_is_final_and_everything_else_can_move(state):
    possible = []
    for event in Event:
        try:
            possible.append(transition(state, event))
        except TransitionError as error:
            assert state.value in str(error)
    assert bool(possible) == (state is not State.FINISHED)


def test_a_lost_job_goes_back_to_the_queue_and_a_retried_one_too():
    assert transition(State.RUNNING, Event.LOSE) is State.READY
    assert all(transition(state, Event.RETRY) is State.READY for state in RETRYABLE)


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_a_job_ends_only_through_running_or_cancelling(events):
    state = State.WAITING
    history = [state]
    for event in events:
        try:
            state = transition(state, event)
        except TransitionError:
            continue
        history.append(state)
    for before, after in itertools.pairwise(history):
        if after in ENDED:
            assert before is State.RUNNING or after is State.CANCELLED
