"""What results on defects hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.defects.defect_sites import Defect
from ...analysis.defects.formation import Distribution
from ...analysis.defects.settings import Axis
from ...store.result_kinds import ResultKind, ResultValues
from .model_intervals import NumbersOfModel, NumbersOfOneModel


class EnergyValues(ResultValues):
    """The energy of one structure."""

    energy_eV: float = Field(description="Energy (eV)")


class RelaxedValues(EnergyValues):
    """A relaxed structure."""

    largest_force_eV_per_A: float = Field(description="Largest force that is left (eV/Å)")
    steps: int = Field(description="Steps of the relaxation (number)")
    converged: bool = Field(description="Whether it converged (yes or no)")
    reason: str = Field(description="Why it did not (text)")


class RelaxationValues(RelaxedValues):
    """The bulk or a defect, relaxed without a field."""

    defect: Defect | None = Field(description="The defect; none: the bulk")
    farthest_from_sites_A: float | None = Field(description="How far the farthest ion of a pair is from all sites (Å)")


class FieldPointValues(RelaxedValues):
    """The bulk or a pair, relaxed in a field."""

    axis: Axis = Field(description="Axis of the field (name)")
    field_V_per_A: float = Field(description="Strength of the field (V/Å)")
    state: str = Field(description="What became of it: intact, hopped, recombined (name)")
    released_eV: float = Field(description="Energy that a hop released (eV)")


class PairValues(NumbersOfModel):
    """A Frenkel pair without a field."""

    ion: int = Field(description="Index of the ion (number)")
    separation_A: float = Field(description="Distance at which the pair was made (Å)")
    state: str = Field(description="intact, recombined, unconverged or missing (name)")
    formation_energy_eV: float | None = Field(description="None where the pair is not intact (eV)")
    reference_formation_energy_eV: float | None = Field(description="The reference's on the same structures (eV)")
    formation_energy_model_half_width_eV: float | None = Field(
        default=None, description="Half-width of the 95 % model interval of the formation energy (eV)"
    )


class FrenkelValues(NumbersOfOneModel):
    """Formation energies of one potential's pairs without a field."""

    pairs: tuple[PairValues, ...] = Field(description="All pairs that were relaxed")
    formation_energy_eV: Distribution | None = Field(description="Over the intact pairs; none without any (eV)")
    reference_formation_energy_eV: Distribution | None = Field(description="The reference's (eV)")
    supercell: tuple[int, int, int] = Field(description="Repetitions of the campaign's cell (number)")
    intact: int = Field(description="Pairs that are still pairs (number)")
    recombined: int = Field(description="Pairs that are none any more (number)")
    unconverged: int = Field(description="Pairs whose relaxation did not converge (number)")
    missing: int = Field(description="Pairs whose job failed (number)")
    field: str = Field(default="", description="Why the potential is not put in a field (text)")
    formation_energy_model_half_width_eV: float | None = Field(
        default=None, description="Half-width of the 95 % model interval of the mean formation energy (eV)"
    )


class PairAtFieldValues(NumbersOfModel):
    """A pair at one field."""

    field_V_per_A: float = Field(description="Strength of the field (V/Å)")
    formation_energy_eV: float | None = Field(description="None where the pair is gone (eV)")
    state: str = Field(description="What became of the pair, or of the bulk (name)")
    formation_energy_model_half_width_eV: float | None = Field(
        default=None, description="Half-width of the 95 % model interval of the formation energy (eV)"
    )


class FieldEventValues(ResultValues):
    """Something that happened to a pair in a field."""

    axis: Axis = Field(description="Axis of the field (name)")
    field_V_per_A: float = Field(description="Strength of the field (V/Å)")
    event: str = Field(description="What happened (name)")


class PairInFieldValues(NumbersOfModel):
    """A pair that was followed along fields."""

    ion: int = Field(description="Index of the ion (number)")
    separation_A: float = Field(description="Distance at which the pair was made (Å)")
    dipole_eA: tuple[float, float, float] = Field(description="Dipole moment of the pair, bulk taken off (e Å)")
    axes: dict[Axis, tuple[PairAtFieldValues, ...]] = Field(description="By axis, fields ascending")
    events: tuple[FieldEventValues, ...] = Field(description="Where the pair did not stay what it was")
    dipole_model_half_width_eA: dict[Axis, float] = Field(
        default_factory=dict,
        description="Half-widths of the 95 % model intervals of the dipole's components, which are minus the slopes of "
        "the formation energy; of axes with a field beside zero (e Å)",
    )


class FrenkelFieldValues(NumbersOfOneModel):
    """Formation energies of one potential's pairs against the field."""

    charges_e: dict[str, float] = Field(description="Charges that the field acts on, by element (e)")
    charges_from: str = Field(description="Where they come from (text)")
    pairs: tuple[PairInFieldValues, ...] = Field(description="The pairs that were followed")
    supercell: tuple[int, int, int] = Field(description="Repetitions of the campaign's cell (number)")
    fewer_pairs_than_asked: int = Field(description="Pairs that could not be followed (number)")


class VacantSiteValues(NumbersOfModel):
    """A vacancy on one of the sites that no symmetry relates."""

    ion: int = Field(description="Index of the removed ion (number)")
    multiplicity: int = Field(description="Ions on equivalent sites (number)")
    state: str = Field(description="intact, unconverged or missing (name)")
    formation_energy_eV: float | None = Field(description="None where the vacancy is not intact (eV)")
    reference_formation_energy_eV: float | None = Field(description="The reference's on the same structures (eV)")
    formation_energy_model_half_width_eV: float | None = Field(
        default=None, description="Half-width of the 95 % model interval of the formation energy (eV)"
    )


class VacancyValues(NumbersOfOneModel):
    """Formation energies of one potential's neutral vacancies."""

    vacancies: tuple[VacantSiteValues, ...] = Field(description="All sites")
    formation_energy_eV: Distribution | None = Field(description="Over the sites; none without any (eV)")
    reference_formation_energy_eV: Distribution | None = Field(description="The reference's (eV)")
    supercell: tuple[int, int, int] = Field(description="Repetitions of the campaign's cell (number)")
    removed_atom_energy_eV: float = Field(description="Energy of the atom that was taken out (eV)")
    removed_atom: str = Field(description="What it counts from: isolated atom, or metal (name)")
    cell_charge_e: float = Field(description="Charge that the baseline's cell is left with (e)")
    formation_energy_model_half_width_eV: float | None = Field(
        default=None, description="Half-width of the 95 % model interval of the mean formation energy (eV)"
    )


RELAXATIONS = ResultKind("defect-relaxation", RelaxationValues)
FIELD_POINTS = ResultKind("defect-field-point", FieldPointValues)
SINGLE_POINTS = ResultKind("defect-single-point", EnergyValues)
FRENKEL = ResultKind("frenkel", FrenkelValues)
FRENKEL_IN_FIELD = ResultKind("frenkel-field", FrenkelFieldValues)
VACANCIES = ResultKind("vacancy", VacancyValues)
