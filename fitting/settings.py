"""Hyperparameters of GAP and ES-GAP fits: typed, frozen, unknown keys forbidden.

The defaults are those that experts use for solid electrolytes; every field carries its unit. The kernel forms
are those of Bartók, Csányi, Int. J. Quantum Chem. 2015, 115, 1051 (10.1002/qua.24927) and, for the SOAP
descriptor, Bartók, Kondor, Csányi, Phys. Rev. B 2013, 87, 184115 (10.1103/PhysRevB.87.184115).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ..core.settings import FrozenSettings

FitBackend = Literal["native", "gap_fit"]
EvaluateBackend = Literal["native", "quippy"]
ThreeBodyDescriptor = Literal["distance_Nb", "angle_3b"]
SparseMethod = Literal["uniform", "evenly_spaced", "cur_points", "farthest_points", "random"]

NATIVE_SPARSE_METHODS: Final[frozenset[SparseMethod]] = frozenset({"evenly_spaced", "farthest_points"})
"""Those that gap_fit has not."""


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _known_element(symbol: str) -> str:
    # Here, for commands that only read look up kinds of models and load no physics.
    from ase.data import atomic_numbers

    if atomic_numbers.get(symbol, 0) == 0:
        raise ValueError(f"{symbol!r} is not a chemical symbol; write for example 'Li'")
    return symbol


ElementSymbol = Annotated[str, AfterValidator(_known_element)]


class TwoBodySettings(FrozenSettings):
    """Pair part (``distance_2b``): squared-exponential kernel of the distance."""

    cutoff_A: PositiveFloat = Field(6.0, description="Pair cutoff (Å)")
    transition_width_A: PositiveFloat = Field(
        1.0, description="Width over which the pair term is switched off below the cutoff (Å)"
    )
    sparse_points: PositiveInt = Field(15, description="Sparse points per pair of elements (count)")
    sparse_method: SparseMethod = Field(
        "uniform",
        description="How sparse points are chosen: evenly_spaced is the better one, uniform is gap_fit's and stands "
        "where nothing is said, so that what was begun goes on as it was (name)",
    )
    length_scale_A: PositiveFloat = Field(1.0, description="Length scale of the kernel in the distance (Å)")
    delta_eV: PositiveFloat = Field(
        1.0, description="Prior standard deviation of one pair's energy, before the cutoff function (eV)"
    )

    @model_validator(mode="after")
    def _transition_inside_cutoff(self) -> Self:
        _check_transition(self.transition_width_A, self.cutoff_A)
        return self


class ThreeBodySettings(FrozenSettings):
    """Triplet part (``angle_3b`` or ``distance_Nb order=3``): squared-exponential kernel of three numbers."""

    triplet_descriptor: ThreeBodyDescriptor = Field(
        "angle_3b",
        description="angle_3b: sum and squared difference of the distances to the central atom, and the third "
        "distance; distance_Nb: three distances in QUIP's compact form, in which energies depend on how equal atoms "
        "are numbered (name)",
    )
    cutoff_A: PositiveFloat = Field(3.5, description="Cutoff of the distances to the central atom (Å)")
    transition_width_A: PositiveFloat = Field(
        0.5, description="Width over which the triplet term is switched off below the cutoff (Å)"
    )
    sparse_points: PositiveInt = Field(100, description="Sparse points per triplet of elements (count)")
    sparse_method: SparseMethod = Field("uniform", description="How sparse points are chosen (name)")
    length_scale_A: PositiveFloat = Field(
        1.0, description="Length scale of the kernel in each number (Å; Å² in the squared difference)"
    )
    delta_eV: PositiveFloat = Field(
        0.03, description="Prior standard deviation of one triplet's energy, before the cutoff function (eV)"
    )

    @model_validator(mode="after")
    def _transition_inside_cutoff(self) -> Self:
        _check_transition(self.transition_width_A, self.cutoff_A)
        return self


class CoreSettings(FrozenSettings):
    """Fixed spline potential under the GAP (QUIP's ``IP Glue``), which is fitted to the rest.

    A file names it in ``file``; where that is read, what it holds takes its place, so that settings, and the models
    made with them, do not depend on a file that moves or changes (`ionloop.fitting.cores.with_core_read`). So does the
    potential that ``zbl`` asks for.
    """

    file: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="QUIP XML file with the Glue_params of the core (eV, Å), as gap_fit's core_param_file; read once, "
        "relative to the campaign file",
        json_schema_extra={"allowed": "the path of a file"},
    )
    glue: str | None = Field(
        None,
        description="The Glue_params element itself instead of a file; what the store keeps (eV, Å)",
        json_schema_extra={"allowed": "text"},
    )

    # Sections of kinds are looked at in Python, where strictly a list is no tuple.
    zbl: Annotated[tuple[ElementSymbol, ...], BeforeValidator(_as_tuple)] | None = Field(
        None,
        min_length=1,
        max_length=118,
        description="Elements whose atoms repel each other as their screened nuclei do (ZBL), below 0.9 of the sum of "
        "their covalent radii (symbols)",
        json_schema_extra={"allowed": "a list of symbols of elements, such as [Li, P, S]"},
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(one is not None for one in (self.file, self.glue, self.zbl)) != 1:
            raise ValueError("needs one of a file, such as {file: core.xml}, zbl, such as [Li, P, S], and glue")
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what earlier releases do not know of: models and campaigns are known by their settings."""
        values: dict[str, Any] = serialise(self)
        return {name: value for name, value in values.items() if name != "zbl" or value is not None}


class SoapSettings(FrozenSettings):
    """Many-body part: polynomial kernel of SOAP power spectra, one per central element."""

    cutoff_A: PositiveFloat = Field(5.0, description="Radius of an atom's environment (Å), usually 5 to 6 Å")
    transition_width_A: PositiveFloat = Field(
        1.0, description="Width over which neighbours fade out below the cutoff (Å)"
    )
    n_max: PositiveInt = Field(8, description="Radial basis functions (count)")
    l_max: int = Field(4, ge=0, description="Highest angular momentum (count)")
    atom_sigma_A: PositiveFloat = Field(0.5, description="Width of the Gaussian put on each neighbour (Å)")
    zeta: PositiveInt = Field(4, description="Exponent of the kernel (dimensionless)")
    sparse_points: PositiveInt = Field(
        500, description="Sparse points per element (count); fewer environments mean fewer points"
    )
    sparse_method: SparseMethod = Field("cur_points", description="How sparse points are chosen (name)")
    delta_eV: PositiveFloat = Field(0.5, description="Prior standard deviation of one atom's energy (eV)")

    @model_validator(mode="after")
    def _transition_inside_cutoff(self) -> Self:
        _check_transition(self.transition_width_A, self.cutoff_A)
        return self


def _check_transition(transition_width_A: float, cutoff_A: float) -> None:
    if transition_width_A > cutoff_A:
        raise ValueError(
            f"transition_width_A is {transition_width_A:g} Å, more than the cutoff of {cutoff_A:g} Å; "
            "make it smaller than cutoff_A"
        )


class Regularisation(FrozenSettings):
    """Expected errors of the data, standard deviations of the Gaussian noise model.

    gap_fit scales the energy's and the virial's by the square root of the number of atoms, so that supercells
    of one structure weigh like independent copies of it.
    """

    energy_eV_per_atom: PositiveFloat = Field(
        0.001, description="Error of the energy (eV/atom; times the square root of the number of atoms)"
    )
    force_eV_per_A: PositiveFloat = Field(0.05, description="Error of a force component (eV/Å)")
    virial_eV_per_atom: PositiveFloat = Field(
        0.02,
        description="Error of a virial component (eV/atom; times the square root of the number of atoms)",
    )
    force_by_element_eV_per_A: dict[ElementSymbol, PositiveFloat] = Field(
        default_factory=dict, description="Force error of single elements, where it differs (eV/Å)"
    )

    def force_sigma_eV_per_A(self, symbol: str) -> float:
        """Return the force error of one element (eV/Å)."""
        return self.force_by_element_eV_per_A.get(symbol, self.force_eV_per_A)


_LATER_PARTS = frozenset({"three_body", "core"})


class GapSettings(FrozenSettings):
    """Everything that a GAP fit depends on besides its data and its seed."""

    two_body: TwoBodySettings | None = Field(
        default_factory=TwoBodySettings, description="Pair part; null leaves it out"
    )
    three_body: ThreeBodySettings | None = Field(
        None, description="Triplet part, such as {cutoff_A: 3.5}; null leaves it out"
    )
    core: CoreSettings | None = Field(
        None, description="Fixed potential under the GAP, such as {file: core.xml}; null leaves it out"
    )
    soap: SoapSettings = Field(default_factory=SoapSettings, description="Many-body part")
    regularisation: Regularisation = Field(
        default_factory=Regularisation, description="Expected errors of the data (eV/atom, eV/Å)"
    )
    regularisation_by_config_type: dict[str, Regularisation] = Field(
        default_factory=dict, description="Expected errors for configurations of one type (eV/atom, eV/Å)"
    )
    sparse_jitter: PositiveFloat = Field(
        1e-8, description="Added to the diagonal of the sparse points' covariance matrix (eV²)"
    )

    def identifying_values(self) -> dict[str, Any]:
        """Return the values that a model's identity is made of: parts that came later count only where they are."""
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if value is not None or name not in _LATER_PARTS}

    @property
    def cutoff_A(self) -> float:
        """The longest cutoff of all parts (Å)."""
        parts = (self.two_body, self.three_body, self.soap)
        return max(part.cutoff_A for part in parts if part is not None)

    def regularisation_for(self, config_type: str) -> Regularisation:
        """Return the expected errors of configurations of one type."""
        return self.regularisation_by_config_type.get(config_type, self.regularisation)


