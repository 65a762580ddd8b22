"""One glass: packed, molten, cooled, held, relaxed; killed anywhere it carries on from its frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import GPa

from ...analysis.glasses.quench import QuenchCurves, glass_means, joined, quench_curves
from ...analysis.glasses.settings import GlassSettings, PlannedGlass, Size
from ...analysis.glasses.start import glass_start
from ...analysis.screening.cells import RelaxedCell, relax_cell
from ...core.errors import AtomsCoincide
from ...core.files import atomic_file
from ...sampling.guard import ContactGuard
from ...sampling.integrators import CALCULATOR_FAILED
from ...sampling.molecular_dynamics_settings import MolecularDynamicsSettings
from ...sampling.networks.species import classify
from ...sampling.relaxation import Collapsed, RelaxationError, relax_and_rattle
from ...sampling.relaxation_settings import RelaxationSettings
from ...sampling.structures.packing import density_of_g_per_cm3
from ...sampling.trajectory import each_frame, read_frames
from ...store.identifiers import derive_seed, identifier
from ...store.records import Artefact, ResultRecord, TrajectoryRecord
from ..base import IonloopTask, JobFailed, Outcome, TaskParameters
from ..context import TaskContext
from ..initial import starting_structure
from ..results import STRUCTURE, Potential, known_result, load_arrays, new_result, open_potential, save_arrays
from ..sample import DynamicsParameters, run_trajectory, trajectory_identifier
from ..values.glasses import GLASS, GlassValues

FOLDER = "glasses"
_CURVE_UNITS = {
    "time_ps": "ps",
    "thermostat_K": "K",
    "temperature_K": "K",
    "density_g_per_cm3": "g/cm³",
    "energy_eV_per_atom": "eV/atom",
}


class GlassParameters(TaskParameters):
    """Which glass of which potential.

    Settings that say how many glasses there are, of which rates and sizes, are no part of what one glass is: more of
    them leave those that are there as they are.
    """

    potential: Potential
    settings: GlassSettings
    size: Size
    quench_K_per_ps: float
    number: int
    seed: int

    @property
    def planned(self) -> PlannedGlass:
        """Its size, rate and number."""
        return PlannedGlass(self.size, self.quench_K_per_ps, self.number)

    @property
    def identity(self) -> tuple[object, ...]:
        """What its identifiers derive from."""
        left_out = {"models", "glasses", "quench_K_per_ps", "sizes", "network"}
        settings = self.settings.model_dump(mode="json", exclude=left_out)
        size = self.size if isinstance(self.size, int) else list(self.size)
        place = (self.campaign, self.generation, *self.of_system, self.potential.identity)
        return (*place, settings, size, self.quench_K_per_ps, self.number, self.seed)

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is made."""
        return identifier("result", GLASS.name, *self.identity, self.settings.network.model_dump(mode="json"))

    @property
    def own_seed(self) -> int:
        """Its seed: that of all glasses, its size, rate and number."""
        return derive_seed(self.seed, FOLDER, self.planned.text)

    def trajectory_name(self, stage: str) -> str:
        """Return what tells the trajectory of a stage, melt, quench or glass, from all others of the campaign."""
        return f"{FOLDER}/{self.potential.kind}/{self.planned.text}/{stage}/{identifier('run', *self.identity)}"

    def trajectory(self, stage: str) -> str:
        """Return the identifier of that trajectory."""
        return trajectory_identifier(self.campaign, self.generation, self.trajectory_name(stage), self.system)


class _NoStart(Exception):
    """The potential moves a packing's atoms onto each other."""

    def __init__(self, atoms: Atoms, reason: str) -> None:
        super().__init__(reason)
        self.atoms, self.reason = atoms, reason


