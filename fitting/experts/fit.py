"""The fit of a model that is made of others, and the request that it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ..data_sets import DataSet
from ..native.sparse_fit.candidates import choose_sparse_points
from ..native.sparse_fit.design import Descriptors
from ..native.sparse_fit.fit import NativeFit, open_workshop, run_fit
from ..native.sparse_fit.fit_inputs import FitInputs, FitResources, ProgressCallback
from ..native.sparse_fit.sparse_points import SparsePoints
from .agreement import check_agreement
from .expert import Expert, read_expert
from .joining import joined_data
from .points import PointsByCoordinate, distinct_configurations, fused_points
from .settings import MERGING, PRODUCT, FusionSettings

if TYPE_CHECKING:
    from ..settings import CommonBaselineSettings

OWN = "the data set"
"""What messages call the data that belong to no expert."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """Experts, and data beside theirs.

    Attributes
    ----------
    experts
        What is combined.
    own
        Data of no expert; a sparse set of their own is chosen for them. Empty: none.
    """

    experts: tuple[Expert, ...]
    own: DataSet

    @property
    def data_set(self) -> DataSet:
        """All configurations, each structure once, with one zero of energy."""
        own = [(OWN, self.own)] if len(self.own) or self.own.isolated_atom_energies else []
        return joined_data([*own, *((expert.name, expert.data_set) for expert in self.experts)])

    def check(self, settings: FusionSettings, baseline: CommonBaselineSettings | None) -> None:
        """Refuse what cannot be combined, with these settings and this baseline.

        Raises
        ------
        InputError
            With all that differs.
        """
        stands_for_own = Expert(OWN, settings.as_gap(), baseline, self.own, SparsePoints(()))
        check_agreement([*([stands_for_own] if len(self.own) else []), *self.experts], one_zero=settings.how == PRODUCT)
        if settings.how == PRODUCT and len(self.own):
            raise InputError("how: poe combines models without a fit; data beside theirs need foe or moe")


def read_experts(folders: Sequence[Path], names: Sequence[str] = ()) -> tuple[Expert, ...]:
    """Return the experts in some folders, which have the names of their folders where there are no others.

    Raises
    ------
    InputError
        If one cannot be combined, or two are the same.
    """
    experts = tuple(
        read_expert(folder, name) for folder, name in zip(folders, names or [""] * len(folders), strict=True)
    )
    known: dict[str, str] = {}
    for expert in experts:
        first = known.setdefault(expert.inputs_hash, expert.name)
        if first != expert.name:
            raise InputError(f"{expert.name} is the same model as {first}: name it once")
    return experts


def fit_fusion(
    fusion: Fusion,
    targets: DataSet,
    settings: FusionSettings,
    *,
    seed: int,
    resources: FitResources,
    progress: ProgressCallback | None = None,
) -> NativeFit:
    """Fit a GAP to some data with the sparse points of experts.

    Parameters
    ----------
    fusion
        Where the points come from.
    targets
        All data, what the baseline leaves of them.
    settings
        Hyperparameters.
    seed
        For the choice of points for data of no expert.
    resources
        What the fit may use.
    progress
        Told of every configuration.

    Raises
    ------
    InputError
        If points cannot be described among the elements of all.
    SingularFitError
        If the linear system has no unique solution.
    """
    own = _own_points(fusion.own, targets.elements, settings, seed, resources)
    threshold = settings.threshold if settings.how == MERGING else None
    points = fused_points(fusion.experts, targets.elements, settings, threshold=threshold, own=own)
    if settings.distinct_configurations is not None:
        descriptors = Descriptors.of(targets.elements, settings)
        kept = distinct_configurations(targets.configurations, descriptors, points, settings.distinct_configurations)
        targets = replace(targets, configurations=tuple(targets.configurations[index] for index in kept))
    return run_fit(FitInputs(targets, settings, seed, sparse_points=points), resources, progress)


def _own_points(
    own: DataSet, elements: tuple[str, ...], settings: FusionSettings, seed: int, resources: FitResources
) -> PointsByCoordinate:
    if not len(own):
        return {}
    descriptors = Descriptors.of(elements, settings)
    present = Descriptors.of(own.elements, settings)
    with open_workshop(resources, None) as workshop:
        task = FitInputs(own, settings, seed)
        if present.species == descriptors.species:
            chosen = choose_sparse_points(task, descriptors, workshop.in_order("selection"))
            return {key: chosen.of(key) for key in chosen.keys}
        chosen = choose_sparse_points(task, present, workshop.in_order("selection"))
    return Expert(OWN, settings.as_gap(), None, own, chosen).points_among(elements)
