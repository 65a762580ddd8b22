"""A leg: one walker's dynamics with one state of the model that learns.

While it walks, the model says how new the atoms' environments are. A frame with one above its element's threshold is a
candidate for a label, and the walker goes on. Above twice the threshold the walker goes back to its last frame without
an alarm, where a guard stops it to the begin of the leg, and waits for the model that holds the labels of what it met.
A leg is written whole or not at all: one that was killed is walked again and ends with the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator

from ..force_evaluation import EnergyAndForces, ForceEvaluation
from ..guard import TrajectoryGuard
from ..integrators import Langevin, StopReason, temperature_K
from ..molecular_dynamics import clear_calculator
from ..molecular_dynamics_settings import MolecularDynamicsSettings
from ..seen_contacts import ExploringGuard, shortest_distances_A
from ..trajectory import Frame, TrajectoryFile, exclusive, read_frames, write_record
from .settings import OnTheFlySettings

__all__ = [
    "ALARM",
    "TOO_NOVEL",
    "Candidate",
    "CandidateKind",
    "LegEnd",
    "LegOutcome",
    "LegRequest",
    "WalkerState",
    "read_leg",
    "run_leg",
]

ALARM: Final = 1.0
"""Novelty over its threshold above which a frame is a candidate."""
TOO_NOVEL: Final = 2.0
"""The same above which forces are not to be followed."""
NOVELTY: Final = "novelty"
LEGS_TO_WAIT: Final = 1
"""Legs that a walker skips after it went back: labels of round k are in the model of round k + 2."""
MOST_REWINDS: Final = 3
"""In a row, after which a walker begins anew."""
_START_STREAM: Final = 1
_VERSION: Final = 1


class LegEnd(StrEnum):
    """How a leg ended."""

    COMPLETED = "completed"
    REWOUND = "rewound"
    WAITED = "waited"


class CandidateKind(StrEnum):
    """Why a frame may be labelled."""

    ALARM = "alarm"
    REWIND = "rewind"
    AUDIT = "audit"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A frame that may be labelled, with what the model that drove said of it.

    Attributes
    ----------
    atoms
        With energy (eV) and forces (eV/Å) of that model as results, momenta, and ``step`` in ``info``.
    kind
        An audit is one whatever its novelty.
    ratio
        Largest novelty of an atom over its element's threshold.
    """

    atoms: Atoms
    kind: CandidateKind
    ratio: float

    @property
    def step(self) -> int:
        """Step of the walker."""
        return int(self.atoms.info["step"])

    @property
    def has_alarm(self) -> bool:
        """Whether the alarm sounded."""
        return self.ratio > ALARM or self.kind is CandidateKind.REWIND