class GlassTask(IonloopTask):
    """Make one glass; one that breaks is a result that says so, and stops nothing."""

    _fw_name = "ionloop.glass"
    resumable = True
    parameters_type = GlassParameters

    def execute(self, parameters: GlassParameters, context: TaskContext) -> Outcome:
        """Make it unless the store has it whole."""
        known = known_result(context.store, parameters.identifier)
        if known is None:
            with context.measure("sample"):
                known = self._made(parameters, context)
            context.store.results.replace(known)
        values = GLASS.read(known)
        told = values.broken or f"{values.density_g_per_cm3:.3f} g/cm³, {values.energy_eV_per_atom:.4f} eV/atom"
        return Outcome(reason=told, outputs={"result": known.id})

    def _made(self, parameters: GlassParameters, context: TaskContext) -> ResultRecord:
        calculator = open_potential(context.store, parameters.potential)
        try:
            start = _start(parameters, context, calculator)
        except _NoStart as error:
            return _broken(parameters, error.atoms, f"in the packing: {error.reason}", [])
        rate = parameters.quench_K_per_ps
        melt = _run(parameters, context, "melt", start, parameters.settings.melt, calculator)
        if melt.state != "completed":
            return _broken(parameters, start, f"in the melt: {melt.reason}", [melt.id])
        molten = _last_frame(context, melt)
        quench = _run(parameters, context, "quench", molten, parameters.settings.quench(rate), calculator)
        inputs = [melt.id, quench.id]
        if quench.state != "completed":
            return _broken(parameters, start, f"while it was cooled: {quench.reason}", inputs)
        cold = _last_frame(context, quench)
        # A trajectory of its own: others look at it, and its mean cell is that of the glass.
        glass = _run(parameters, context, "glass", cold, parameters.settings.glass, calculator)
        inputs.append(glass.id)
        if glass.state != "completed":
            return _broken(parameters, start, f"while it was held: {glass.reason}", inputs)
        on_the_way = _curves(context, quench, parameters.settings.quench(rate))
        held = _curves(context, glass, parameters.settings.glass)
        try:
            at_rest = _relaxed(parameters, _last_frame(context, glass), calculator)
        except Collapsed as error:
            return _broken(parameters, start, f"at rest: {error.reason}", inputs)
        return self._recorded(parameters, context, (on_the_way, held), at_rest, inputs)

    @staticmethod
    def _recorded(
        parameters: GlassParameters,
        context: TaskContext,
        curves: tuple[QuenchCurves, QuenchCurves],
        at_rest: tuple[RelaxedCell, float],
        inputs: list[str],
    ) -> ResultRecord:
        relaxed, energy_eV = at_rest
        settings, atoms = parameters.settings, relaxed.atoms
        values = GlassValues(
            **_of_plan(parameters, len(atoms)),
            density_g_per_cm3=density_of_g_per_cm3(atoms),
            energy_eV_per_atom=energy_eV / len(atoms),
            relaxation_steps=relaxed.steps,
            converged=relaxed.converged,
            held=glass_means(curves[1], settings.first_glass_frame),
            **_anions(atoms, settings),
        )
        name = parameters.identifier
        return new_result(
            parameters,
            name,
            GLASS,
            parameters.potential,
            inputs=inputs,
            values=values,
            units=_CURVE_UNITS,
            artefacts={
                "curves": save_arrays(context.store, FOLDER, name, joined(*curves)._asdict()),
                STRUCTURE: _written(context, parameters, atoms, values, energy_eV),
            },
        )


def _of_plan(parameters: GlassParameters, atoms: int) -> dict[str, Any]:
    planned = parameters.planned
    return {
        "name": planned.text,
        "size": planned.size_text,
        "atoms": atoms,
        "quench_K_per_ps": planned.quench_K_per_ps,
        "number": planned.number,
        "seed": parameters.own_seed,
        "cooling_ps": parameters.settings.quench_ps(planned.quench_K_per_ps),
    }


def _anions(atoms: Atoms, settings: GlassSettings) -> dict[str, Any]:
    """Return the anions of the glass at rest; nothing where it has no centres."""
    found = classify(atoms, settings.network)
    if not found.n_centres:
        return {}
    return {
        "centres_percent": found.percent_of_centres(by_family=True),
        "species_percent": found.percent_of_centres(),
        "bridges_percent": found.percent_by_bridges,
        "free_percent": {name: 100.0 * count / found.n_centres for name, count in found.free_ligands.items()},
        "imbalance_e": found.imbalance_e,
    }


def _broken(parameters: GlassParameters, start: Atoms, why: str, inputs: list[str]) -> ResultRecord:
    values = GlassValues(**_of_plan(parameters, len(start)), broken=why)
    return new_result(parameters, parameters.identifier, GLASS, parameters.potential, inputs=inputs, values=values)


