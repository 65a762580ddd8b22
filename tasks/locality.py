"""Locality jobs: the forces around one centre each, then the curves of all centres, and charges fitted to them.

What one centre and one radius give is a piece: a file named after all that decides its content, written once it
is whole. While it is made, what there is so far is kept in the job's scratch folder, so that a killed job repeats
at most a few seconds of evaluations. Tests that share centres, radii and samples share pieces.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field

from ..analysis.locality.curves import (
    Centre,
    Displacements,
    Evaluate,
    forces_of,
    induced_response,
    locality_curves,
)
from ..analysis.locality.frozen_sphere import FrozenSphereFrames, Sphere, deviations, run_frozen_sphere
from ..analysis.locality.settings import LocalitySettings
from ..core.arrays import FloatArray
from ..core.files import atomic_file
from ..core.names import CHARGES
from ..core.settings import FrozenModel
from ..core.structures import structure_hash
from ..fitting.electrostatics.charges import (
    CentreResponse,
    ChargeProblem,
    PairTensorEvaluator,
    ScaleCurve,
    fit_charges,
    scale_curve,
)
from ..fitting.electrostatics.registry import AnyBaselineSettings, kind_of_baseline
from ..fitting.models import load_baseline
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import Artefact, ResultRecord
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext
from .initial import starting_structure
from .results import Potential, ResultTask, charges_text, new_result, open_potential, save_arrays
from .values.charges import BY_LOCALITY, CHARGES_BY_LOCALITY, LocalityChargeValues
from .values.locality import LOCALITIES, LocalityValues

LOCALITY_KIND = LOCALITIES.name
CHARGE_SCALES = tuple(round(0.05 * step, 2) for step in range(21))
"""Multiples of the formal charges at which locality is recorded."""
_SAVE_EVERY_S = 2.0


class LocalityTest(FrozenModel):
    """A locality test of one potential, without its centres."""

    potential: Potential
    supercell: tuple[int, int, int] = Field(description="Repetitions of the campaign's cell (number)")
    settings: LocalitySettings
    exponents: dict[str, float] = Field(description="Slater exponent of every species (1/Å)")
    accuracy: float = Field(description="Truncation error of the electrostatic forces (eV/Å)")
    seed: int

    @property
    def species(self) -> tuple[str, ...]:
        """All species, sorted."""
        return tuple(sorted(self.exponents))

    def displacements(self, radius_A: float) -> Displacements:
        """Return the displacements beyond one radius."""
        return Displacements((radius_A,), self.settings.samples, self.settings.displacement_A, self.seed)

    def piece(self, content: str, centre: int, radius_A: float) -> str:
        """Return the identifier of the forces around a centre of the cell with that content hash."""
        own = self.settings
        how: Any = [own.displacement_A, own.samples]
        if own.protocol == "frozen-sphere":
            how = own.frozen_sphere.model_dump(mode="json")
        return identifier(
            LOCALITY_KIND, content, centre, radius_A, own.protocol, how, self.seed, self.potential.identity
        )

    def tensor_piece(self, piece: str) -> str:
        """Return the identifier of the electrostatic tensors for the displacements of a piece."""
        return identifier("tensors", piece, self.exponents, self.accuracy)


class CentreParameters(TaskParameters):
    """One centre of a test."""

    test: LocalityTest
    centre: Centre


class LocalityCentreTask(IonloopTask):
    """Compute the forces that one centre feels for all radii and samples, and the tensors of the baseline."""

    _fw_name = "ionloop.locality-centre"
    resumable = True
    parameters_type = CentreParameters

    def execute(self, parameters: CentreParameters, context: TaskContext) -> Outcome:
        """Compute the pieces that are not whole yet."""
        test, centre = parameters.test, parameters.centre.index
        cell = starting_structure(context, parameters.campaign, parameters.system).repeat(test.supercell)
        maker = _PieceMaker(test, cell, centre, context)
        with context.measure(LOCALITY_KIND):
            pieces = [maker.forces(radius) for radius in test.settings.radii_A]
            for radius in test.settings.radii_A:
                maker.tensors(radius)
        samples = sum(np.isfinite(piece["forces"]).all(axis=1).sum() for piece in pieces)
        planned = sum(len(piece["forces"]) for piece in pieces)
        if samples == 0:
            raise JobFailed(f"the {test.potential.kind} potential failed for all {planned} displacements")
        reason = "" if samples == planned else f"{planned - samples} of {planned} displacements failed"
        return Outcome(reason=reason, outputs={"samples": int(samples)})


class SubtractedBaseline(FrozenModel):
    """A baseline whose forces are evaluated to be taken away: that of a model, or what its settings alone say."""

    name: str = Field(description="What it is called (text)")
    model: str | None = Field(default=None, description="identifier of the model; nothing: the settings are all of it")
    settings: AnyBaselineSettings | None = Field(default=None, description="nothing: those of the model")

    def piece(self, piece: str) -> str:
        """Return the identifier of its forces for the displacements of a piece."""
        told = None if self.settings is None else self.settings.model_dump(mode="json")
        return identifier("baseline", piece, self.model, told)

    def open(self, store: Store) -> Calculator:
        """Return its calculator."""
        if self.settings is not None:
            return kind_of_baseline(self.settings).calculator(self.settings)
        if self.model is None:
            raise ValueError(f"the baseline {self.name!r} has neither a model nor settings")
        return load_baseline(store.artefacts.path(store.models[self.model].path))


class BaselineCentreParameters(CentreParameters):
    """One centre of a test, and the baseline whose forces it feels."""

    baseline: SubtractedBaseline


class LocalityBaselineTask(IonloopTask):
    """Compute the forces of a baseline that one centre feels for the displacements of all radii and samples."""

    _fw_name = "ionloop.locality-baseline"
    resumable = True
    parameters_type = BaselineCentreParameters

    def execute(self, parameters: BaselineCentreParameters, context: TaskContext) -> Outcome:
        """Compute the pieces that are not whole yet."""
        test = parameters.test
        cell = starting_structure(context, parameters.campaign, parameters.system).repeat(test.supercell)
        maker = _PieceMaker(test, cell, parameters.centre.index, context)
        with context.measure(LOCALITY_KIND):
            evaluate = _opened_when_asked(parameters.baseline, context.store)
            for done, radius in enumerate(test.settings.radii_A, start=1):
                maker.baseline_forces(radius, parameters.baseline, evaluate)
                context.report_progress(done, len(test.settings.radii_A))
        return Outcome()


def _opened_when_asked(baseline: SubtractedBaseline, store: Store) -> Evaluate:
    """Return the function that evaluates the forces of a baseline, which is opened with the first structure."""
    opened: list[Evaluate] = []

    def evaluate(atoms: Atoms) -> FloatArray:
        if not opened:
            opened.append(forces_of(baseline.open(store)))
        return opened[0](atoms)

    return evaluate


@dataclass
class _PieceMaker:
    """Makes the pieces of one centre; the calculator is opened when the first one is missing."""

    test: LocalityTest
    cell: Atoms
    centre: int
    context: TaskContext

    @cached_property
    def content(self) -> str:
        return structure_hash(self.cell)

    @cached_property
    def calculator(self) -> Calculator:
        return open_potential(self.context.store, self.test.potential)

    @cached_property
    def crystal_forces(self) -> FloatArray:
        """Forces on all atoms before any is displaced, which all centres share; shape [n_atoms, 3] (eV/Å)."""
        name = identifier("crystal", self.content, self.test.potential.identity)
        return _piece(self.context, name, lambda draft: {"forces": forces_of(self.calculator)(self.cell)})["forces"]

    def evaluate(self, atoms: Atoms) -> FloatArray:
        """Return the forces of the potential, those of the crystal without a calculation where they are known."""
        if np.array_equal(atoms.positions, self.cell.positions):
            return self.crystal_forces
        return forces_of(self.calculator)(atoms)

    def forces(self, radius_A: float) -> dict[str, FloatArray]:
        """Return the forces around the centre: ΔF, or F with the positions of every frame."""
        name = self.test.piece(self.content, self.centre, radius_A)
        return _piece(self.context, name, lambda draft: self._forces(radius_A, draft))

    def tensors(self, radius_A: float) -> dict[str, FloatArray]:
        """Return the tensors of the baseline at the centre for what the forces of that radius were computed for."""
        name = self.test.tensor_piece(self.test.piece(self.content, self.centre, radius_A))
        return _piece(self.context, name, lambda draft: self._tensors(radius_A))

    def _forces(self, radius_A: float, draft: _Draft) -> dict[str, FloatArray]:
        known = draft.load()
        if self.test.settings.protocol == "frozen-sphere":
            return self._frames(radius_A, draft, known)
        samples = self.test.settings.samples

        def on_sample(found: FloatArray, done: int) -> None:
            self.context.report_progress(done, samples)
            draft.save({"forces": found[0]})

        found = induced_response(
            self.evaluate,
            self.cell,
            self.centre,
            self.test.displacements(radius_A),
            known=known["forces"][np.newaxis] if known else None,
            on_sample=on_sample,
        )
        return {"forces": found[0]}

    def _frames(self, radius_A: float, draft: _Draft, known: dict[str, FloatArray] | None) -> dict[str, FloatArray]:
        settings = self.test.settings.frozen_sphere

        def on_frame(frames: FrozenSphereFrames) -> None:
            self.context.report_progress(len(frames.forces), settings.frames)
            draft.save(vars(frames))

        frames = run_frozen_sphere(
            self.cell,
            self.calculator,
            Sphere(self.centre, radius_A),
            settings,
            seed=self.test.seed,
            known=FrozenSphereFrames(**known) if known else None,
            on_frame=on_frame,
        )
        return {"forces": frames.forces, "positions": frames.positions}

    def baseline_forces(
        self, radius_A: float, baseline: SubtractedBaseline, evaluate: Evaluate
    ) -> dict[str, FloatArray]:
        """Return the forces of a baseline at the centre for what the forces of that radius were computed for."""
        name = baseline.piece(self.test.piece(self.content, self.centre, radius_A))
        return _piece(self.context, name, lambda draft: {"forces": self._followed(radius_A, evaluate)})

    def _tensors(self, radius_A: float) -> dict[str, FloatArray]:
        evaluator = PairTensorEvaluator(self.test.species, self.test.exponents, self.test.accuracy)
        return {"tensors": self._followed(radius_A, lambda atoms: evaluator(atoms).forces)}

    def _followed(self, radius_A: float, evaluate: Evaluate) -> FloatArray:
        """Return something else at the centre for the structures that the forces of that radius were computed for."""
        if self.test.settings.protocol == "displacement":
            return induced_response(evaluate, self.cell, self.centre, self.test.displacements(radius_A))[0]
        moved = self.cell.copy()
        found = []
        for positions in self.forces(radius_A)["positions"]:
            moved.positions[:] = positions
            found.append(evaluate(moved)[..., self.centre, :])
        return np.stack(found)


@dataclass
class _Draft:
    """The arrays of a piece in the making, on disk at most every few seconds."""

    path: Path
    _saved: float = 0.0

    def load(self) -> dict[str, FloatArray] | None:
        return _read(self.path)

    def save(self, arrays: Mapping[str, FloatArray]) -> None:
        if time.monotonic() - self._saved < _SAVE_EVERY_S:
            return
        with atomic_file(self.path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # none of the names is numpy's keyword allow_pickle
        self._saved = time.monotonic()


def _piece_path(context: TaskContext, name: str) -> Path:
    return context.store.artefacts.path(Path(LOCALITY_KIND) / f"{name}.npz")


def _piece(context: TaskContext, name: str, make: Callable[[_Draft], dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """Return the arrays of a piece, made unless its file is whole."""
    known = _read(_piece_path(context, name))
    if known is not None:
        return known
    draft = _Draft(context.scratch(name) / "draft.npz")
    arrays = make(draft)
    save_arrays(context.store, LOCALITY_KIND, name, arrays)
    draft.path.unlink(missing_ok=True)
    return arrays


def _read(path: Path) -> dict[str, FloatArray] | None:
    """Return the arrays of a file, None where there is none or it is damaged."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


