"""What a kind of model is: how it is fitted, loaded and shown, and what it can do.

Nothing outside this folder compares a kind's name: whoever needs something of a model asks for a capability.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.citations import Citation
from ...core.errors import InputError
from ...core.looks import Look
from ...core.settings import FrozenSettings
from ..electrostatics.registry import kind_of_baseline
from ..settings import CommonBaselineSettings

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from ..data_sets import DataSet
    from ..electrostatics.base import BaselineKind
    from ..electrostatics.charge_errors import LeaveOutTensors
    from ..electrostatics.charges import ChargeProblem
    from ..gap_fit import FitLimits, TargetCounts
    from ..models import ModelManifest
    from ..native.sparse_fit.fit_errors import ErrorSummary
    from ..native.sparse_fit.fit_inputs import ProgressCallback
    from ..online.in_place import InPlaceModel
    from ..posterior.base import ModelPosterior
    from ..posterior.calibration import Calibration
    from ..tuning.gap import TuningRequest
    from ..tuning.search import Tuning

NATIVE = "native"
"""Name of the fitter, and of the evaluator, of kinds that have one."""


class UnusableFile(InputError):
    """A file that settings name cannot be used.

    Attributes
    ----------
    key
        Where in the settings it is named.
    file
        Its name, None where the settings hold its content.
    """

    def __init__(self, key: tuple[str, ...], file: str | None, reason: str) -> None:
        super().__init__(reason)
        self.key = key
        self.file = file


@dataclass(frozen=True)
class FitRequest:
    """All that a fit is told.

    Attributes
    ----------
    data_set
        Labelled configurations and the energies of the isolated atoms, as the reference gave them.
    settings
        Hyperparameters, of the kind's `ModelKind.settings_type`.
    baseline
        The electrostatic baseline, None where the kind has none.
    seed
        Of every random number.
    backend
        What fits: one of the kind's `ModelKind.fit_backends`.
    limits
        Time, memory, threads, and where rows are kept for later fits.
    folder
        Empty; the fit writes its files there, and nothing elsewhere. What it does not finish goes away.
    earlier_model
        Folder of the model that this one grows from, None for a fit from nothing.
    experts
        Folders of the models that this one is made of, for kinds that are (`ModelKind.is_made_of_models`).
    own_data
        What of ``data_set`` belongs to no expert; None: nobody has joined any to it.
    """

    data_set: DataSet
    settings: FrozenSettings
    baseline: CommonBaselineSettings | None
    seed: int
    backend: str
    limits: FitLimits
    folder: Path
    earlier_model: Path | None = None
    experts: tuple[Path, ...] = ()
    own_data: DataSet | None = None

    @cached_property
    def targets(self) -> DataSet:
        """The data set without the baseline's energies, forces and stresses: what is left to learn.

        Of a baseline that is fitted together with the model this is what its start leaves.
        """
        if self.baseline is None:
            return self.data_set
        from ..cores import subtract_baseline

        return subtract_baseline(self.data_set, kind_of_baseline(self.baseline).calculator(self.baseline))


@dataclass(frozen=True)
class FitReport:
    """What a fit says of itself; all of it goes into ``model.json``.

    Attributes
    ----------
    counts
        Values that the fit used; None: all that the data set has.
    command
        Command line of the program that fitted, if one did.
    training_errors, leave_out_errors
        Errors on the training data (eV/atom, eV/Å), and the same with each configuration left out in its turn.
    calibration
        What left-out errors say of the deviations of the model's posterior; None where it has none.
    """

    counts: TargetCounts | None = None
    command: tuple[str, ...] = ()
    training_errors: ErrorSummary | None = None
    leave_out_errors: ErrorSummary | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True)
class FitEstimate:
    """One fit: memory (bytes), time on one core (s, rough), configurations in its data set, columns of its system.

    Attributes
    ----------
    model_bytes, cache_bytes
        Files of the model, and what is kept for later fits.
    """

    configurations: int
    memory_bytes: float
    time_s: float
    model_bytes: float
    columns: int = 0
    cache_bytes: float = 0.0


class ModelKind(ABC):
    """A kind of model; what it does not say of itself it cannot do.

    Modules of kinds load fast: what is heavy is imported inside the methods.

    Attributes
    ----------
    name
        In campaign files, commands and records: that of its entry point.
    rank
        Place among the models of a campaign, in lists, figures and where one of them has to be chosen: the last one
        drives the sampling and is exported, unless somebody says otherwise.
    look
        Name, colour and symbol in figures and tables.
    settings_type
        Its hyperparameters, each with a description and its unit.
    section
        Section of the campaign file that its settings start from; None: only what ``models`` gives.
    potential_file
        File of a model's folder that holds the potential.
    citations
        Works that models of the kind rest on.
    fit_backends, evaluators
        What can fit and evaluate it, the default first; two evaluators are compared with each other.
    has_charges
        Whether a field has something to act on: the charges of its baseline.
    needs_baseline
        Whether it is fitted on top of the electrostatic baseline of the campaign.
    fits_baselines
        Whether it fits the parameters of a baseline together with its own, where that has any.
    has_posterior
        Whether a fit can say how sure its model is (`posterior`).
    gives_atom_energies
        Whether its calculator gives ``energies``, one of each atom, which add up to the energy.
    tunes
        Whether its hyperparameters can be searched for, by some fitter and on some baselines (`why_not_tuned`).
    learns_in_place
        Whether labels can join a model between two fits, by some fitter and on some baselines (`why_not_learning`).
    is_made_of_models
        Whether a fit is given other models and their data beside its own (`models_in`, `with_experts`).
    can_join
        Whether its data and sparse points can become part of a model that is made of models.
    can_drive
        Whether molecular dynamics can be run with it.
    is_quip_potential
        Whether ``potential_file`` is one that QUIP, and LAMMPS with it, reads.
    exports
        Programs that `export` writes files for.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    look: ClassVar[Look]
    settings_type: ClassVar[type[FrozenSettings]]
    section: ClassVar[str | None] = None
    potential_file: ClassVar[str]
    citations: ClassVar[tuple[Citation, ...]] = ()
    fit_backends: ClassVar[tuple[str, ...]] = (NATIVE,)
    evaluators: ClassVar[tuple[str, ...]] = (NATIVE,)
    has_charges: ClassVar[bool] = False
    needs_baseline: ClassVar[bool] = False
    fits_baselines: ClassVar[bool] = False
    has_posterior: ClassVar[bool] = False
    gives_atom_energies: ClassVar[bool] = False
    tunes: ClassVar[bool] = False
    learns_in_place: ClassVar[bool] = False
    is_made_of_models: ClassVar[bool] = False
    can_join: ClassVar[bool] = False
    can_drive: ClassVar[bool] = True
    is_quip_potential: ClassVar[bool] = False
    exports: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, request: FitRequest) -> FitReport:
        """Fit, and write all files of the model but ``model.json`` and the training set to ``request.folder``.

        Equal requests give equal models.

        Raises
        ------
        InputError
            If the request cannot be used.
        IonloopError
            If the fit fails.
        """

    @abstractmethod
    def load(self, folder: Path, manifest: ModelManifest, evaluator: str) -> Calculator:
        """Return the potential of a folder as an ASE calculator (energy, forces, stress), baseline included.

        A pure function of the atoms: equal atoms give equal bits, whatever was evaluated before.
        """

    def posterior(self, folder: Path, manifest: ModelManifest) -> ModelPosterior:
        """Return what the model in a folder knows of its own errors.

        Raises
        ------
        NoPosterior
            If it knows nothing, with the reason.
        """
        from ..posterior.base import NoPosterior

        raise NoPosterior(f"models of the kind {self.name} do not say how sure they are")

    def predicts_variance(self, evaluator: str) -> bool:
        """Whether its calculator gives ``local_variance``, the predicted variance of each atom's energy (eV²)."""
        return False

    def gives_leave_out_errors(self, backend: str) -> bool:
        """Whether a fit knows its errors with each configuration left out: charges can then be fitted to them."""
        return False

    def leave_out_tensors(
        self,
        request: FitRequest,
        problem: ChargeProblem,
        exponents: Sequence[Mapping[str, float]],
        *,
        accuracy: float = 1e-6,
        progress: ProgressCallback | None = None,
    ) -> list[LeaveOutTensors]:
        """Return the leave-out errors as functions of a baseline's charges, for each set of exponents (1/Å).

        Only kinds that give leave-out errors can; the request has no baseline.
        """
        raise InputError(f"models of the kind {self.name} have no leave-out errors that charges could be fitted to")

    def why_not_tuned(self, backend: str, baseline: BaselineKind | None) -> str:
        """Return why models by a fitter and on a baseline are not tuned, in words; empty if they are."""
        return f"models of the kind {self.name} are not tuned: say their settings"

    def with_most_points(self, settings: FrozenSettings, most_sparse_points: int) -> FrozenSettings:
        """Return settings with as many sparse points as a search may choose, for those who ask what that takes."""
        return settings

    def tuned(self, request: FitRequest, tuning: TuningRequest, inputs: str) -> Tuning:
        """Return hyperparameters with lower left-out errors than those of a request; ``inputs`` is a digest of that.

        Raises
        ------
        InputError
            If they are not tuned (`why_not_tuned`).
        """
        raise InputError(self.why_not_tuned(request.backend, None))

    def why_not_learning(self, backend: str, baseline: BaselineKind | None) -> str:
        """Return why labels cannot join models by a fitter and on a baseline in place, in words; empty if they can."""
        return f"labels cannot join models of the kind {self.name} in place: they are fitted anew"

    def learning(
        self,
        folder: Path,
        manifest: ModelManifest,
        data_set: DataSet,
        *,
        most_points: int | None = None,
        cache_folder: Path | None = None,
    ) -> InPlaceModel:
        """Return the model in a folder as one that labels can join.

        Parameters
        ----------
        folder, manifest
            Of the model.
        data_set
            What it was fitted to, as the reference gave it.
        most_points
            Most sparse points of an element; None leaves that to the kind.
        cache_folder
            Where rows of fits are kept.

        Raises
        ------
        InputError
            If labels cannot join it (`why_not_learning`), or it was fitted to other data.
        """
        raise InputError(self.why_not_learning(manifest.backend, None))

    def grows(self, backend: str) -> bool:
        """Whether a fit can keep what an earlier model was built of, its sparse points."""
        return False

    def models_in(self, settings: FrozenSettings) -> tuple[str, ...]:
        """Return the names of the models that one with these settings is made of; none for kinds that are not."""
        return ()

    def with_experts(self, request: FitRequest) -> FitRequest:
        """Return a request with the data of its experts joined to its own.

        Raises
        ------
        InputError
            If the kind is not made of models, or these models cannot be combined; with everything in which they differ.
        """
        raise InputError(f"{self.name} is not made of other models")

    def cutoff_A(self, settings: FrozenSettings) -> float | None:
        """Return how far its short-ranged part sees (Å), None where that is not known."""
        return None

    def check(self, request: FitRequest) -> None:
        """Check before anything is computed that a fit can succeed; ``request.folder`` is where the model will be.

        Raises
        ------
        InputError
            If it cannot; with every reason.
        """
        from ..preflight import check_labels

        check_labels(request.data_set)

    def estimate(
        self, atoms: Atoms, settings: FrozenSettings, backend: str, configurations: int, *, grown: bool = False
    ) -> FitEstimate | None:
        """Return what a fit to so many cells like ``atoms`` takes, None where that is not known.

        ``grown``: whether the model has grown as far as it may in a campaign (`grows`).
        """
        return None

    def objections(self, settings: FrozenSettings, elements: Sequence[str]) -> Iterable[tuple[tuple[str, ...], str]]:
        """Yield what in the settings does not fit the elements of a campaign: the key below them, and a phrase.

        The phrase goes on from the key: "is for Ge, which the structure does not hold".
        """
        return ()

    def with_files_read(self, settings: FrozenSettings, folder: Path) -> FrozenSettings:
        """Return settings with the content of the files that they name, relative to ``folder``, in their place.

        Raises
        ------
        UnusableFile
            If one cannot be used.
        """
        return settings

    def methods(self, settings: FrozenSettings) -> str:
        """Return what a paper says of models with these settings: one or two sentences, or nothing."""
        return ""

    def export(self, target: str, model: Path, structure: Atoms, folder: Path) -> str:
        """Write a model for one of the programs in ``exports``; return how it is used there, for people.

        Parameters
        ----------
        model
            The model's folder.
        structure
            The structure of the campaign.
        folder
            Where to write.
        """
        raise InputError(f"models of the kind {self.name} cannot be written for {target}")

    def fit_backends_on(self, baseline: BaselineKind | None) -> tuple[str, ...]:
        """Return what can fit it on top of a baseline: of one that is fitted with it only its own fitter."""
        return self.fit_backends[:1] if baseline is not None and baseline.is_fitted else self.fit_backends

    def evaluators_on(self, baseline: BaselineKind | None) -> tuple[str, ...]:
        """Return what can evaluate it on top of a baseline: of one that was fitted with it only its own evaluator."""
        return self.evaluators[:1] if baseline is not None and baseline.is_fitted else self.evaluators

    def backend(self, wanted: str, baseline: BaselineKind | None = None) -> str:
        """Return what fits the kind where a campaign wants a certain one: that one if it can, else its own."""
        able = self.fit_backends_on(baseline)
        return wanted if wanted in able else able[0]

    def evaluator(self, wanted: str, baseline: BaselineKind | None = None) -> str:
        """Return what evaluates the kind where a campaign wants a certain one: that one if it can, else its own."""
        able = self.evaluators_on(baseline)
        return wanted if wanted in able else able[0]

    def settings_in(self, document: Mapping[str, Any]) -> FrozenSettings:
        """Return settings from plain data, as documents and manifests hold them.

        Raises
        ------
        pydantic.ValidationError
            If they are none of this kind.
        """
        return self.settings_type.model_validate_json(json.dumps(document))
