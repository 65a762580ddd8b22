"""Defect jobs: relaxations without a field, relaxations followed along a field, single points of the reference.

Every relaxed structure is a record of its own, named after what it started from: a branch of fields that was
interrupted goes on from its last structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ...analysis.defects.defect_sites import Defect, DefectState, FrenkelPair, farthest_from_sites_A, with_defect
from ...analysis.defects.formation import FieldPoint, FieldSurroundings, field_branch
from ...analysis.defects.settings import Axis, BasinRules, Supercell
from ...analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.records import ResultRecord
from ...store.result_kinds import ResultKind, ValuesT
from ..base import IonloopTask, JobFailed, Outcome, TaskParameters
from ..context import TaskContext
from ..fields import charges_in_field
from ..initial import starting_structure
from ..results import Potential, ResultTask, known_result, load_arrays, new_result, open_potential, save_arrays
from ..values.defects import FIELD_POINTS, RELAXATIONS, SINGLE_POINTS, EnergyValues, FieldPointValues

if TYPE_CHECKING:
    from ...analysis.fixed_cell_relaxation import Relaxed


RELAXATION_KIND = RELAXATIONS.name
FIELD_POINT_KIND = FIELD_POINTS.name
SINGLE_POINT_KIND = SINGLE_POINTS.name
FOLDER = "defects"


class DefectParameters(TaskParameters):
    """What all jobs on defects are told."""

    potential: Potential
    supercell: Supercell
    mobile: str

    def crystal(self, context: TaskContext) -> Atoms:
        """Return the unrelaxed crystal that holds the defect: the parent that displacements count from."""
        return starting_structure(context, self.campaign, self.system).repeat(self.supercell)


def relaxed_atoms(store: Store, record: ResultRecord, crystal: Atoms) -> Atoms:
    """Return the structure of a relaxation's record; ``crystal`` is the one that it was made from."""
    arrays = load_arrays(store, record.artefacts["structure"])
    return Atoms(numbers=arrays["numbers"], positions=arrays["positions"], cell=crystal.cell, pbc=crystal.pbc)


def _relaxed_record(
    store: Store, parameters: DefectParameters, kind: ResultKind[ValuesT], name: str, relaxed: Relaxed, **more: Any
) -> ResultRecord:
    inputs = more.pop("inputs")
    arrays = {"numbers": relaxed.atoms.numbers, "positions": relaxed.atoms.positions}
    return new_result(
        parameters,
        name,
        kind,
        parameters.potential,
        inputs=inputs,
        values=kind.values_type(
            energy_eV=relaxed.energy_eV,
            largest_force_eV_per_A=relaxed.largest_force_eV_per_A,
            steps=relaxed.steps,
            converged=relaxed.converged,
            reason=relaxed.reason,
            **more,
        ),
        artefacts={"structure": save_arrays(store, FOLDER, name, arrays)},
    )


class DefectRelaxationParameters(DefectParameters):
    """The bulk, or a defect in the relaxed bulk of the same potential."""

    relaxation: FixedCellRelaxation
    defect: Defect | None = None
    bulk: str | None = None

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        return identifier(
            "result",
            RELAXATION_KIND,
            self.campaign,
            *self.of_system,
            self.potential.identity,
            self.supercell,
            self.relaxation.model_dump(mode="json"),
            None if self.defect is None else self.defect.model_dump(mode="json"),
            self.bulk,
        )


class DefectRelaxationTask(ResultTask):
    """Relax the bulk or one defect without a field."""

    _fw_name = "ionloop.defect-relaxation"
    parameters_type = DefectRelaxationParameters
    measured_as = "defect"

    def compute(self, parameters: DefectRelaxationParameters, context: TaskContext) -> ResultRecord:
        """Relax."""

        from ...analysis.fixed_cell_relaxation import relax_ions

        store, crystal = context.store, parameters.crystal(context)
        bulk = crystal if parameters.bulk is None else _relaxed_or_fail(store, parameters.bulk, crystal)
        start = with_defect(bulk, parameters.defect)
        relaxed = relax_ions(start, open_potential(store, parameters.potential), parameters.relaxation)
        farthest = None
        if isinstance(parameters.defect, FrenkelPair):
            farthest = farthest_from_sites_A(bulk, relaxed.atoms, parameters.mobile)
        return _relaxed_record(
            store,
            parameters,
            RELAXATIONS,
            parameters.identifier,
            relaxed,
            defect=parameters.defect,
            farthest_from_sites_A=farthest,
            inputs=[] if parameters.bulk is None else [parameters.bulk],
        )