@dataclass(frozen=True, eq=False)
class WalkerState:
    """Where a walker is between two legs.

    Attributes
    ----------
    atoms
        Unwrapped positions, momenta, cell.
    step
        Steps since its begin, those that it went back over not counted.
    energy_eV
        What the model that led here said of the potential energy; None where none led here.
    waits
        Legs that it skips.
    rewinds
        Legs in a row that ended by going back.
    life
        How often it began anew.
    """

    atoms: Atoms
    step: int
    energy_eV: float | None
    waits: int = 0
    rewinds: int = 0
    life: int = 0

    def document(self) -> dict[str, Any]:
        """Return it as plain data; numbers keep all digits."""
        atoms = self.atoms
        return {
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "momenta": atoms.get_momenta().tolist(),
            "masses": atoms.get_masses().tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": atoms.pbc.tolist(),
            "step": self.step,
            "energy_eV": self.energy_eV,
            "waits": self.waits,
            "rewinds": self.rewinds,
            "life": self.life,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> WalkerState:
        """Return the state that `document` described."""
        names = ("numbers", "positions", "masses", "cell", "pbc")
        atoms = Atoms(**{name: document[name] for name in names})
        atoms.set_momenta(np.array(document["momenta"]))
        return cls(atoms, *(document[name] for name in ("step", "energy_eV", "waits", "rewinds", "life")))


def _nothing(done: int, of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class LegRequest:
    """One leg.

    Attributes
    ----------
    atoms
        The system's structure.
    settings
        Of the sampler.
    walker
        Which one, from 0.
    seed
        Of the walker, the same in all its legs, ≥ 0.
    calculator
        Makes the model: energy, forces and ``novelty`` [n_atoms] from 0 to 1.
    thresholds
        Novelty by element above which the alarm sounds.
    path
        Trajectory that is written; what else the leg leaves lies beside it.
    start
        State that the leg before left; None: the walker begins.
    starts
        Configurations of the training set, one of which each walker but the first begins with.
    audits
        Steps within the leg (`.audits.audit_steps`).
    seen_A
        Shortest distances (Å) by pair of elements in the training set.
    progress
        To be told (steps done, of all).
    """

    atoms: Atoms
    settings: OnTheFlySettings
    walker: int
    seed: int
    calculator: Callable[[], Calculator]
    thresholds: Mapping[str, float]
    path: Path
    start: WalkerState | None = None
    starts: Sequence[Atoms] = ()
    audits: Sequence[int] = ()
    seen_A: Mapping[str, float] = field(default_factory=dict)
    reset_history: Callable[[Calculator], None] = clear_calculator
    progress: Callable[[int, int], None] = _nothing


@dataclass(frozen=True, eq=False)
class LegOutcome:
    """What a leg left.

    Attributes
    ----------
    end, reason
        Completed; gone back, and why; or waited.
    state
        Where the next leg begins.
    candidates
        Audits and frames with an alarm, in their order.
    steps
        Steps that were walked, those it went back over included.
    looks, alarms
        How often novelty was looked at, and was above a threshold.
    highest_ratio
        Largest novelty over its threshold.
    mean_temperature_K
        Over the frames after the first; None where there is none.
    energy_jump_eV_per_atom
        Potential energy of the first frame less what the model of the leg before said of it; None at the begin.
    target_K
        Temperature of the thermostat at the end.
    """

    end: LegEnd
    reason: str
    state: WalkerState
    candidates: tuple[Candidate, ...] = ()
    steps: int = 0
    looks: int = 0
    alarms: int = 0
    highest_ratio: float = 0.0
    mean_temperature_K: float | None = None
    energy_jump_eV_per_atom: float | None = None
    target_K: float | None = None


class _TooNovel(StopReason):
    """An environment is so new that forces mean nothing."""


@dataclass(frozen=True, eq=False)
class _Look:
    frame: Frame
    ratio: float


class _NoveltyEvaluation(ForceEvaluation):
    """Asks for the novelty too, where it is wanted."""

    wanted = False
    novelty: np.ndarray | None = None

    def __call__(self, atoms: Atoms, *, stress: bool = False) -> EnergyAndForces:
        self.novelty = None
        if not self.wanted:
            return super().__call__(atoms, stress=stress)
        results = self._calculate(atoms, ("energy", "forces", NOVELTY))
        self.novelty = np.array(results[NOVELTY], dtype=np.float64)
        return EnergyAndForces(float(results["energy"]), np.array(results["forces"], dtype=np.float64))


class _Walk(Langevin):
    """Dynamics that looks for novelty on its way."""

    def __init__(
        self,
        atoms: Atoms,
        evaluation: _NoveltyEvaluation,
        settings: MolecularDynamicsSettings,
        seed: int,
        every: int,
        thresholds: Mapping[str, float],
    ) -> None:
        super().__init__(atoms, evaluation, settings, seed)
        self.novelty_evaluation = evaluation
        self.every = every
        symbols = atoms.get_chemical_symbols()
        self.limits = np.array([thresholds[symbol] for symbol in symbols])
        self.looks: list[_Look] = []
        self.begins = False

    def begin(self, state: WalkerState | None) -> Frame:
        """Return the frame that the leg begins with, of the model that drives now; nothing in it is an alarm."""
        self.begins = True
        if state is None:
            frame = self.first_frame()
        else:
            self.atoms.set_momenta(state.atoms.get_momenta())
            self.evaluation.forget()
            potential = self._evaluate(state.step)
            frame = self._frame(potential, state.step)
            self.set_reference(frame)
            self._guard(potential, potential.energy_eV, state.step)
        self.begins = False
        self.set_reference(frame)
        return frame

    def block(self, frame: Frame) -> Frame:
        """Look on the way to the next frame."""
        self.looks = []
        return super().block(frame)

    def _evaluate(self, step: int) -> EnergyAndForces:
        self.novelty_evaluation.wanted = not self.begins and (
            step % self.every == 0 or step % self.settings.write_every == 0
        )
        return super()._evaluate(step)

    def _guard(self, potential: EnergyAndForces, previous_eV: float, step: int) -> None:
        super()._guard(potential, previous_eV, step)
        novelty = self.novelty_evaluation.novelty
        if novelty is None:
            return
        ratios = novelty / self.limits
        worst = int(np.argmax(ratios))
        self.looks.append(_Look(self._frame(potential, step), float(ratios[worst])))
        if ratios[worst] > TOO_NOVEL:
            raise _TooNovel(
                f"step {step}: the environment of {self.atoms.symbols[worst]}{worst} is new (novelty "
                f"{novelty[worst]:.2f}, alarm at {self.limits[worst]:.2f})"
            )


@dataclass
class _Record:
    """What a leg has met so far; ``audits``: steps of the walker."""

    audits: frozenset[int]
    candidates: list[Candidate] = field(default_factory=list)
    looks: int = 0
    alarms: int = 0
    highest: float = 0.0

    def add(self, looks: Sequence[_Look]) -> bool:
        """Take in the looks of a block; return whether an alarm sounded."""
        self._count(looks)
        worst, last = max(looks, key=lambda look: look.ratio), looks[-1]
        is_audit = last.frame.step in self.audits
        alarm = worst.ratio > ALARM
        if alarm and not (is_audit and worst is last):
            self.candidates.append(_candidate(worst, CandidateKind.ALARM))
        if is_audit:
            self.candidates.append(_candidate(last, CandidateKind.AUDIT))
        return alarm

    def end_with(self, looks: Sequence[_Look], frames: Sequence[Frame]) -> None:
        """Take in what a walker met that goes back: the newest it saw, or where it was when a guard stopped it."""
        self._count(looks)
        if looks:
            self.candidates.append(_candidate(max(looks, key=lambda look: look.ratio), CandidateKind.REWIND))
        elif frames:
            self.candidates.append(_candidate(_Look(frames[-1], 0.0), CandidateKind.REWIND))

    def _count(self, looks: Sequence[_Look]) -> None:
        self.looks += len(looks)
        self.alarms += sum(look.ratio > ALARM for look in looks)
        self.highest = max([self.highest, *(look.ratio for look in looks)])


def run_leg(request: LegRequest) -> LegOutcome:
    """Walk a leg, or return what it left before.

    Raises
    ------
    InputError
        If the structure cannot be walked with.
    TrajectoryError
        If the disk is full, or another process is at it.
    """
    with exclusive(request.path):
        if _outcome_path(request.path).exists():
            return read_leg(request.path)
        for leftover in (request.path, _candidates_path(request.path)):
            leftover.unlink(missing_ok=True)
        start = request.start
        if start is not None and start.waits:
            waited = replace(start, waits=start.waits - 1)
            frames: list[Frame] = []
            outcome = LegOutcome(LegEnd.WAITED, "it waits for labels of what it met", waited)
        else:
            outcome, frames = _walk(request)
        _write(request.path, outcome, frames)
        return outcome


def _walk(request: LegRequest) -> tuple[LegOutcome, list[Frame]]:
    settings, state = request.settings, request.start
    life = 0 if state is None else state.life
    if state is not None and state.rewinds >= MOST_REWINDS:
        state, life = None, life + 1
    begin = _begin(request) if state is None else state.atoms
    first = 0 if state is None else state.step
    walk = _new_walk(request, begin, first + settings.leg_steps, _seed(request.seed, life))
    record = _Record(audits=frozenset(first + step for step in request.audits))
    frames: list[Frame] = []
    sound: Frame | None = None
    end, reason = LegEnd.COMPLETED, ""
    try:
        frames.append(walk.begin(state))
        sound = frames[0]
        while frames[-1].step < first + settings.leg_steps:
            frame = walk.block(frames[-1])
            alarm = record.add(walk.looks)
            frames.append(frame)
            sound = sound if alarm else frame
            request.progress(frame.step - first, settings.leg_steps)
    except StopReason as stop:
        end, reason = LegEnd.REWOUND, str(stop)
        record.end_with(walk.looks, frames)
        if not isinstance(stop, _TooNovel) and frames:
            # No alarm marked where it went astray: what led to the guard is not gone back to.
            sound = frames[0]
    last = max([first, *(frame.step for frame in frames[-1:]), *(look.frame.step for look in walk.looks[-1:])])
    jump_eV = None
    if frames and state is not None and state.energy_eV is not None:
        jump_eV = (frames[0].energy_eV - state.energy_eV) / len(begin)
    outcome = LegOutcome(
        end=end,
        reason=reason,
        state=_end_state(end, frames, sound, state, begin, life),
        candidates=tuple(record.candidates),
        steps=last - first,
        looks=record.looks,
        alarms=record.alarms,
        highest_ratio=record.highest,
        mean_temperature_K=_mean_temperature_K(frames),
        energy_jump_eV_per_atom=jump_eV,
        target_K=walk.settings.temperature_at(last),
    )
    return outcome, frames


def _new_walk(request: LegRequest, begin: Atoms, steps: int, seed: int) -> _Walk:
    settings = request.settings
    guard = _guard(settings.guard, request.seen_A, begin)
    dynamics = settings.dynamics(request.walker, steps).model_copy(update={"guard": guard})
    evaluation = _NoveltyEvaluation(request.calculator(), request.reset_history)
    return _Walk(begin, evaluation, dynamics, seed, settings.check_every, request.thresholds)


def _begin(request: LegRequest) -> Atoms:
    """Return what a walker begins with: the crystal, or a configuration of the training set."""
    if request.walker == 0 or not request.starts:
        return request.atoms
    random = np.random.default_rng(np.random.SeedSequence(request.seed, spawn_key=(_START_STREAM,)))
    return request.starts[int(random.integers(len(request.starts)))]


def _guard(guard: ExploringGuard, seen_A: Mapping[str, float], start: Atoms) -> TrajectoryGuard:
    seen = dict(seen_A)
    if seen:
        # Where a leg begins was sound, or was chosen.
        for pair, distance in shortest_distances_A([start]).items():
            seen[pair] = min(distance, seen.get(pair, distance))
    return guard.bounded(seen)


def _seed(seed: int, life: int) -> int:
    """Return the seed of a walker's noise: another one whenever it begins anew."""
    if not life:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(_START_STREAM, life)).generate_state(1, np.uint64)[0])


