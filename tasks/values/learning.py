"""What the results of learning on the fly hold: legs of walkers, rounds of candidates, updates of the model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.names import FEWEST_AUDITS, LEARNING_LEG, LEARNING_ROUND, LEARNING_UPDATE
from ...core.settings import FrozenModel
from ...store.records import Artefact
from ...store.result_kinds import ResultKind, ResultValues

FrameKind = Literal["alarm", "rewind", "audit"]
AUDITED: FrameKind = "audit"


class LegValues(ResultValues):
    """A leg of a walker: dynamics with one state of the model."""

    entry: int = Field(description="Place of the sampler in explore, from 0 (number)")
    round: int = Field(description="Round within the generation, from 1 (number)")
    walker: int = Field(description="Which walker, from 0 (number)")
    leg: int = Field(description="Which leg of the walker, over all generations, from 0 (number)")
    first_step: int = Field(description="Step of the walker that the leg begins with (number)")
    end: str = Field(description="completed, rewound or waited (name)")
    reason: str = Field(description="Why it ended before its length, or why the walker waited (text)")
    walked_ps: float = Field(description="Simulated time of the leg, what it went back over included (ps)")
    looks: int = Field(description="Frames whose novelty was looked at (number)")
    alarms: int = Field(description="Those of them with an alarm (number)")
    highest_ratio: float = Field(description="Largest novelty of an atom over its element's threshold (no unit)")
    target_K: float | None = Field(description="Temperature of the thermostat at the end; null: it waited (K)")
    mean_temperature_K: float | None = Field(description="Mean kinetic temperature; null where no frame tells (K)")
    energy_jump_eV_per_atom: float | None = Field(
        description="Change of the potential energy where the walker was given the updated model; null at its begin "
        "(eV/atom)"
    )
    state: Artefact = Field(description="File that the walker goes on from (name)")
    candidates: Artefact = Field(description="File of the frames that it offers (name)")


class RoundFrame(FrozenModel):
    """A frame that a round asks a label of, with what the model that drove said of it."""

    configuration: str = Field(description="Identifier of the configuration (name)")
    kind: FrameKind = Field(description="Why it is labelled: alarm, rewind or audit (name)")
    walker: int = Field(description="Which walker, from 0 (number)")
    step: int = Field(description="Step of the walker (number)")
    time_ps: float = Field(description="Simulated time of all walkers together before and in this round (ps)")
    ratio: float | None = Field(description="Largest novelty over its threshold; null where nothing tells (no unit)")


class RoundValues(ResultValues):
    """What a round of legs met, and what of it is labelled."""

    entry: int = Field(description="Place of the sampler in explore, from 0 (number)")
    round: int = Field(description="Round within the generation, from 1 (number)")
    simulated_ps: float = Field(description="Simulated time of all walkers so far, over all generations (ps)")
    round_ps: float = Field(description="That of this round (ps)")
    looks: int = Field(description="Frames of the round whose novelty was looked at (number)")
    alarms: int = Field(description="Those of them with an alarm (number)")
    rewinds: int = Field(description="Walkers that went back in this round (number)")
    candidates: int = Field(description="Frames that alarms offered (number)")
    frames: tuple[RoundFrame, ...] = Field(
        description="Frames that are labelled, in the order of the file of predictions"
    )
    labels_used: int = Field(description="Labels asked for so far, over all generations (number)")
    ended: str = Field(default="", description="Why learning ends with this round; empty: it goes on (text)")
    predictions: Artefact | None = Field(
        default=None, description="File of energies and forces of the frames by the model that drove (name)"
    )


class FrameError(FrozenModel):
    """How wrong the model that drove was about a frame that has a label now."""

    configuration: str = Field(description="Identifier of the configuration (name)")
    label: str = Field(description="Identifier of its label (name)")
    kind: FrameKind = Field(description="Why it was labelled: alarm, rewind or audit (name)")
    time_ps: float = Field(description="Simulated time of all walkers (ps)")
    ratio: float | None = Field(description="Largest novelty over its threshold; null where nothing tells (no unit)")
    force_rmse_eV_per_A: float = Field(description="Root-mean-square error of the force components (eV/Å)")
    force_rmse_by_element_eV_per_A: dict[str, float] = Field(description="The same on the atoms of an element (eV/Å)")
    largest_force_error_eV_per_A: float = Field(description="Largest error of the force on an atom (eV/Å)")
    energy_error_eV_per_atom: float = Field(description="Prediction less label (eV/atom)")
    joined: bool = Field(description="Whether it joined the model in place (yes or no)")


class AuditedError(FrozenModel):
    """What audits say of the error of the model that drives; intervals of 95 % by bootstrap over frames."""

    audits: int = Field(description="Audits that it rests on (number)")
    force_rmse_eV_per_A: float = Field(description="Root-mean-square error of the force components (eV/Å)")
    force_low_eV_per_A: float = Field(description="Lower end of its interval (eV/Å)")
    force_high_eV_per_A: float = Field(description="Upper end of its interval (eV/Å)")
    energy_rmse_eV_per_atom: float = Field(description="Root-mean-square error of the energy (eV/atom)")
    energy_low_eV_per_atom: float = Field(description="Lower end of its interval (eV/atom)")
    energy_high_eV_per_atom: float = Field(description="Upper end of its interval (eV/atom)")
    force_by_element_eV_per_A: dict[str, tuple[float, float, float]] = Field(
        description="Of the atoms of an element: error and its interval's ends (eV/Å)"
    )


class UpdateValues(ResultValues):
    """The model of a round: what joined it, how wrong the one before it was, and whether learning goes on."""

    entry: int = Field(description="Place of the sampler in explore, from 0 (number)")
    round: int = Field(description="Round whose walkers the model drives, from 2 (number)")
    frames: tuple[FrameError, ...] = Field(default=(), description="Frames whose labels were there")
    missing: int = Field(default=0, description="Labels that were asked for and did not finish (number)")
    joined: int = Field(default=0, description="Labels that joined in place, since the last full fit (number)")
    labels: int = Field(default=0, description="New labels since the last full fit (number)")
    labels_at_begin: int = Field(default=0, description="Labels of the last full fit (number)")
    points_joined: dict[str, int] = Field(default_factory=dict, description="Sparse points that joined now (number)")
    at_cap: tuple[str, ...] = Field(default=(), description="Elements that may have no more sparse points (symbols)")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="Novelty above which an alarm sounds, by element (no unit)"
    )
    audited: AuditedError | None = Field(default=None, description="What audits say so far, null where there are none")
    force_tolerance_eV_per_A: float = Field(description="Error that is to be reached (eV/Å)")
    max_labels: int = Field(description="Labels that learning may ask for (number)")
    ended: str = Field(default="", description="Why learning ends in this generation; empty: it goes on (text)")
    problem: str = Field(default="", description="Why labels could not join in place; empty: they could (text)")

    @property
    def is_within_tolerance(self) -> bool:
        """Whether the audits' upper bound is below the tolerance, with enough of them."""
        found = self.audited
        return (
            found is not None
            and found.audits >= FEWEST_AUDITS
            and found.force_high_eV_per_A < self.force_tolerance_eV_per_A
        )


LEGS = ResultKind(LEARNING_LEG, LegValues)
ROUNDS = ResultKind(LEARNING_ROUND, RoundValues)
UPDATES = ResultKind(LEARNING_UPDATE, UpdateValues)