def _relaxed_or_fail(store: Store, name: str, crystal: Atoms) -> Atoms:
    record = known_result(store, name)
    if record is None:
        raise JobFailed("the structure that this one starts from was not relaxed")
    return relaxed_atoms(store, record, crystal)


def is_whole_pair(record: ResultRecord | None, recombination_radius_A: float) -> bool:
    """Return whether a pair's relaxation converged to something that is not the bulk again."""
    if record is None:
        return False
    relaxed = RELAXATIONS.read(record)
    farthest_A = relaxed.farthest_from_sites_A
    return relaxed.converged and farthest_A is not None and farthest_A >= recombination_radius_A


def surviving_pairs(store: Store, candidates: Sequence[str], recombination_radius_A: float) -> list[str]:
    """Return which of the relaxed pairs are still pairs, in the order of ``candidates``."""
    return [name for name in candidates if is_whole_pair(store.results.get(name), recombination_radius_A)]


class FieldBranchParameters(DefectParameters):
    """One direction of one axis, for the bulk or for the pair of that rank among the surviving ones."""

    relaxation: FixedCellRelaxation
    axis: Axis
    fields_V_per_A: tuple[float, ...]
    rules: BasinRules
    bulk: str
    candidates: tuple[str, ...] = ()
    rank: int = 0


def branch_identifiers(parameters: FieldBranchParameters, start: str) -> list[str]:
    """Return the identifiers of a branch's structures, each derived from the one before it."""
    names, rules = [start], parameters.rules.model_dump(mode="json")
    for strength in parameters.fields_V_per_A:
        names.append(identifier("result", FIELD_POINT_KIND, names[-1], parameters.axis, strength, rules))
    return names[1:]


class FieldBranchTask(IonloopTask):
    """Follow the bulk or a pair from zero field outwards; every field is a record, so a kill costs one relaxation."""

    _fw_name = "ionloop.defect-field-branch"
    resumable = True
    parameters_type = FieldBranchParameters

    def execute(self, parameters: FieldBranchParameters, context: TaskContext) -> Outcome:
        """Relax at every field that the store does not have, until the pair recombines."""
        start = parameters.bulk
        if parameters.candidates:
            survivors = surviving_pairs(context.store, parameters.candidates, parameters.rules.recombination_radius_A)
            if parameters.rank >= len(survivors):
                return Outcome(reason=f"only {len(survivors)} pairs survived their relaxation without a field")
            start = survivors[parameters.rank]
        with context.measure("defect"):
            last = self._follow(parameters, context, start)
        recombined = last is not None and last.state == DefectState.RECOMBINED
        reason = f"recombined at {last.field_V_per_A:g} V/Å" if recombined and last is not None else ""
        return Outcome(reason=reason, outputs={"start": start})

    @staticmethod
    def _follow(parameters: FieldBranchParameters, context: TaskContext, start: str) -> FieldPointValues | None:
        store, crystal = context.store, parameters.crystal(context)
        surroundings: FieldSurroundings | None = None
        before = _relaxed_or_fail(store, start, crystal)
        found: FieldPointValues | None = None
        bulks = branch_identifiers(parameters, parameters.bulk)
        names = branch_identifiers(parameters, start)
        for number, (name, strength) in enumerate(zip(names, parameters.fields_V_per_A, strict=True)):
            known = known_result(store, name)
            if known is None:
                surroundings = surroundings or _surroundings(parameters, store, crystal)
                bulk = [_relaxed_or_fail(store, bulks[number], crystal)] if parameters.candidates else None
                stood_at = parameters.fields_V_per_A[number - 1] if number else 0.0
                (point,) = field_branch(
                    before, parameters.axis, (strength,), surroundings, bulk, start_field_V_per_A=stood_at
                )
                known = _point_record(store, parameters, name, point, names[number - 1] if number else start)
                store.results.replace(known)
            context.report_progress(number + 1, len(names))
            found = FIELD_POINTS.read(known)
            if found.state == DefectState.RECOMBINED:
                break
            before = relaxed_atoms(store, known, crystal)
        return found