def _start(parameters: GlassParameters, context: TaskContext, calculator: Calculator) -> Atoms:
    """Return what is molten: made once, so that a trajectory that goes on begins with the same atoms, bit for bit."""
    store = context.store
    name = f"{identifier('start', *parameters.identity)}-start"
    path = store.artefacts.folder(FOLDER) / f"{name}.npz"
    if path.exists():
        arrays = load_arrays(store, store.artefacts.register(path))
        return Atoms(arrays["numbers"], positions=arrays["positions"], cell=arrays["cell"], pbc=True)
    system = starting_structure(context, parameters.campaign, parameters.system)
    settings, seed = parameters.settings, parameters.own_seed
    atoms = glass_start(system, settings, parameters.size, derive_seed(seed, "packing") % 2**31)
    brief = RelaxationSettings(
        steps=settings.start.relaxation_steps,
        rattle_A=0.0,
        maximum_displacement_A=5.0,
        contacts=ContactGuard(covalent_fraction=0.0),
    )
    try:
        atoms = relax_and_rattle(atoms, calculator, settings=brief, seed=seed)
    except Collapsed as error:
        raise _NoStart(atoms, error.reason) from error
    except RelaxationError as error:
        raise JobFailed(str(error)) from error
    arrays = {"numbers": atoms.numbers, "positions": atoms.positions, "cell": atoms.cell.array}
    save_arrays(store, FOLDER, name, arrays)
    return atoms


def _run(
    parameters: GlassParameters,
    context: TaskContext,
    stage: str,
    atoms: Atoms,
    dynamics: MolecularDynamicsSettings,
    calculator: Calculator,
) -> TrajectoryRecord:
    """Run a stage, or carry it on; velocities are drawn at its first temperature.

    Raises
    ------
    JobFailed
        If the calculator failed: it may have more time in another attempt.
    """
    place = {"campaign": parameters.campaign, "generation": parameters.generation, "system": parameters.system}
    job = DynamicsParameters(**place, dynamics=dynamics, seed=derive_seed(parameters.own_seed, stage))
    record = run_trajectory(
        context,
        job,
        name=parameters.trajectory_name(stage),
        atoms=atoms,
        calculator=lambda: calculator,
        driver=parameters.potential.kind,
        replica=parameters.number,
    )
    if CALCULATOR_FAILED in record.reason:
        raise JobFailed(record.reason)
    return record


def _curves(context: TaskContext, record: TrajectoryRecord, dynamics: MolecularDynamicsSettings) -> QuenchCurves:
    # Frame by frame: a slow quench of a large glass is gigabytes.
    return quench_curves(each_frame(context.store.artefacts.path(record.artefact.path)), dynamics)


def _last_frame(context: TaskContext, record: TrajectoryRecord) -> Atoms:
    frame = read_frames(context.store.artefacts.path(record.artefact.path), start=record.frames - 1)[-1]
    return Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)


def _relaxed(parameters: GlassParameters, atoms: Atoms, calculator: Calculator) -> tuple[RelaxedCell, float]:
    """Return the glass at rest at its pressure, and its energy (eV)."""

    from ...analysis.fixed_cell_relaxation import RelaxationFailed

    settings = parameters.settings
    start = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    try:
        relaxed = relax_cell(
            start,
            calculator,
            pressure_eV_per_A3=settings.pressure_GPa * GPa,
            force_eV_per_A=settings.relaxation.force_eV_per_A,
            steps=settings.relaxation.steps,
            keeps_shape=settings.barostat.cell == "isotropic",
        )
    except AtomsCoincide as error:
        raise Collapsed(str(error)) from error
    except RelaxationFailed as error:
        raise JobFailed(f"the glass could not be relaxed: {error}") from error
    still = relaxed.atoms.copy()
    still.calc = calculator
    return relaxed, float(still.get_potential_energy())


def _written(
    context: TaskContext, parameters: GlassParameters, atoms: Atoms, values: GlassValues, energy_eV: float
) -> Artefact:
    """Write the glass as extended XYZ, under a name that people can read, with how it was made."""

    from ase.io import write

    store, planned = context.store, parameters.planned
    told = planned.text.replace("/", "-")
    path = store.artefacts.folder(FOLDER) / f"{parameters.potential.kind}-{told}-{parameters.identifier[-12:]}.xyz"
    shown = atoms.copy()
    shown.wrap()
    shown.info = {
        "energy_eV": energy_eV,
        "density_g_per_cm3": values.density_g_per_cm3,
        "quench_K_per_ps": planned.quench_K_per_ps,
        "glass": planned.number,
        "seed": values.seed,
        "potential": parameters.potential.kind,
        "ionloop_result": parameters.identifier,
    }
    with atomic_file(path) as temporary:
        write(temporary, shown, format="extxyz", columns=["symbols", "positions"])
    return store.artefacts.register(path)


def load_curves(store: Any, record: ResultRecord) -> QuenchCurves:
    """Return the curves of a glass's quench."""
    arrays = load_arrays(store, record.artefacts["curves"])
    return QuenchCurves(**{name: np.asarray(arrays[name]) for name in QuenchCurves._fields})
