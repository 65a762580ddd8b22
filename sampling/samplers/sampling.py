"""Running any sampler: what all must be given, and what none may leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...core.errors import InputError
from ..molecular_dynamics import TrajectoryEnd
from .base import CommonSamplerSettings, SamplerOutcome, SamplerRequest, share
from .registry import sampler_of


def prepare(request: SamplerRequest[Any]) -> list[Atoms]:
    """Return what all runs of a sampler share.

    Raises
    ------
    InputError
        If the request cannot be met.
    """
    _check_request(request)
    return list(sampler_of(request.settings).prepare(request))


def sample(request: SamplerRequest[Any]) -> SamplerOutcome:
    """Make a run of a sampler, or carry it on; its frames are those of the system, each finite.

    Raises
    ------
    InputError
        If the request cannot be met, or the sampler breaks its contract.
    """
    kind = sampler_of(request.settings)
    _check_request(request)
    runs = kind.runs(request.settings)
    if not 0 <= request.index < runs:
        raise InputError(f"the sampler {kind.name} has the runs 0 to {runs - 1} here, not {request.index}")
    if kind.needs_potential(request.settings) and request.calculator is None:
        raise InputError(f"the sampler {kind.name} needs a potential")
    request.path.parent.mkdir(parents=True, exist_ok=True)
    outcome = kind.sample(request)
    _check_frames(kind.name, kind.read(request.path), request.atoms)
    return outcome


def samples(settings: CommonSamplerSettings, index: int, path: Path) -> list[Atoms]:
    """Return the frames that a run offers: evenly spaced where it has more than its share of `Sampler.frames`."""
    kind = sampler_of(settings)
    frames = kind.read(path)
    wanted = offered(settings, index)
    if len(frames) <= wanted:
        return frames
    # The last of each part: what lies farthest from where the run began.
    return [frames[(number + 1) * len(frames) // wanted - 1] for number in range(wanted)]


def offered(settings: CommonSamplerSettings, index: int) -> int:
    """Return how many frames a run offers at most."""
    kind = sampler_of(settings)
    return share(kind.frames(settings), kind.runs(settings), index)


def may_go_on(settings: CommonSamplerSettings, outcome: SamplerOutcome) -> bool:
    """Return whether a run has more to do than what it left."""
    return outcome.end is TrajectoryEnd.STOPPED and sampler_of(settings).stopped_can_go_on(outcome.reason)


def _check_request(request: SamplerRequest[Any]) -> None:
    kind = sampler_of(request.settings)
    if request.seed < 0:
        raise InputError(f"the seed must be 0 or more, not {request.seed}")
    if len(request.atoms) == 0:
        raise InputError("a structure without atoms cannot be sampled")
    if kind.needs_charges:
        symbols = set(request.atoms.symbols)
        if request.mobile not in symbols:
            raise InputError(
                f"the mobile ion {request.mobile!r} is not among the elements {', '.join(sorted(symbols))}"
            )
        missing = sorted(symbols - set(request.charges))
        if missing:
            raise InputError(f"the sampler {kind.name} needs the charge of {', '.join(missing)}")


def _check_frames(name: str, frames: Sequence[Atoms], atoms: Atoms) -> None:
    """Refuse what no sampler may leave: what is labelled costs hours."""
    for number, frame in enumerate(frames):
        if not np.array_equal(frame.numbers, atoms.numbers):
            fault = "atoms that are not the system's"
        elif not np.isfinite(frame.positions).all() or not np.isfinite(frame.cell.array).all():
            fault = "positions that are not finite numbers"
        else:
            continue
        raise InputError(f"the sampler {name} left {fault} in frame {number}")
