"""The schedulers that a profile can name."""

from __future__ import annotations

from .contract import Scheduler
from .lsf import Lsf
from .pbs import Pbs
from .slurm import Slurm


def scheduler_of(name: str) -> Scheduler:
    """Return the scheduler that a profile names."""
    schedulers: tuple[Scheduler, ...] = (Slurm(), Pbs(), Lsf())
    return next(one for one in schedulers if one.name == name)