class LocalityParameters(TaskParameters):
    """A test with its centres, and the charges of the baseline whose forces are taken away (e).

    Charges scaled from none to all of ``proportions`` are compared at the radius nearest to ``scale_radius_A``.
    """

    test: LocalityTest
    centres: list[Centre] = Field(min_length=1)
    charges: dict[str, float] | None
    proportions: dict[str, float] | None = None
    scale_radius_A: float = 6.0
    baseline: SubtractedBaseline | None = Field(
        default=None, description="what is taken away where it is no sum over the charges of the species"
    )
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"baseline"}


@dataclass(frozen=True)
class _Gathered:
    """What the centres gave: for each its forces [n_radii, n, 3] and tensors [n_radii, n, n_pairs, 3].

    ``baseline``: forces as those of the potential, of a baseline that is no sum of the tensors; None of a centre where
    they are missing.
    """

    centres: list[Centre]
    forces: list[FloatArray]
    tensors: list[FloatArray]
    baseline: list[FloatArray | None]
    missing: list[Centre]

    @classmethod
    def read(
        cls,
        test: LocalityTest,
        centres: list[Centre],
        cell: Atoms,
        context: TaskContext,
        baseline: SubtractedBaseline | None = None,
    ) -> _Gathered:
        """Read the pieces; a centre that lacks one is missing.

        Raises
        ------
        JobFailed
            If all centres are missing.
        """
        content = structure_hash(cell)
        gathered = cls([], [], [], [], [])
        for centre in centres:
            names = [test.piece(content, centre.index, radius) for radius in test.settings.radii_A]
            forces = [_read(_piece_path(context, name)) for name in names]
            tensors = [_read(_piece_path(context, test.tensor_piece(name))) for name in names]
            taken = [] if baseline is None else [_read(_piece_path(context, baseline.piece(name))) for name in names]
            if any(piece is None for piece in [*forces, *tensors]):
                gathered.missing.append(centre)
                continue
            gathered.centres.append(centre)
            gathered.forces.append(np.stack([piece["forces"] for piece in forces if piece]))
            gathered.tensors.append(np.stack([piece["tensors"] for piece in tensors if piece]))
            whole = [piece["forces"] for piece in taken if piece]
            gathered.baseline.append(np.stack(whole) if len(whole) == len(names) else None)
        if not gathered.centres:
            raise JobFailed("no centre has been computed; see `ionloop failures`")
        if test.settings.protocol == "frozen-sphere":
            gathered.forces[:] = [deviations(one) for one in gathered.forces]
            gathered.tensors[:] = [deviations(one) for one in gathered.tensors]
            gathered.baseline[:] = [None if one is None else deviations(one) for one in gathered.baseline]
        return gathered

    def responses(self, radius: int = 0) -> list[CentreResponse]:
        """Return the whole samples of the radius with that index."""
        found = []
        for centre, forces, tensors in zip(self.centres, self.forces, self.tensors, strict=True):
            whole = np.isfinite(forces[radius]).all(axis=-1)
            found.append(CentreResponse(centre.symbol, forces[radius][whole], tensors[radius][whole]))
        return found

    def residuals(self, charges: Mapping[str, float] | None, species: tuple[str, ...]) -> list[tuple[str, FloatArray]]:
        """Return species and forces minus those of the baseline, [n_radii, n, 3] (eV/Å), of centres that have both."""
        centres, rows = [one.symbol for one in self.centres], zip(self.forces, self.tensors, self.baseline, strict=True)
        if charges is None:
            found = [None if taken is None else forces - taken for forces, _, taken in rows]
        else:
            q = [charges[symbol] for symbol in species]
            found = [
                np.stack([CentreResponse("", *arrays).residual(q) for arrays in zip(forces, tensors, strict=True)])
                for forces, tensors, _ in rows
            ]
        return [(symbol, one) for symbol, one in zip(centres, found, strict=True) if one is not None]

    def save(self, name: str, test: LocalityTest, context: TaskContext) -> Artefact:
        """Write everything into one file of the result."""
        arrays = {
            "centres": np.array([centre.index for centre in self.centres]),
            "radii_A": np.array(test.settings.radii_A),
            "forces_eV_per_A": np.stack(self.forces),
            "tensors_eV_per_A_per_e2": np.stack(self.tensors),
        }
        if any(one is not None for one in self.baseline):
            pairs = zip(self.forces, self.baseline, strict=True)
            taken = [np.full_like(forces, np.nan) if one is None else one for forces, one in pairs]
            arrays["baseline_forces_eV_per_A"] = np.stack(taken)
        return save_arrays(context.store, LOCALITY_KIND, name, arrays)


