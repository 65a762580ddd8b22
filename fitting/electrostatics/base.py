"""What a kind of electrostatic baseline is: where its charges come from, what it evaluates, and what it can do.

Nothing outside a kind's file compares its name: whoever needs something of a baseline asks for a capability.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.citations import Citation
from ...core.errors import InputError
from ..settings import CommonBaselineSettings
from .sections import BaselineSection

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator

    from ..data_sets import DataSet
    from ..kinds.base import FitEstimate, FitReport, FitRequest
    from ..native.gap_xml import GapModel
    from .charges_file import ChargesFile


class BaselineKind(ABC):
    """A kind of baseline; what it does not say of itself it cannot do.

    Modules of kinds load fast: what is heavy is imported inside the methods.

    Attributes
    ----------
    name
        In campaign files and documents: that of its entry point.
    rank
        Place in lists among ionloop's own.
    section_type
        What the campaign file's ``baseline`` holds; its constant field ``kind`` holds the name.
    settings_type
        What models on it are made with, and what their folders and records say of it; with the same constant field.
    citations
        Works that it rests on.
    is_fitted
        Whether its parameters are fitted together with the model on it (`fit_with_gap`, `load_with_gap`), by models
        that can (`ionloop.fitting.kinds.base.ModelKind.fits_baselines`).
    has_species_charges
        Whether all atoms of a species always have its charge: other programs then evaluate the baseline, and a field
        acts on them.
    sums_slater_charges
        Whether its forces are those of the charges of the species as Slater clouds, and so follow from tensors that
        serve all charges at once (`.charges.PairTensorEvaluator`).
    uses_charges
        Whether the charges of the species count; where not, none need be known.
    """

    name: ClassVar[str]
    rank: ClassVar[float]
    section_type: ClassVar[type[BaselineSection]]
    settings_type: ClassVar[type[CommonBaselineSettings]]
    citations: ClassVar[tuple[Citation, ...]] = ()
    is_fitted: ClassVar[bool] = False
    has_species_charges: ClassVar[bool] = False
    sums_slater_charges: ClassVar[bool] = False
    uses_charges: ClassVar[bool] = True

    def calculator(self, settings: CommonBaselineSettings) -> Calculator:
        """Return it as an ASE calculator: energy, forces, charges, and stress where the cell is periodic.

        A pure function of the atoms: equal atoms give equal bits, whatever was evaluated before. Kinds that are not
        fitted must define it.

        Raises
        ------
        InputError
            If the kind is fitted, and has no energy before.
        """
        raise InputError(f"{self.name} charges are fitted together with a model and have no energy before")

    def fit_with_gap(self, request: FitRequest) -> FitReport:
        """Fit a GAP and the parameters together and write the files of both; of kinds that are fitted.

        The request's settings are a GAP's.
        """
        raise InputError(f"{self.name} charges have no parameters that are fitted together with a GAP")

    def load_with_gap(self, folder: Path, settings: CommonBaselineSettings, gap: GapModel | None = None) -> Calculator:
        """Return what `fit_with_gap` wrote as an ASE calculator: energy, forces, stress, charges.

        ``gap``: a potential with the same sparse points, in place of the folder's.
        """
        raise InputError(f"{self.name} charges have no parameters that are fitted together with a GAP")

    def alone(self, folder: Path, settings: CommonBaselineSettings) -> Calculator:
        """Return the baseline of the model in a folder without the rest of the model, as `calculator` does."""
        return self.calculator(settings)

    def charges_of_fit(self, folder: Path) -> ChargesFile | None:
        """Return what a fit wrote of the charges into a model's folder, for reports; None where it writes nothing such.

        Raises
        ------
        IonloopError
            If it is missing or damaged.
        """
        return None

    def with_fit(self, estimate: FitEstimate) -> FitEstimate:
        """Return what a fit of a GAP takes where the parameters are fitted with it, from what the GAP alone takes."""
        return estimate

    def charge_labels_hash(self, settings: CommonBaselineSettings, data_set: DataSet) -> str | None:
        """Return a hash of the labels that a fit uses besides energies, forces and stresses; None without any.

        It is part of what determines the model.
        """
        return None

    def settings(
        self, section: BaselineSection, charges: Mapping[str, float], exponents: Mapping[str, float]
    ) -> CommonBaselineSettings:
        """Return what models are made with, from a section, charges (e) and exponents (1/Å) of the species.

        What both types have a field for is handed over under its name.
        """
        shared = (section.model_fields_set | set(type(section).model_fields)) & set(self.settings_type.model_fields)
        values: dict[str, Any] = {name: getattr(section, name) for name in sorted(shared - {"kind"})}
        return self.settings_type(**{**values, "charges": dict(charges), "exponents": dict(exponents)})

    def species_charges(self, settings: CommonBaselineSettings) -> dict[str, float] | None:
        """Return the charge of every species (e) where all its atoms always have it, else None."""
        return dict(settings.charges) if self.has_species_charges else None

    def why_no_field(self, described: BaselineSection | CommonBaselineSettings) -> str:
        """Return why no field can act on the charges of a section or settings, going on from "has charges ".

        Nothing where one can: on the charges of the species, or because the calculators of models on it say what a
        field does to them (`.in_field.AnswersFields`).
        """
        return "" if self.has_species_charges else "that are none of the species; take a baseline of another kind"

    def what_it_lacks(self, section: BaselineSection, elements: Sequence[str]) -> str:
        """Return what is missing for some elements (symbols), as a problem's message; nothing where nothing is."""
        return ""

    def methods(self, section: BaselineSection) -> str:
        """Return what a paper calls it: "an electrostatic baseline of ... charges"; how they are come by follows."""
        return "an electrostatic baseline"
