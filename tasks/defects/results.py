"""The jobs that end the defect analyses: formation energies from relaxed structures, with what was left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ase import Atoms
from ase.calculators.calculator import Calculator

from ...analysis.defects.defect_sites import DefectState, FrenkelPair, Vacancy
from ...analysis.defects.formation import Distribution, vacancy_formation_energy_eV
from ...analysis.defects.settings import Axis
from ...analysis.electric_field import dipole_difference_eA, mean_born_charges
from ...analysis.looks import model_name
from ...core.arrays import FloatArray
from ...fitting.electrostatics.registry import species_charges_in, why_no_field_in
from ...fitting.kinds.registry import MODELS
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.records import ResultRecord
from ...store.result_kinds import ResultKind, ValuesT
from ..base import IonloopTask, JobFailed, Outcome
from ..context import TaskContext
from ..fields import charges_in_field
from ..results import Potential, new_result, open_potential
from ..values.defects import (
    FIELD_POINTS,
    FRENKEL,
    FRENKEL_IN_FIELD,
    RELAXATIONS,
    SINGLE_POINTS,
    VACANCIES,
    FieldEventValues,
    FieldPointValues,
    FrenkelFieldValues,
    FrenkelValues,
    PairAtFieldValues,
    PairInFieldValues,
    PairValues,
    VacancyValues,
    VacantSiteValues,
)
from .intervals import FormationIntervals
from .relaxations import (
    DefectParameters,
    FieldBranchParameters,
    branch_identifiers,
    is_whole_pair,
    relaxed_atoms,
    surviving_pairs,
)

FRENKEL_KIND = FRENKEL.name
FRENKEL_FIELD_KIND = FRENKEL_IN_FIELD.name
VACANCY_KIND = VACANCIES.name
AFTER_RECOMBINATION = "after recombination"
BASELINE_CHARGES = "electrostatic baseline of the model"
BORN_CHARGES = "Born charges of the relaxed bulk, a third of the trace, mean over the atoms of an element"
NO_FIELD = (
    "{name} takes part at zero field only: a field acts on charges, and {name} has none; only through the "
    "electrostatic baseline does a potential know what a field pulls at"
)
NO_FIELD_ON_BASELINE = "{name} takes part at zero field only: it has charges {reason}"


def _energy_eV(store: Store, name: str | None) -> float | None:
    record = None if name is None else store.results.get(name)
    return None if record is None else energy_of(record)


def energy_of(record: ResultRecord) -> float:
    """Return the energy (eV) of a relaxed structure, or of a single point."""
    return SINGLE_POINTS.read(record).energy_eV


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _distribution(values: Iterable[float | None]) -> Distribution | None:
    return Distribution.of([value for value in values if value is not None])


class FrenkelParameters(DefectParameters):
    """The relaxed bulk, the relaxed pairs, and the reference's single points on them (none where it has none)."""

    bulk: str
    pairs: list[FrenkelPair]
    relaxations: list[str]
    bulk_reference: str | None = None
    references: tuple[str, ...] = ()
    recombination_radius_A: float


def _no_field(potential: Potential, store: Store) -> str:
    """Return why a potential is not put in a field, nothing where it has charges."""
    model = None if potential.model is None else store.models.get(potential.model)
    if model is None:
        return ""
    if MODELS.get(model.kind_of_model).has_charges:
        reason = "" if model.baseline is None else why_no_field_in(model.baseline)
        return NO_FIELD_ON_BASELINE.format(name=model_name(model.kind), reason=reason) if reason else ""
    return NO_FIELD.format(name=model_name(model.kind))