class LocalityTask(IonloopTask):
    """Gather the centres of a test into curves against radius, before and after the baseline is taken away."""

    _fw_name = "ionloop.locality"
    parameters_type = LocalityParameters

    def execute(self, parameters: LocalityParameters, context: TaskContext) -> Outcome:
        """Record the curves of the centres that there are; the others are named."""
        test, store = parameters.test, context.store
        cell = starting_structure(context, parameters.campaign, parameters.system).repeat(test.supercell)
        gathered = _Gathered.read(test, parameters.centres, cell, context, parameters.baseline)
        name = identifier("result", LOCALITY_KIND, parameters.model_dump(mode="json", exclude={"generation"}))
        values = self._values(parameters, gathered, cell)
        store.results.replace(
            new_result(
                parameters,
                name,
                LOCALITIES,
                test.potential,
                values=values,
                artefacts={"forces": gathered.save(name, test, context)},
            )
        )
        told = [_missing_text(gathered.missing)]
        if parameters.baseline is not None and any(one is None for one in gathered.baseline):
            told.append("the baseline's forces of some centres are missing: they are left out of what it leaves")
        return Outcome(reason="; ".join(filter(None, told)), outputs={"result": name})

    @staticmethod
    def _values(parameters: LocalityParameters, gathered: _Gathered, cell: Atoms) -> LocalityValues:
        test, settings = parameters.test, parameters.test.settings
        counts = {symbol: int(np.sum(cell.symbols == symbol)) for symbol in test.species}

        def curves(pairs: list[tuple[str, FloatArray]]) -> dict[str, Any]:
            return locality_curves(pairs, counts, protocol=settings.protocol, seed=test.seed)

        charges, baseline = parameters.charges, parameters.baseline
        remaining = gathered.residuals(charges, test.species)
        displaced = settings.protocol == "displacement"
        curve, curve_radius_A = _scaled(parameters, gathered)
        return LocalityValues(
            protocol=settings.protocol,
            potential=test.potential.kind,
            radii_A=settings.radii_A,
            atoms=len(cell),
            before=curves(list(zip([one.symbol for one in gathered.centres], gathered.forces, strict=True))),
            after=curves(remaining) if remaining else None,
            supercell=test.supercell,
            samples=settings.samples if displaced else settings.frozen_sphere.frames,
            displacement_A=settings.displacement_A if displaced else None,
            temperature_K=None if displaced else settings.frozen_sphere.temperature_K,
            charges=charges,
            baseline="" if baseline is None else baseline.name,
            baseline_is_fitted=baseline is not None and baseline.model is not None,
            missing=tuple(gathered.missing),
            curve=curve,
            curve_radius_A=curve_radius_A,
        )


