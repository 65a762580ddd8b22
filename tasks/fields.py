"""What of a potential a uniform electric field acts on."""

from __future__ import annotations

from ..fitting.electrostatics.registry import species_charges_in, why_no_field_in
from ..store.connection import Store
from .base import JobFailed
from .results import Potential


def charges_in_field(store: Store, potential: Potential) -> dict[str, float] | None:
    """Return the charges of the species (e) that a field acts on; None where a model itself says what a field does.

    Raises
    ------
    JobFailed
        If a field cannot act on the model's charges, or it has none.
    """
    model = None if potential.model is None else store.models.get(potential.model)
    if model is None or model.baseline is None:
        raise JobFailed(f"{potential.kind} has no charges for a field to act on")
    reason = why_no_field_in(model.baseline)
    if reason:
        raise JobFailed(f"{potential.kind} cannot be put in a field: it has charges {reason}")
    return species_charges_in(model.baseline)