class FrenkelTask(IonloopTask):
    """Record the formation energies of one potential's pairs without a field."""

    _fw_name = "ionloop.frenkel"
    parameters_type = FrenkelParameters

    def execute(self, parameters: FrenkelParameters, context: TaskContext) -> Outcome:
        """Record what there is.

        Raises
        ------
        JobFailed
            If the bulk was not relaxed.
        """
        store = context.store
        intervals = FormationIntervals(store, parameters.potential, lambda: parameters.crystal(context))
        pairs = [self._pair(parameters, store, number) for number in range(len(parameters.pairs))]
        vectors = [
            None if pair.formation_energy_eV is None else intervals.vector(parameters.bulk, name)
            for pair, name in zip(pairs, parameters.relaxations, strict=True)
        ]
        states = [pair.state for pair in pairs]
        values = FrenkelValues(
            pairs=tuple(_with_half_width(*both, intervals) for both in zip(pairs, vectors, strict=True)),
            formation_energy_eV=_distribution(pair.formation_energy_eV for pair in pairs),
            reference_formation_energy_eV=_distribution(pair.reference_formation_energy_eV for pair in pairs),
            supercell=parameters.supercell,
            intact=states.count("intact"),
            recombined=states.count("recombined"),
            unconverged=states.count("unconverged"),
            missing=states.count("missing"),
            field=_no_field(parameters.potential, store),
            formation_energy_model_half_width_eV=_of_mean(pairs, vectors, intervals),
            model_interval_reason=intervals.reason,
        )
        record = _result(parameters, FRENKEL, parameters.relaxations, values)
        store.results.replace(record)
        reason = "" if values.intact else "no pair survived its relaxation"
        return Outcome(reason=reason, outputs={"result": record.id})

    @staticmethod
    def _pair(parameters: FrenkelParameters, store: Store, number: int) -> PairValues:
        pair, record = parameters.pairs[number], store.results.get(parameters.relaxations[number])
        bulk_eV = _energy_eV(store, parameters.bulk)
        if bulk_eV is None:
            raise JobFailed("the bulk was not relaxed, so no defect has a formation energy")
        whole = is_whole_pair(record, parameters.recombination_radius_A)
        energy = _difference(None if record is None else energy_of(record), bulk_eV)
        reference_name = parameters.references[number] if parameters.references else None
        reference = _difference(_energy_eV(store, reference_name), _energy_eV(store, parameters.bulk_reference))
        return PairValues(
            ion=pair.ion,
            separation_A=pair.separation_A,
            state=_pair_state(record, whole),
            formation_energy_eV=energy if whole else None,
            reference_formation_energy_eV=reference if whole else None,
        )


DefectT = TypeVar("DefectT", PairValues, VacantSiteValues)


def _with_half_width(defect: DefectT, vector: FloatArray | None, intervals: FormationIntervals) -> DefectT:
    return defect.model_copy(update={"formation_energy_model_half_width_eV": intervals.half_width(vector)})


def _of_mean(
    defects: Sequence[PairValues | VacantSiteValues],
    vectors: Sequence[FloatArray | None],
    intervals: FormationIntervals,
) -> float | None:
    """Return the half-width of the mean over the defects that have a formation energy."""
    both = zip(defects, vectors, strict=True)
    return intervals.of_mean(vector for defect, vector in both if defect.formation_energy_eV is not None)


def _pair_state(record: ResultRecord | None, whole: bool) -> str:
    if record is None:
        return "missing"
    if not RELAXATIONS.read(record).converged:
        return "unconverged"
    return DefectState.INTACT.value if whole else DefectState.RECOMBINED.value


def _result(
    parameters: DefectParameters, kind: ResultKind[ValuesT], inputs: list[str], values: ValuesT
) -> ResultRecord:
    name = identifier("result", kind.name, parameters.campaign, parameters.potential.identity, inputs)
    return new_result(
        parameters,
        name,
        kind,
        parameters.potential,
        inputs=inputs,
        values=values,
    )


class FrenkelFieldParameters(DefectParameters):
    """The branches of all axes and directions, as their jobs were told, without the rank."""

    bulk: str
    pairs: list[FrenkelPair]
    candidates: list[str]
    followed: int
    branches: list[FieldBranchParameters]
    recombination_radius_A: float


class FrenkelFieldTask(IonloopTask):
    """Record the formation energies of the followed pairs against the field, and what happened on the way."""

    _fw_name = "ionloop.frenkel-field"
    parameters_type = FrenkelFieldParameters

    def execute(self, parameters: FrenkelFieldParameters, context: TaskContext) -> Outcome:
        """Record what there is; without a surviving pair there is nothing to record.

        Raises
        ------
        JobFailed
            If the bulk was not relaxed.
        """
        store = context.store
        survivors = surviving_pairs(store, parameters.candidates, parameters.recombination_radius_A)
        survivors = survivors[: parameters.followed]
        if store.results.get(parameters.bulk) is None:
            raise JobFailed("the bulk was not relaxed, so no defect has a formation energy")
        if not survivors:
            return Outcome(reason="there is no relaxed pair to follow in a field")
        crystal = parameters.crystal(context)
        charges: dict[str, float] | Calculator | None = charges_in_field(store, parameters.potential)
        if charges is None:
            charges = open_potential(store, parameters.potential)
            bulk = relaxed_atoms(store, store.results[parameters.bulk], crystal)
            told, source = mean_born_charges(charges, bulk), BORN_CHARGES
        else:
            told, source = charges, BASELINE_CHARGES
        intervals = FormationIntervals(store, parameters.potential, lambda: crystal)
        values = FrenkelFieldValues(
            charges_e=told,
            charges_from=source,
            pairs=tuple(_pair_in_field(parameters, store, crystal, name, charges, intervals) for name in survivors),
            supercell=parameters.supercell,
            fewer_pairs_than_asked=parameters.followed - len(survivors),
            model_interval_reason=intervals.reason,
        )
        record = _result(parameters, FRENKEL_IN_FIELD, [parameters.bulk, *survivors], values)
        store.results.replace(record)
        return Outcome(outputs={"result": record.id})


