"""Models in folders that become one model in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.errors import InputError
from ..data_sets import DataSet
from ..gap_fit import FitLimits
from ..kinds.base import ModelKind
from ..kinds.registry import MODELS
from ..models import ModelManifest, fit_model
from ..settings import CommonBaselineSettings
from .expert import Expert
from .fit import Fusion, read_experts
from .settings import DEFAULT_THRESHOLD, FusionSettings, How


def combine_models(
    folders: Sequence[Path],
    out: Path,
    *,
    names: Sequence[str] = (),
    how: How = "foe",
    threshold: float = DEFAULT_THRESHOLD,
    seed: int = 1,
    limits: FitLimits | None = None,
) -> ModelManifest:
    """Fit, or with ``how="poe"`` put together, one model of several, and write it to a folder.

    Hyperparameters that may differ, the data's errors and the number of sparse points, are those of the first.

    Parameters
    ----------
    folders
        Of the models.
    out
        Of the new one; a whole model of the same inputs there is returned at once.
    names
        What messages call the models; else their folders' names.
    how
        ``foe``, ``moe`` or ``poe``.
    threshold
        Of ``moe``: variance that points may leave unexplained of each other, over δ².
    seed
        Of the fit.
    limits
        What the fit may use.

    Raises
    ------
    InputError
        If they cannot be combined, with everything in which they differ.
    IonloopError
        As `ionloop.fitting.models.fit_model`.
    """
    if len(folders) < 2:
        raise InputError("to combine is for two models or more")
    names = tuple(names) or tuple(Path(folder).name for folder in folders)
    experts = read_experts(folders, names)
    settings = fusion_settings(experts, how, threshold)
    baseline = joint_baseline(experts)
    Fusion(experts, DataSet(())).check(settings, baseline)
    return fit_model(
        kind_made_of(experts).name,
        DataSet(()),
        settings,
        baseline,
        out,
        seed=seed,
        limits=limits,
        experts=folders,
    )


def fusion_settings(experts: Sequence[Expert], how: How, threshold: float = DEFAULT_THRESHOLD) -> FusionSettings:
    """Return settings of a model made of experts: the first one's, and what it is made of."""
    first = experts[0].settings
    given = {name: getattr(first, name) for name in type(first).model_fields if name in FusionSettings.model_fields}
    named = {"of": tuple(expert.name for expert in experts), "how": how, "threshold": threshold}
    return FusionSettings.model_validate({**given, **named})


def kind_made_of(experts: Sequence[Expert]) -> ModelKind:
    """Return the kind of model that experts make together: on a baseline where they stand on one."""
    on_baseline = any(expert.baseline is not None for expert in experts)
    return next(kind for kind in MODELS.kinds if kind.is_made_of_models and kind.needs_baseline == on_baseline)


def joint_baseline(experts: Sequence[Expert]) -> CommonBaselineSettings | None:
    """Return the experts' baseline, with the charges of the elements of all."""
    baselines = [expert.baseline for expert in experts if expert.baseline is not None]
    if not baselines:
        return None
    charges: dict[str, float] = {}
    exponents: dict[str, float] = {}
    for baseline in reversed(baselines):
        charges.update(baseline.charges)
        exponents.update(baseline.exponents)
    return baselines[0].model_copy(update={"charges": charges, "exponents": exponents})
