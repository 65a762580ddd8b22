"""The life of a job: one enum, named sets of states and one transition function."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job (or the record that it produces) stands."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"
    UNCONVERGED = "unconverged"
    REJECTED = "rejected"
    KILLED = "killed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What can happen to a job."""

    PARENTS_DONE = "parents done"
    START = "start"
    FINISH = "finish"
    NOT_CONVERGED = "not converged"
    REJECT = "reject"
    KILL = "kill"
    FAIL = "fail"
    LOSE = "lose"
    CANCEL = "cancel"
    RETRY = "retry"


PENDING = frozenset({State.WAITING, State.READY})
ACTIVE = PENDING | {State.RUNNING}
UNSUCCESSFUL = frozenset({State.UNCONVERGED, State.REJECTED, State.KILLED, State.FAILED})
RETRYABLE = UNSUCCESSFUL | {State.CANCELLED}
ENDED = frozenset({State.FINISHED}) | RETRYABLE

_TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.WAITING, Event.PARENTS_DONE): State.READY,
    (State.READY, Event.START): State.RUNNING,
    (State.RUNNING, Event.FINISH): State.FINISHED,
    (State.RUNNING, Event.NOT_CONVERGED): State.UNCONVERGED,
    (State.RUNNING, Event.REJECT): State.REJECTED,
    (State.RUNNING, Event.KILL): State.KILLED,
    (State.RUNNING, Event.FAIL): State.FAILED,
    # A worker that vanished says nothing about its job: it goes back to the queue.
    (State.RUNNING, Event.LOSE): State.READY,
    **{(state, Event.CANCEL): State.CANCELLED for state in ACTIVE},
    **{(state, Event.RETRY): State.READY for state in RETRYABLE},
}


class TransitionError(ValueError):
    """The event cannot happen in this state."""


def transition(state: State, event: Event) -> State:
    """Return the state that follows ``state`` after ``event``.

    Raises
    ------
    TransitionError
        If the event cannot happen in that state.
    """
    try:
        return _TRANSITIONS[state, event]
    except KeyError:
        raise TransitionError(f"{event.value!r} cannot happen to a job that is {state.value}") from None