def _pair_in_field(
    parameters: FrenkelFieldParameters,
    store: Store,
    crystal: Atoms,
    name: str,
    charges: dict[str, float] | Calculator,
    intervals: FormationIntervals,
) -> PairInFieldValues:
    bulk, relaxed = store.results[parameters.bulk], store.results[name]
    pair = parameters.pairs[parameters.candidates.index(name)]
    dipole = dipole_difference_eA(relaxed_atoms(store, relaxed, crystal), relaxed_atoms(store, bulk, crystal), charges)
    vector = intervals.vector(bulk.id, name)
    zero = PairAtFieldValues(
        field_V_per_A=0.0,
        formation_energy_eV=energy_of(relaxed) - energy_of(bulk),
        state=DefectState.INTACT.value,
        formation_energy_model_half_width_eV=intervals.half_width(vector),
    )
    axes: dict[Axis, list[_PointWithVector]] = {}
    for branch in parameters.branches:
        axes.setdefault(branch.axis, [(zero, vector)]).extend(_branch_points(store, branch, name, intervals))
    curves = {
        axis: tuple(sorted((point for point, _ in points), key=lambda point: point.field_V_per_A))
        for axis, points in axes.items()
    }
    return PairInFieldValues(
        ion=pair.ion,
        separation_A=pair.separation_A,
        dipole_eA=tuple(dipole.tolist()),
        axes=curves,
        events=tuple(
            FieldEventValues(axis=axis, field_V_per_A=point.field_V_per_A, event=point.state)
            for axis, points in curves.items()
            for point in points
            if point.state not in (DefectState.INTACT.value, AFTER_RECOMBINATION)
        ),
        dipole_model_half_width_eA=_slope_half_widths(axes, intervals),
    )


_PointWithVector = tuple[PairAtFieldValues, FloatArray | None]


def _slope_half_widths(
    axes: Mapping[Axis, Sequence[_PointWithVector]], intervals: FormationIntervals
) -> dict[Axis, float]:
    """Return half-widths of the slopes at zero field, within the basin of zero field, of axes that have one."""
    found = {}
    for axis, points in axes.items():
        intact = [(point, vector) for point, vector in points if point.state == DefectState.INTACT.value]
        slope = intervals.of_slope([point.field_V_per_A for point, _ in intact], [vector for _, vector in intact])
        if slope is not None:
            found[axis] = slope
    return found


def _branch_points(
    store: Store, branch: FieldBranchParameters, start: str, intervals: FormationIntervals
) -> list[_PointWithVector]:
    """Return field, formation energy and state at every field of a branch; no energy where the pair is gone."""
    points: list[_PointWithVector] = []
    gone, bulk_hopped = False, False
    bulks, names = branch_identifiers(branch, branch.bulk), branch_identifiers(branch, start)
    for strength, bulk_name, name in zip(branch.fields_V_per_A, bulks, names, strict=True):
        bulk, pair = _field_point(store, bulk_name), _field_point(store, name)
        bulk_hopped = bulk_hopped or (bulk is not None and bulk.state == DefectState.HOPPED.value)
        state = AFTER_RECOMBINATION if gone else _field_state(bulk, pair, bulk_hopped)
        gone = gone or state == DefectState.RECOMBINED.value
        energy, vector = None, None
        if pair is not None and bulk is not None and not gone:
            energy = pair.energy_eV - bulk.energy_eV
            vector = intervals.vector(bulk_name, name)
        point = PairAtFieldValues(
            field_V_per_A=strength,
            formation_energy_eV=energy,
            state=state,
            formation_energy_model_half_width_eV=intervals.half_width(vector),
        )
        points.append((point, vector))
    return points


def _field_point(store: Store, name: str) -> FieldPointValues | None:
    record = store.results.get(name)
    return None if record is None else FIELD_POINTS.read(record)


def _field_state(bulk: FieldPointValues | None, pair: FieldPointValues | None, bulk_hopped: bool) -> str:
    if bulk is None or pair is None:
        return "missing"
    if pair.state == DefectState.RECOMBINED.value:
        return DefectState.RECOMBINED.value
    if bulk_hopped:
        return DefectState.BULK_HOPPED.value
    if not (bulk.converged and pair.converged):
        return "unconverged"
    return pair.state