def _end_state(
    end: LegEnd, frames: Sequence[Frame], sound: Frame | None, state: WalkerState | None, begin: Atoms, life: int
) -> WalkerState:
    if end is LegEnd.COMPLETED:
        return WalkerState(frames[-1].atoms, frames[-1].step, frames[-1].energy_eV, life=life)
    rewinds = 1 + (state.rewinds if state is not None else 0)
    if sound is None:
        atoms = begin.copy()
        energy_eV, step = (None, 0) if state is None else (state.energy_eV, state.step)
        return WalkerState(atoms, step, energy_eV, LEGS_TO_WAIT, rewinds, life)
    return WalkerState(sound.atoms, sound.step, sound.energy_eV, LEGS_TO_WAIT, rewinds, life)


def _candidate(look: _Look, kind: CandidateKind) -> Candidate:
    frame = look.frame
    atoms = frame.atoms.copy()
    atoms.info = {"step": frame.step}
    atoms.calc = SinglePointCalculator(atoms, energy=frame.energy_eV, forces=frame.forces)
    return Candidate(atoms, kind, look.ratio)


def _mean_temperature_K(frames: Sequence[Frame]) -> float | None:
    if len(frames) < 2:
        return None
    kinetic_eV = float(np.mean([frame.atoms.get_kinetic_energy() for frame in frames[1:]]))
    return temperature_K(kinetic_eV, len(frames[0].atoms))