def _surroundings(parameters: FieldBranchParameters, store: Store, crystal: Atoms) -> FieldSurroundings:
    return FieldSurroundings(
        calculator=open_potential(store, parameters.potential),
        charges=charges_in_field(store, parameters.potential),
        parent=crystal,
        relaxation=parameters.relaxation,
        mobile=parameters.mobile,
        rules=parameters.rules,
    )


def _point_record(
    store: Store, parameters: FieldBranchParameters, name: str, point: FieldPoint, before: str
) -> ResultRecord:
    return _relaxed_record(
        store,
        parameters,
        FIELD_POINTS,
        name,
        point.relaxed,
        axis=parameters.axis,
        field_V_per_A=point.field_V_per_A,
        state=point.state.value,
        released_eV=point.released_eV,
        inputs=[before],
    )


class DefectSinglePointParameters(DefectParameters):
    """A relaxed structure that another potential computes as it is; a pair that is none any more is left out."""

    of: str
    recombination_radius_A: float | None = None

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        return identifier("result", SINGLE_POINT_KIND, self.potential.identity, self.of)


class DefectSinglePointTask(IonloopTask):
    """Compute the reference energy of one relaxed structure."""

    _fw_name = "ionloop.defect-single-point"
    parameters_type = DefectSinglePointParameters

    def execute(self, parameters: DefectSinglePointParameters, context: TaskContext) -> Outcome:
        """Compute unless the store has it, or there is nothing to compute."""
        store, name = context.store, parameters.identifier
        relaxed = known_result(store, parameters.of)
        if relaxed is None:
            raise JobFailed("the structure that this single point is for was not relaxed")
        radius_A = parameters.recombination_radius_A
        if not RELAXATIONS.read(relaxed).converged or (radius_A is not None and not is_whole_pair(relaxed, radius_A)):
            return Outcome(reason="the defect recombined or did not converge: nothing to compute")
        if store.results.get(name) is None:
            atoms = relaxed_atoms(store, relaxed, parameters.crystal(context))
            with context.measure("label"):
                energy_eV = _finite_energy_eV(store, parameters.potential, atoms)
            store.results.replace(_energy_record(parameters, name, energy_eV, [parameters.of]))
        return Outcome(outputs={"result": name})


class MetalParameters(DefectParameters):
    """The mobile element as a metal: repetitions of its cubic cell."""

    repeat: int

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        return identifier("result", SINGLE_POINT_KIND, self.potential.identity, "metal", self.mobile, self.repeat)


class MetalTask(ResultTask):
    """Compute the reference energy of the mobile element's metal, per atom, at its measured lattice constant."""

    _fw_name = "ionloop.defect-metal"
    parameters_type = MetalParameters
    measured_as = "label"

    def compute(self, parameters: MetalParameters, context: TaskContext) -> ResultRecord:
        """Compute the energy."""

        from ase.build import bulk as crystal_of_element

        metal = crystal_of_element(parameters.mobile, cubic=True).repeat(parameters.repeat)
        energy_eV = _finite_energy_eV(context.store, parameters.potential, metal) / len(metal)
        return _energy_record(parameters, parameters.identifier, energy_eV, [])


def _finite_energy_eV(store: Store, potential: Potential, atoms: Atoms) -> float:
    energy_eV = float(open_potential(store, potential).get_property("energy", atoms))
    if not np.isfinite(energy_eV):
        raise JobFailed(f"the energy of {atoms.get_chemical_formula()} is not a finite number")
    return energy_eV


def _energy_record(parameters: DefectParameters, name: str, energy_eV: float, inputs: list[str]) -> ResultRecord:
    return new_result(
        parameters,
        name,
        SINGLE_POINTS,
        parameters.potential,
        inputs=inputs,
        values=EnergyValues(energy_eV=energy_eV),
    )