class CommonBaselineSettings(FrozenSettings):
    """What every electrostatic baseline has; a constant field ``kind`` of each holds its name.

    Baselines that change the charges start from those of the species.
    """

    charges: dict[ElementSymbol, float] = Field(description="Charge per element (e)", min_length=1)
    exponents: dict[ElementSymbol, PositiveFloat] = Field(
        default_factory=dict,
        description="Slater exponent per element (1/Å); an element without one is a point charge",
    )
    accuracy: float = Field(1e-6, gt=0, lt=0.1, description="Largest truncation error of a force component (eV/Å)")

    @property
    def kind_name(self) -> str:
        """Name of the kind of baseline that these settings are of."""
        return str(type(self).model_fields["kind"].default)

    @model_validator(mode="after")
    def _exponents_have_charges(self) -> Self:
        without_charge = sorted(set(self.exponents) - set(self.charges))
        if without_charge:
            raise ValueError(
                f"exponents are given for {', '.join(without_charge)}, which have no charge; give their charges too"
            )
        return self


class BaselineSettings(CommonBaselineSettings):
    """Fixed Slater-distributed charges, the electrostatic part of ES-GAP."""

    # Never written: what there was before there were other kinds says nothing of its kind.
    kind: Literal["fixed"] = Field("fixed", exclude=True, description="Charges that every atom of a species has (name)")
