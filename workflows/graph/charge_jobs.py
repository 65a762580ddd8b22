"""The job that fits charges to a leave-out error: for the baseline, or to be compared with locality."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...store.identifiers import derive_seed
from ..campaign.models import model_of_charges
from .plan import Plan

if TYPE_CHECKING:
    from ...tasks.charge_fits import FitChargesToErrorParameters


def charge_error_parameters(plan: Plan, generation: int, data_set: str) -> FitChargesToErrorParameters:
    """Return the parameters of the fit on ``data_set``; equal ones share their result.

    The error is that of the campaign's first model on a baseline that has leave-out errors.
    """

    from ...tasks.charge_fits import FitChargesToErrorParameters

    campaign = plan.campaign
    model = model_of_charges(campaign)
    if model is None:
        raise InputError("none of the models has leave-out errors that charges could be fitted to")
    settings = campaign.baseline.charge_fit
    return FitChargesToErrorParameters(
        campaign=campaign.name,
        generation=generation,
        data_set=data_set,
        model_kind=campaign.kind_of(model).name,
        settings=plan.settings_of(model).model_dump(mode="json"),
        backend=plan.backend_of(model),
        seed=derive_seed(campaign.seed, "fit"),
        composition=dict(Counter(plan.symbols)),
        other_compositions=plan.other_compositions,
        mobile=campaign.mobile,
        transferable=settings.transferable,
        formal_charges=plan.formal_charges,
        exponents=plan.exponents,
        exponent_factors=settings.exponent_factors,
        accuracy=campaign.baseline.accuracy,
        earlier_model=plan.earlier_models.get(model),
    )
