"""One Firetask per kind of job: read records, call one function below, write records."""

from .assess import AssessTask, ConcludeTask
from .base import IonloopTask
from .fit import CrossCheckTask, FitTask
from .initial import InitialDynamicsTask, LithiumDistributionsTask, RelaxDistributionTask
from .label import IsolatedAtomTask, LabelTask
from .sample import SampleTask, SelectTask

TASKS: tuple[type[IonloopTask], ...] = (
    AssessTask,
    ConcludeTask,
    CrossCheckTask,
    FitTask,
    InitialDynamicsTask,
    IsolatedAtomTask,
    LabelTask,
    LithiumDistributionsTask,
    RelaxDistributionTask,
    SampleTask,
    SelectTask,
)

__all__ = ["TASKS", *(task.__name__ for task in TASKS)]
