"""Fusion of experts: one GAP of the data and the sparse points of other models.

Hajibabaei, Kim, J. Phys. Chem. Lett. 2021, 12, 8115 (10.1021/acs.jpclett.1c01605). With models on an electrostatic
baseline it stands on theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from ...core.citations import Citation
from ...core.errors import InputError
from ...core.looks import Look
from ...core.settings import FrozenSettings
from ..experts.settings import PRODUCT, FusionSettings
from .base import NATIVE, FitReport, FitRequest
from .es_gap import EsGapKind
from .gap import GapKind

if TYPE_CHECKING:
    from ..electrostatics.base import BaselineKind
    from ..experts.fit import Fusion

FUSION_CITATION = Citation(
    "Fusion of sparse Gaussian processes",
    "A. Hajibabaei, K. S. Kim, J. Phys. Chem. Lett. 2021, 12, 8115",
    "10.1021/acs.jpclett.1c01605",
)


class MadeOfModels(GapKind):
    """What fusions do otherwise than the GAPs that they are."""

    settings_type = FusionSettings
    fit_backends = (NATIVE,)
    tunes = False
    learns_in_place = False
    fits_baselines = False
    is_made_of_models = True

    def grows(self, backend: str) -> bool:
        """Its points are those of its experts, chosen anew when they change."""
        return False

    def why_not_tuned(self, backend: str, baseline: BaselineKind | None) -> str:
        """Hyperparameters are those of the models that it is made of."""
        return f"models of the kind {self.name} have the hyperparameters of those that they are made of: tune these"

    def why_not_learning(self, backend: str, baseline: BaselineKind | None) -> str:
        """What labels could join in place is one model's own data, not those of several."""
        return f"models of the kind {self.name} are fitted anew: let one of those that it is made of learn"

    def models_in(self, settings: FrozenSettings) -> tuple[str, ...]:
        """Return the names of the models that it is made of."""
        return _fusion(settings).of

    def objections(self, settings: FrozenSettings, elements: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield that no model is named, or how is for comparisons; then what a GAP objects to."""
        fusion = _fusion(settings)
        if not fusion.of:
            yield ("of",), "names no model; write of: [CAMPAIGN, CAMPAIGN/MODEL]"
        if len(set(fusion.of)) < len(fusion.of):
            yield ("of",), "names a model twice"
        if fusion.how == PRODUCT:
            yield ("how",), "makes no fit and is for `ionloop library combine`; a campaign takes foe or moe"
        yield from super().objections(settings, elements)

    def with_experts(self, request: FitRequest) -> FitRequest:
        """Return the request with the data of its experts joined to its own."""
        fusion = fusion_of(request)
        fusion.check(_fusion(request.settings), request.baseline)
        return replace(request, data_set=fusion.data_set, own_data=request.data_set)

    def fit(self, request: FitRequest) -> FitReport:
        """Fit to all data with the points of all; without experts it is a GAP of its own data."""
        settings = _fusion(request.settings)
        if not request.experts:
            if settings.of:
                raise InputError(f"a {self.name} of {', '.join(settings.of)} needs the folders of these models")
            return super().fit(request)
        from ..backends import native_resources, report_of, time_check
        from ..experts.fit import fit_fusion

        fusion = fusion_of(request)
        if settings.how == PRODUCT:
            from ..experts.product import product_model
            from ..gap_fit import POTENTIAL_FILE
            from ..native.gap_xml import write_gap_xml

            write_gap_xml(
                product_model(fusion.experts, request.data_set.elements, settings), request.folder, POTENTIAL_FILE
            )
            return FitReport()
        fit = fit_fusion(
            fusion,
            request.targets,
            settings,
            seed=request.seed,
            resources=native_resources(request.limits),
            progress=time_check(request.limits),
        )
        fit.write(request.folder)
        return report_of(fit)

    def methods(self, settings: FrozenSettings) -> str:
        """Return what they are made of, and what GAPs say."""
        fusion = _fusion(settings)
        means = "with all of their sparse points"
        if fusion.how != "foe":
            means = f"with sparse points thinned by pivoted Cholesky to a residual of {fusion.threshold:g} δ²"
        names = f" ({', '.join(fusion.of)})" if fusion.of else ""
        return f"{super().methods(settings)} Data of several models{names} were fitted together, {means}."


class FusionKind(MadeOfModels):
    """A GAP made of GAPs."""

    name = "fusion"
    rank = 12
    look = Look("Fusion", "#cc79a7", "diamond")
    citations: ClassVar[tuple[Citation, ...]] = (FUSION_CITATION, *GapKind.citations)


class EsFusionKind(MadeOfModels, EsGapKind):
    """An ES-GAP made of ES-GAPs, on their baseline."""

    name = "es-fusion"
    rank = 22
    look = Look("ES-Fusion", "#882255", "pentagon")
    citations: ClassVar[tuple[Citation, ...]] = (FUSION_CITATION, *EsGapKind.citations)


FUSION: Final = FusionKind()
ES_FUSION: Final = EsFusionKind()


def fusion_of(request: FitRequest) -> Fusion:
    """Return what a request combines."""
    from ..experts.fit import Fusion, read_experts

    own = request.data_set if request.own_data is None else request.own_data
    return Fusion(read_experts(request.experts), own)


def _fusion(settings: FrozenSettings) -> FusionSettings:
    if not isinstance(settings, FusionSettings):
        raise InputError(f"a fusion needs FusionSettings, not {type(settings).__name__}")
    return settings