def _outcome_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _candidates_path(path: Path) -> Path:
    return path.with_name(path.stem + ".candidates.traj")


def _write(path: Path, outcome: LegOutcome, frames: Sequence[Frame]) -> None:
    """Write frames and candidates, then what says that they are whole."""
    with TrajectoryFile(path) as file:
        for frame in frames:
            file.append(frame)
    with TrajectoryFile(_candidates_path(path)) as file:
        for one in outcome.candidates:
            results = one.atoms.calc.results
            file.append(Frame(one.atoms, results["energy"], results["forces"], one.step, 0.0, 0.0))
    values = {name: getattr(outcome, name) for name in LegOutcome.__dataclass_fields__}
    values["state"] = outcome.state.document()
    values["candidates"] = [[one.kind.value, one.ratio] for one in outcome.candidates]
    write_record(_outcome_path(path), {"version": _VERSION, **values})


def read_leg(path: Path) -> LegOutcome:
    """Return what a leg left, from its trajectory's path.

    Raises
    ------
    TrajectoryError
        If there is none.
    """
    document = json.loads(_outcome_path(path).read_text(encoding="utf-8"))
    found = read_frames(_candidates_path(path))
    kinds = document["candidates"]
    values = {name: document[name] for name in LegOutcome.__dataclass_fields__}
    values["end"] = LegEnd(values["end"])
    values["state"] = WalkerState.of(document["state"])
    values["candidates"] = tuple(
        Candidate(_read_candidate(atoms), CandidateKind(kind), float(ratio))
        for atoms, (kind, ratio) in zip(found, kinds, strict=True)
    )
    return LegOutcome(**values)


def _read_candidate(atoms: Atoms) -> Atoms:
    results = atoms.calc.results
    bare = atoms.copy()
    bare.info = {"step": int(atoms.info["step"])}
    bare.calc = SinglePointCalculator(bare, energy=results["energy"], forces=results["forces"])
    return bare