def _scaled(parameters: LocalityParameters, gathered: _Gathered) -> tuple[ScaleCurve | None, float | None]:
    """Return locality against the scale of the charges, and the radius that it is for."""
    if parameters.proportions is None:
        return None, None
    radii = parameters.test.settings.radii_A
    nearest = min(range(len(radii)), key=lambda index: abs(radii[index] - parameters.scale_radius_A))
    return scale_curve(gathered.responses(nearest), parameters.proportions, CHARGE_SCALES), radii[nearest]


class FitChargesParameters(TaskParameters):
    """A test at one radius with its centres, and which charges are allowed."""

    test: LocalityTest
    centres: list[Centre] = Field(min_length=1)
    mobile: str
    transferable: bool
    formal_charges: dict[str, float] | None
    other_compositions: list[dict[str, int]] = Field(
        default_factory=list, description="atoms of each species in further cells that must be neutral"
    )
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"other_compositions"}

    @property
    def identifier(self) -> str:
        """The identifier of the result."""
        return identifier("result", CHARGES, self.model_dump(mode="json", exclude={"generation"}))


class FitChargesTask(ResultTask):
    """Fit the baseline's charges to the forces that far atoms induce by the reference method."""

    _fw_name = "ionloop.fit-charges"
    parameters_type = FitChargesParameters
    measured_as = CHARGES

    def told(self, record: ResultRecord) -> str:
        """Return the charges."""
        return charges_text(record)

    def compute(self, parameters: FitChargesParameters, context: TaskContext) -> ResultRecord:
        """Gather the centres and fit."""
        test = parameters.test
        cell = starting_structure(context, parameters.campaign, parameters.system).repeat(test.supercell)
        gathered = _Gathered.read(test, parameters.centres, cell, context)
        if parameters.transferable and parameters.formal_charges is None:
            raise JobFailed("no formal charges are known, of which a part could be fitted: set transferable: false")
        problem = ChargeProblem(
            species=test.species,
            counts={symbol: int(np.sum(cell.symbols == symbol)) for symbol in test.species},
            mobile=parameters.mobile,
            proportions=parameters.formal_charges if parameters.transferable else None,
            others=parameters.other_compositions,
        )
        responses = gathered.responses()
        fitted = fit_charges(responses, problem, seed=test.seed)
        curve = scale_curve(responses, parameters.formal_charges or fitted.charges, CHARGE_SCALES)
        return new_result(
            parameters,
            parameters.identifier,
            CHARGES_BY_LOCALITY,
            test.potential,
            values=LocalityChargeValues(
                **dict(fitted),
                criterion=BY_LOCALITY,
                mobile=parameters.mobile,
                radius_A=test.settings.radii_A[0],
                curve=curve,
                atoms=len(cell),
                samples=test.settings.samples,
                centres=len(gathered.centres),
                missing=tuple(gathered.missing),
            ),
            artefacts={"forces": gathered.save(parameters.identifier, test, context)},
        )


def _missing_text(missing: list[Centre]) -> str:
    if not missing:
        return ""
    return f"without {', '.join(f'{centre.symbol} {centre.index}' for centre in missing)}, which failed"