class VacancyParameters(DefectParameters):
    """The relaxed bulk, the relaxed vacancies, the reference's single points, and the energy of the removed atom."""

    bulk: str
    vacancies: list[Vacancy]
    relaxations: list[str]
    bulk_reference: str | None = None
    references: tuple[str, ...] = ()
    metal: str | None = None


class VacancyTask(IonloopTask):
    """Record the formation energies of neutral vacancies, and against what they count."""

    _fw_name = "ionloop.vacancy"
    parameters_type = VacancyParameters

    def execute(self, parameters: VacancyParameters, context: TaskContext) -> Outcome:
        """Record what there is.

        Raises
        ------
        JobFailed
            If the bulk was not relaxed or the removed atom has no energy.
        """
        store = context.store
        vacancies = self._vacancies(parameters, store, self._atom_energy_eV(parameters, store))
        intervals = FormationIntervals(store, parameters.potential, lambda: parameters.crystal(context))
        vectors = [
            None if one.formation_energy_eV is None else intervals.vector(parameters.bulk, name)
            for one, name in zip(vacancies, parameters.relaxations, strict=True)
        ]
        values = VacancyValues(
            vacancies=tuple(_with_half_width(*both, intervals) for both in zip(vacancies, vectors, strict=True)),
            formation_energy_eV=_distribution(one.formation_energy_eV for one in vacancies),
            reference_formation_energy_eV=_distribution(one.reference_formation_energy_eV for one in vacancies),
            supercell=parameters.supercell,
            removed_atom_energy_eV=self._atom_energy_eV(parameters, store),
            removed_atom="isolated atom" if parameters.metal is None else "metal, by the reference engine",
            cell_charge_e=self._cell_charge_e(parameters, store),
            formation_energy_model_half_width_eV=_of_mean(vacancies, vectors, intervals),
            model_interval_reason=intervals.reason,
        )
        record = _result(parameters, VACANCIES, parameters.relaxations, values)
        store.results.replace(record)
        return Outcome(outputs={"result": record.id})

    @staticmethod
    def _vacancies(parameters: VacancyParameters, store: Store, atom_eV: float) -> list[VacantSiteValues]:
        bulk_eV, bulk_reference_eV = _energy_eV(store, parameters.bulk), _energy_eV(store, parameters.bulk_reference)
        if bulk_eV is None:
            raise JobFailed("the bulk was not relaxed, so no defect has a formation energy")
        references = parameters.references or (None,) * len(parameters.vacancies)
        found: list[VacantSiteValues] = []
        for vacancy, name, reference in zip(parameters.vacancies, parameters.relaxations, references, strict=True):
            state = _vacancy_state(store.results.get(name))
            relaxed_eV = _energy_eV(store, name) if state == DefectState.INTACT.value else None
            reference_eV = _formation(_energy_eV(store, reference), bulk_reference_eV, atom_eV)
            found.append(
                VacantSiteValues(
                    ion=vacancy.ion,
                    multiplicity=vacancy.multiplicity,
                    state=state,
                    formation_energy_eV=_formation(relaxed_eV, bulk_eV, atom_eV),
                    reference_formation_energy_eV=reference_eV,
                )
            )
        return found

    @staticmethod
    def _atom_energy_eV(parameters: VacancyParameters, store: Store) -> float:
        """Return the energy of the removed atom: models count from the reference's atoms, so one number serves both."""
        if parameters.metal is not None:
            metal_eV = _energy_eV(store, parameters.metal)
            if metal_eV is None:
                raise JobFailed(f"the energy of {parameters.mobile} metal was not computed")
            return metal_eV
        if parameters.potential.model is None:
            raise JobFailed("vacancies are relaxed with a fitted model")
        data_set = store.data_sets[store.models[parameters.potential.model].data_set]
        return data_set.isolated_atom_energies[parameters.mobile]

    @staticmethod
    def _cell_charge_e(parameters: VacancyParameters, store: Store) -> float:
        """Return the charge (e) that the baseline's cell is left with, compensated by a uniform background."""
        model = None if parameters.potential.model is None else store.models[parameters.potential.model]
        charges = {} if model is None else species_charges_in(model.baseline) or {}
        return -float(charges.get(parameters.mobile, 0.0))


def _vacancy_state(record: ResultRecord | None) -> str:
    if record is None:
        return "missing"
    return DefectState.INTACT.value if RELAXATIONS.read(record).converged else "unconverged"


def _formation(vacancy_eV: float | None, bulk_eV: float | None, atom_eV: float) -> float | None:
    if vacancy_eV is None or bulk_eV is None:
        return None
    return vacancy_formation_energy_eV(vacancy_eV, bulk_eV, atom_eV)
