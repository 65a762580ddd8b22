"""GAP: sparse Gaussian-process regression on pairs, triplets and SOAP environments.

Bartók, Payne, Kondor, Csányi, Phys. Rev. Lett. 2010, 104, 136403 (10.1103/PhysRevLett.104.136403).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ...core.citations import Citation
from ...core.errors import InputError
from ...core.looks import Look
from ...core.settings import FrozenSettings
from ..electrostatics.registry import kind_of_baseline
from ..settings import GapSettings, Regularisation
from .base import NATIVE, FitEstimate, FitReport, FitRequest, ModelKind, UnusableFile

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from ..data_sets import DataSet
    from ..electrostatics.base import BaselineKind
    from ..electrostatics.charge_errors import LeaveOutTensors
    from ..electrostatics.charges import ChargeProblem
    from ..models import ModelManifest
    from ..native.gap_xml import GapModel
    from ..native.sparse_fit.fit_inputs import ProgressCallback
    from ..online.in_place import InPlaceModel
    from ..posterior.base import ModelPosterior
    from ..tuning.gap import TuningRequest
    from ..tuning.search import Tuning

GAP_FIT: Final = "gap_fit"
QUIPPY: Final = "quippy"
GAP_CITATION = Citation(
    "GAP",
    "A. P. Bartók, M. C. Payne, R. Kondor, G. Csányi, Phys. Rev. Lett. 2010, 104, 136403",
    "10.1103/PhysRevLett.104.136403",
)
SOAP_CITATION = Citation(
    "SOAP",
    "A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 2013, 87, 184115",
    "10.1103/PhysRevB.87.184115",
)


class GapKind(ModelKind):
    """The short-ranged GAP."""

    name = "gap"
    rank = 10
    look = Look("GAP", "#d55e00", "square")
    settings_type = GapSettings
    section = "gap"
    potential_file = "gap.xml"
    citations: ClassVar[tuple[Citation, ...]] = (GAP_CITATION, SOAP_CITATION)
    fit_backends: ClassVar[tuple[str, ...]] = (NATIVE, GAP_FIT)
    evaluators = (NATIVE, QUIPPY)
    has_posterior = True
    gives_atom_energies = True
    tunes = True
    can_join = True
    learns_in_place = True
    is_quip_potential = True

    def posterior(self, folder: Path, manifest: ModelManifest) -> ModelPosterior:
        """Return the posterior of the weights, which our fitter keeps."""
        from ..backends import gap_posterior
        from ..posterior.base import NoPosterior

        if manifest.backend != NATIVE:
            raise NoPosterior(f"the model in {folder} has no posterior: {manifest.backend} fitted it")
        settings = _gap(manifest.settings)
        return gap_posterior(folder, manifest, settings, lambda gap: self.calculator_of(gap, folder, manifest))

    def calculator_of(self, gap: GapModel, folder: Path, manifest: ModelManifest) -> Calculator:
        """Return the calculator of another potential in place of that of a model's folder, evaluated by us."""
        from ..native.calculator import NativeGapCalculator

        return NativeGapCalculator(gap)

    def predicts_variance(self, evaluator: str) -> bool:
        """Only our evaluator does; QUIP's is not asked."""
        return evaluator == NATIVE

    def gives_leave_out_errors(self, backend: str) -> bool:
        """Only our fitter keeps what they follow from."""
        return backend == NATIVE

    def leave_out_tensors(
        self,
        request: FitRequest,
        problem: ChargeProblem,
        exponents: Sequence[Mapping[str, float]],
        *,
        accuracy: float = 1e-6,
        progress: ProgressCallback | None = None,
    ) -> list[LeaveOutTensors]:
        """Fit reference and baseline together."""
        from ..backends import native_resources, sparse_points_of_model
        from ..electrostatics.charge_errors import leave_out_tensors
        from ..native.sparse_fit.fit_inputs import FitInputs

        earlier = sparse_points_of_model(request.earlier_model)
        task = FitInputs(request.data_set, _gap(request.settings), request.seed, earlier=earlier)
        resources = native_resources(request.limits)
        return leave_out_tensors(task, problem, exponents, resources, progress=progress, accuracy=accuracy)

    def why_not_tuned(self, backend: str, baseline: BaselineKind | None) -> str:
        """What decides are the left-out errors of our own fitter, with charges that stay what they are."""
        if backend != NATIVE:
            return f"{backend} gives no left-out errors: tune with the backend {NATIVE}"
        if baseline is not None and baseline.is_fitted:
            return (
                f"{baseline.name} charges are fitted with the potential: tune with the baseline fixed, and fit with "
                "the settings that were found"
            )
        return ""

    def with_most_points(self, settings: FrozenSettings, most_sparse_points: int) -> GapSettings:
        """Return settings with as many points per element, or what they have where that is more."""
        gap = _gap(settings)
        points = max(most_sparse_points, gap.soap.sparse_points)
        return gap.model_copy(update={"soap": gap.soap.model_copy(update={"sparse_points": points})})

    def tuned(self, request: FitRequest, tuning: TuningRequest, inputs: str) -> Tuning:
        """Search along the hyperparameters, for what the baseline leaves."""
        from ..tuning.gap import tune_gap

        under = None if request.baseline is None else kind_of_baseline(request.baseline)
        if reason := self.why_not_tuned(request.backend, under):
            raise InputError(reason)
        return tune_gap(request, _gap(request.settings), tuning, inputs)

    def why_not_learning(self, backend: str, baseline: BaselineKind | None) -> str:
        """What can be added to are the sparse points of our own fitter, on charges that stay what they are."""
        if backend != NATIVE:
            return f"{backend} fits anew: labels join the models of the backend {NATIVE} in place"
        if baseline is not None and baseline.is_fitted:
            return (
                f"{baseline.name} charges are fitted with the potential: let the model that learns stand on fixed "
                "charges, or on none"
            )
        return ""

    def learning(
        self,
        folder: Path,
        manifest: ModelManifest,
        data_set: DataSet,
        *,
        most_points: int | None = None,
        cache_folder: Path | None = None,
    ) -> InPlaceModel:
        """Begin with the sparse points of the folder's model, and with its training set."""
        from ..backends import sparse_points_of_model
        from ..online.in_place import InPlaceModel

        under = None if manifest.baseline is None else kind_of_baseline(manifest.baseline)
        if reason := self.why_not_learning(manifest.backend, under):
            raise InputError(reason)
        if data_set.content_hash != manifest.training_set_hash:
            raise InputError(f"the model in {folder} was fitted to other data than it is to learn on from")
        points = sparse_points_of_model(folder)
        assert points is not None
        return InPlaceModel.start(
            data_set,
            _gap(manifest.settings),
            points,
            manifest.baseline,
            most_points=most_points,
            cache_folder=cache_folder,
        )

    def grows(self, backend: str) -> bool:
        """Only our fitter keeps sparse points."""
        return backend == NATIVE

    def cutoff_A(self, settings: FrozenSettings) -> float:
        """Return the longest cutoff of all parts (Å)."""
        return _gap(settings).cutoff_A

    def check(self, request: FitRequest) -> None:
        """Check data and settings and, for gap_fit, that it is there and has the memory and the time."""
        from ..preflight import check_data, check_fit

        if request.backend == GAP_FIT:
            check_fit(request.data_set, _gap(request.settings), request.limits)
        else:
            check_data(request.data_set, _gap(request.settings))

    def estimate(
        self, atoms: Atoms, settings: FrozenSettings, backend: str, configurations: int, *, grown: bool = False
    ) -> FitEstimate:
        """Return what a fit takes; gap_fit's own estimate of its memory, less for our own fitter."""
        from ..fit_cost import fit_estimate, native_estimate

        by_gap_fit = fit_estimate(atoms, _gap(settings), configurations)
        return by_gap_fit if backend == GAP_FIT else native_estimate(by_gap_fit, len(atoms), grown=grown)

    def objections(self, settings: FrozenSettings, elements: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield elements that the core has nothing for, and force errors of elements that are not there."""
        gap = _gap(settings)
        yield from _core_objections(gap, elements)
        sections: dict[tuple[str, ...], Regularisation] = {("regularisation",): gap.regularisation}
        for name, one in gap.regularisation_by_config_type.items():
            sections["regularisation_by_config_type", name] = one
        for key, regularisation in sections.items():
            for symbol in sorted(set(regularisation.force_by_element_eV_per_A) - set(elements)):
                yield (*key, "force_by_element_eV_per_A", symbol), "is not in the structure"

    def with_files_read(self, settings: FrozenSettings, folder: Path) -> GapSettings:
        """Return the settings with the content of the core's file."""
        gap = _gap(settings)
        if gap.core is None:
            return gap
        # Compiled code, which settings without a core need not load.
        from ..cores import with_core_read

        try:
            return with_core_read(gap, folder)
        except InputError as error:
            part = "glue" if gap.core.file is None else "file"
            raise UnusableFile(("core", part), gap.core.file, str(error)) from error

    def fit(self, request: FitRequest) -> FitReport:
        """Fit to what the baseline, if there is one, leaves; ``gap.xml`` and its files appear."""
        return _fit_with_gap_fit(request) if request.backend == GAP_FIT else _fit_natively(request)

    def load(self, folder: Path, manifest: ModelManifest, evaluator: str) -> Calculator:
        """Return the GAP, evaluated by us or by QUIP."""
        from ..backends import gap_calculator

        return gap_calculator(folder / self.potential_file, manifest.elements, evaluator)

    def methods(self, settings: FrozenSettings) -> str:
        """Return descriptors, cutoffs, sparse points and regularisation."""
        gap = _gap(settings)
        soap, sigma = gap.soap, gap.regularisation
        parts = ""
        for part, name in ((gap.two_body, "pair"), (gap.three_body, "triplet")):
            if part is not None:
                parts += f"a {name} kernel (cutoff {part.cutoff_A:g} Å, {part.sparse_points} sparse points) and "
        core = " on top of a fixed core potential" if gap.core is not None else ""
        by_element = "".join(f", {value:g} for {symbol}" for symbol, value in sigma.force_by_element_eV_per_A.items())
        return (
            f"GAP models{core} combined {parts}SOAP (cutoff {soap.cutoff_A:g} Å, n_max {soap.n_max}, l_max "
            f"{soap.l_max}, σ_atom {soap.atom_sigma_A:g} Å, ζ {soap.zeta}, {soap.sparse_points} sparse points per "
            f"element in the first fit), regularised by {sigma.energy_eV_per_atom:g} eV/atom, "
            f"{sigma.force_eV_per_A:g} eV/Å{by_element} and {sigma.virial_eV_per_atom:g} eV/atom for energies, forces "
            "and virials."
        )


GAP: Final = GapKind()


def _gap(settings: FrozenSettings) -> GapSettings:
    if not isinstance(settings, GapSettings):
        raise InputError(f"a GAP needs GapSettings, not {type(settings).__name__}")
    return settings


def _core_objections(gap: GapSettings, elements: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    if gap.core is None:
        return
    # Compiled code, which settings without a core need not load.
    from ..cores import core_of, unknown_to_core

    core = core_of(gap)
    unknown: Any = [] if core is None else unknown_to_core(core, elements)
    if unknown:
        yield ("core",), f"has nothing for {', '.join(unknown)}; add a per_type_data of each, and its pairs"


def _fit_with_gap_fit(request: FitRequest) -> FitReport:
    from ..gap_fit import fit_gap
    from ..preflight import check_fit

    gap = _gap(request.settings)
    cost = check_fit(request.data_set, gap, request.limits)
    run = fit_gap(
        request.folder,
        request.targets,
        (*cost.pairs, *cost.triplets),
        gap,
        seed=request.seed,
        limits=request.limits,
    )
    return FitReport(run.counts, run.command)


def _fit_natively(request: FitRequest) -> FitReport:
    from ..backends import fit_natively, report_of

    fit = fit_natively(
        request.folder,
        request.targets,
        _gap(request.settings),
        seed=request.seed,
        limits=request.limits,
        earlier_model=request.earlier_model,
    )
    return report_of(fit)
