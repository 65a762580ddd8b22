"""Learning on the fly in one process, for notebooks and measurements: the rounds that campaigns run as jobs.

Round k's walkers are driven by the model that holds the labels of the rounds up to k - 2, as if those of round k - 1
were still being computed; nothing depends on how long a label takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ...core.structures import structure_hash
from ...fitting.data_sets import LabelledConfiguration
from ...fitting.online.in_place import InPlaceModel
from .audits import audit_steps
from .errors import Audited, FrameError, audited_errors, frame_error
from .leg import Candidate, CandidateKind, LegRequest, WalkerState, run_leg
from .settings import OnTheFlySettings
from .thinning import thinned_frames

__all__ = ["FEWEST_AUDITS", "Learned", "learn"]

Reference = Callable[[Atoms, str], LabelledConfiguration]
"""Labels a structure under a name."""
FEWEST_AUDITS = 8
"""Below which an error is not known well enough to end."""
_SEEDS_APART = 1000


@dataclass
class Learned:
    """What was learnt.

    Attributes
    ----------
    model
        With all that joined; its training is that of updates in place.
    labels
        All labels, in the order in which they were asked for: those of the next full fit.
    errors
        Of each label's frame, by the model that drove there.
    rounds
        Round of each label.
    alarms
        Of each round, looks with an alarm.
    steps
        Of each round, steps that all walkers walked.
    states
        Where walkers are.
    reason
        Why it ended.
    contents
        Hashes of the structures that were labelled.
    """

    model: InPlaceModel
    labels: list[LabelledConfiguration] = field(default_factory=list)
    errors: list[FrameError] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    alarms: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    states: list[WalkerState] = field(default_factory=list)
    reason: str = ""
    contents: set[str] = field(default_factory=set)

    @property
    def audited(self) -> Audited:
        """Errors at the audits."""
        return audited_errors(self.errors)


def learn(
    model: InPlaceModel,
    atoms: Atoms,
    reference: Reference,
    settings: OnTheFlySettings,
    folder: Path,
    *,
    seed: int,
    starts: Sequence[Atoms] = (),
    states: Sequence[WalkerState] = (),
    first_leg: int = 0,
    most_labels: int | None = None,
    ends_when_doubled: bool = True,
) -> Learned:
    """Let walkers explore and the model learn from what they meet, for one generation.

    It ends when the labels that joined are as many as the model began with, when labels are used up, when audits are
    within tolerance, or when the walkers have walked their length.

    Parameters
    ----------
    model
        Begins; it is changed.
    atoms
        The structure.
    reference
        Labels frames.
    settings
        Of the sampler.
    folder
        Takes trajectories.
    seed
        ≥ 0.
    starts
        What walkers but the first begin with.
    states, first_leg
        Walkers that go on from an earlier generation, and the legs behind them.
    most_labels
        In place of ``max_labels``.
    ends_when_doubled
        Whether as many labels as the model began with ask for a full fit.
    """
    found = Learned(model)
    walkers: list[WalkerState | None] = [*states] or [None] * settings.walkers
    begun, joined = model.n_labels, 0
    budget = settings.max_labels if most_labels is None else most_labels
    waiting: list[list[LabelledConfiguration]] = []
    asked: list[Atoms] = []
    for round_ in range(settings.rounds):
        if round_ >= 2:
            joined += len(waiting[round_ - 2])
            model.add(waiting[round_ - 2])
        found.reason = _why_it_ends(found, settings, ends_when_doubled and joined >= begun, budget)
        if found.reason:
            break
        met = _walk(found, walkers, atoms, settings, folder, (round_, first_leg), seed, starts)
        chosen = _chosen(model, met, settings, asked)[: budget - len(found.labels)]
        asked = [one.atoms for one in chosen]
        waiting.append(_labelled(found, chosen, reference, settings, round_))
    else:
        found.reason = f"walkers have walked {settings.length_ps:g} ps"
    for rest in waiting[-2:]:
        model.add([one for one in rest if one.identifier not in model.identifiers])
    found.states = [state for state in walkers if state is not None]
    return found


def _why_it_ends(found: Learned, settings: OnTheFlySettings, has_doubled: bool, budget: int) -> str:
    if has_doubled:
        return "labels have doubled: the next model is a full fit"
    if len(found.labels) >= budget:
        return f"all {budget} labels are used"
    forces = found.audited.forces
    if forces.frames >= FEWEST_AUDITS and forces.high < settings.force_tolerance_eV_per_A:
        return f"audits are within {settings.force_tolerance_eV_per_A:g} eV/Å"
    return ""


def _walk(
    found: Learned,
    walkers: list[WalkerState | None],
    atoms: Atoms,
    settings: OnTheFlySettings,
    folder: Path,
    place: tuple[int, int],
    seed: int,
    starts: Sequence[Atoms],
) -> list[Candidate]:
    """Walk a round and return what was met; states of walkers change."""
    round_, first_leg = place
    met: list[Candidate] = []
    calculator = found.model.calculator()
    found.alarms.append(0)
    found.steps.append(0)
    for walker, state in enumerate(walkers):
        outcome = run_leg(
            LegRequest(
                atoms=atoms,
                settings=settings,
                walker=walker,
                seed=_SEEDS_APART * seed + walker,
                calculator=lambda: calculator,
                thresholds=found.model.thresholds,
                path=folder / f"{first_leg + round_}-{walker}.traj",
                start=state,
                starts=starts,
                audits=audit_steps(settings, seed, first_leg + round_, walker),
            )
        )
        walkers[walker] = outcome.state
        met += outcome.candidates
        found.alarms[-1] += outcome.alarms
        found.steps[-1] += outcome.steps
    return met


def _chosen(
    model: InPlaceModel, met: Sequence[Candidate], settings: OnTheFlySettings, asked: Sequence[Atoms]
) -> list[Candidate]:
    """Return audits, then what walkers wait for, then the alarms that bring most."""
    audits = [one for one in met if one.kind is CandidateKind.AUDIT]
    rewinds = [one for one in met if one.kind is CandidateKind.REWIND][: settings.batch]
    alarms = [one for one in met if one.kind is CandidateKind.ALARM]
    known = [*asked, *(one.atoms for one in (*audits, *rewinds))]
    calculator = model.calculator()
    frames = [one.atoms for one in alarms]
    most = settings.batch - len(rewinds)
    picked = thinned_frames(calculator.kernel, model.thresholds, frames, most, asked=known)
    return [*audits, *rewinds, *(alarms[index] for index in picked)]


def _labelled(
    found: Learned, chosen: Sequence[Candidate], reference: Reference, settings: OnTheFlySettings, round_: int
) -> list[LabelledConfiguration]:
    """Label frames; return the labels that join in place: of alarms, and of audits that were wrong."""
    joining = []
    for one in chosen:
        # A walker that goes back twice from one place meets the same there.
        content = structure_hash(one.atoms)
        if content in found.contents:
            continue
        found.contents.add(content)
        label = reference(one.atoms, f"learnt-{len(found.labels)}")
        assert label.forces is not None
        is_audit = one.kind is CandidateKind.AUDIT
        error = frame_error(one.atoms, label.energy, np.asarray(label.forces), is_audit=is_audit, ratio=one.ratio)
        found.labels.append(label)
        found.errors.append(error)
        found.rounds.append(round_)
        if one.has_alarm or error.force_rmse_eV_per_A > settings.force_tolerance_eV_per_A:
            joining.append(label)
    return joining


def renamed(labels: Sequence[LabelledConfiguration], prefix: str) -> list[LabelledConfiguration]:
    """Return labels under other names, for several generations in one data set."""
    return [replace(one, identifier=f"{prefix}-{one.identifier}") for one in labels]
