"""What a fit of charges found, as the file ``charges.json`` of a model's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import AliasChoices, Field, ValidationError

from ...core.errors import IonloopError
from ...core.files import write_whole
from ...core.settings import FrozenModel
from ..native.sparse_fit.fit_errors import ErrorSummary

CHARGES_FILE: Final = "charges.json"


class SpeciesCharges(FrozenModel):
    """Charges of one species: parameters, and what they were on the training data."""

    constant: float = Field(
        validation_alias=AliasChoices("constant", "constant_e"),
        description="c, what all atoms of the species have (e; of equilibrated charges an electronegativity, eV)",
    )
    coefficients: tuple[float, ...] = Field(
        validation_alias=AliasChoices("coefficients", "coefficients_e"),
        description="β of the sparse points of the element, in their order (unit of the constant)",
    )
    mean_e: float = Field(description="Mean charge on the training data (e)")
    std_e: float = Field(description="Standard deviation of the charges on the training data (e)")
    least_e: float = Field(description="Smallest charge on the training data (e)")
    most_e: float = Field(description="Largest charge on the training data (e)")
    uncertainty_e: float = Field(description="Posterior standard deviation of the mean charge (e)")


class FitComparison(FrozenModel):
    """Errors of one of the models that are fitted to the same data for comparison (eV/atom, eV/Å)."""

    training_errors: ErrorSummary = Field(description="On the training data (eV/atom, eV/Å)")
    leave_out_errors: ErrorSummary = Field(description="Each configuration left out in its turn (eV/atom, eV/Å)")
    objective: float = Field(description="Minimum of the sum of squares (no unit)")


class ChargesFile(FrozenModel):
    """Charges that were fitted together with a GAP."""

    kind: str = Field(description="Kind of baseline (name)")
    species: dict[str, SpeciesCharges] = Field(description="By element (symbol)")
    steps: int = Field(description="Steps that the fit took (count)")
    has_converged: bool = Field(description="Whether the last step brought less than the tolerance (yes or no)")
    has_labels: bool = Field(False, description="Whether charges or dipoles were labels (yes or no)")
    fitted: FitComparison = Field(description="The model itself")
    without_charges: FitComparison = Field(description="The GAP alone on the same data and sparse points")
    short_range_control: FitComparison | None = Field(
        None, description="The same freedom with an interaction that ends, erfc(r/2 Å)/r: what is no electrostatics"
    )

    def write(self, folder: Path) -> None:
        """Write the file into a model's folder."""
        write_whole(Path(folder) / CHARGES_FILE, self.model_dump_json(indent=1) + "\n")


def read_charges(folder: Path) -> ChargesFile:
    """Return the charges of a model's folder.

    Raises
    ------
    IonloopError
        If the file is missing or damaged.
    """
    path = Path(folder) / CHARGES_FILE
    try:
        return ChargesFile.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IonloopError(
            f"{path} is missing: without its charges the potential means nothing; fit it again"
        ) from None
    except (OSError, ValueError, ValidationError, json.JSONDecodeError) as error:
        raise IonloopError(f"{path} is damaged: {error}; fit the model again") from error
