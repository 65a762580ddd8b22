"""The base of all Firetasks: typed parameters in, records out, failures with a reason."""

from __future__ import annotations

import errno
import logging
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction
from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from pydantic_core import ErrorDetails

from ..core.errors import Busy, IonloopError, MachineAtFault
from ..core.settings import FrozenModel
from ..core.states import State
from ..labelling.scratch import ScratchError
from .context import TaskContext, current_context

logger = logging.getLogger(__name__)

_MACHINE_AT_FAULT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


def is_environment_failure(error: BaseException | None) -> bool:
    """Return whether a full or unwritable disk, store or scratch folder is among the causes of ``error``."""
    while error is not None:
        if isinstance(error, MachineAtFault | ScratchError) or (
            isinstance(error, OSError) and error.errno in _MACHINE_AT_FAULT
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_busy(error: BaseException | None) -> bool:
    """Return whether another process that holds what the job needs is among the causes of ``error``."""
    while error is not None:
        if isinstance(error, Busy):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def machine_at_fault_is_told() -> Iterator[None]:
    """Tell the worker where not the job but its machine, or another process, is the reason that it cannot be done.

    Of a full disk or lost rights every job would fail: the worker leaves. What is held by others is tried again later.
    """
    try:
        yield
    except JobFailed:
        # Who says so has judged: an engine that may not be executed is no disk that is full.
        raise
    except Exception as error:
        context = current_context()
        reason = str(error) if isinstance(error, IonloopError) else f"{type(error).__name__}: {error}"
        if is_environment_failure(error):
            context.abandon(str(error))
        if is_busy(error) and context.on_busy is not None:
            context.on_busy(reason)
        raise


class JobFailed(IonloopError):
    """A job could not do its work, for a reason that a user can read.

    Parameters
    ----------
    reason
        One line.
    state
        The state that the job ends in.
    """

    def __init__(self, reason: str, state: State = State.FAILED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.state = state

    def to_dict(self) -> dict[str, str]:
        """Return what FireWorks keeps of the failure."""
        return {"reason": self.reason, "state": self.state.value}


class TaskParameters(FrozenModel):
    """What every job knows of its place: campaign, generation, and the system, where that has a name."""

    campaign: str
    generation: int
    system: str | None = None
    left_out: ClassVar[frozenset[str]] = frozenset({"system"})
    """What is not written where it says nothing: identifiers derive from parameters, and stay what they were."""

    @property
    def of_system(self) -> tuple[str, ...]:
        """What identifiers derive from beside the rest: the system, where it has a name."""
        return () if self.system is None else (self.system,)

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        return {name: value for name, value in values.items() if value or name not in self.left_out}


def _words(problem: ErrorDetails) -> str:
    """Return what is wrong with a parameter; of a kind that is not installed here, its name."""
    if problem["type"] != "union_tag_invalid":
        return problem["msg"]
    context = problem["ctx"]
    key = context["discriminator"].strip("'")
    return f"unknown {key} {context['tag']!r}; installed are {context['expected_tags']}"


class Outcome(FrozenModel):
    """How a job ended, what it wants to say, and what the next Firetask of the same job needs to know."""

    state: State = State.FINISHED
    reason: str = ""
    outputs: dict[str, Any] = Field(default_factory=dict)
    pass_on: dict[str, str] = Field(default_factory=dict)


class IonloopTask(FiretaskBase):
    """A Firetask with typed parameters; subclasses say what it does in `execute`."""

    _fw_name = "ionloop.task"
    required_params: ClassVar[list[str]] = ["parameters"]
    parameters_type: ClassVar[type[TaskParameters]] = TaskParameters
    resumable: ClassVar[bool] = False
    """Whether it carries on from its last frame, image, field or displacement on disk wherever it was stopped."""

    @classmethod
    def kind(cls) -> str:
        """Return the kind of its jobs, as their specifications name it."""
        return cls._fw_name.removeprefix("ionloop.")

    @abstractmethod
    def execute(self, parameters: Any, context: TaskContext) -> Outcome:
        """Do the work: derive the outputs' identifiers, compute what is not there, write the records."""

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Run the task as FireWorks asks for it.

        Raises
        ------
        JobFailed
            With the reason, whatever went wrong; FireWorks keeps it with the launch.
        """
        context = current_context()
        context.payload.clear()
        key = fw_spec.get("key", self._fw_name)
        logger.info("%s started", key)
        try:
            parameters = self.parameters_type.model_validate(self["parameters"])
            context.campaign = parameters.campaign
            with machine_at_fault_is_told():
                outcome = self.execute(parameters, context)
        except JobFailed:
            raise
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_words(e)}" for e in error.errors())
            raise JobFailed(f"{self._fw_name}: wrong parameters: {problems}") from error
        except Exception as error:
            # The boundary between a job and the worker: one bad job must not stop a campaign.
            reason = str(error) if isinstance(error, IonloopError) else f"{type(error).__name__}: {error}"
            logger.warning("%s failed: %s", key, reason)
            raise JobFailed(reason) from error
        logger.info("%s: %s %s", key, outcome.state.value, outcome.reason)
        stored = outcome.model_dump(mode="json", exclude={"pass_on"}) | {"payload": list(context.payload)}
        return FWAction(stored_data=stored, update_spec=outcome.pass_on)
