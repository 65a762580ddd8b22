"""A store with a small campaign in it, for what reads stores: queries, reports, exports, commands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from ionloop.analysis.errors import ErrorStatistics, ModelErrors
from ionloop.fitting.gap_fit import POTENTIAL_LABEL
from ionloop.labelling.settings import settings_hash
from ionloop.states import State
from ionloop.store.connection import Store, open_store
from ionloop.store.identifiers import configuration_hash, identifier
from ionloop.store.records import (
    CampaignRecord,
    ConfigurationRecord,
    DataSetRecord,
    LabelRecord,
    ModelRecord,
    Origin,
    ResultRecord,
    Structure,
    TrajectoryRecord,
    now,
)
from ionloop.workflows.campaign import Campaign

CAMPAIGN = "small"
HOSTILE = "<script>alert('label')</script> & \x1b[31mred"
ISOLATED = {"Li": -5.0, "P": -60.0, "S": -90.0}
CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
EXPONENTS = {"Li": 0.7888, "P": 1.5603, "S": 1.6422}


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
        content = configuration_hash(atoms)
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


SUITES = ("cluster", "dft")
"""Folders whose tests are a suite of their own, and its marker."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the folders that need more than Python packages."""
    for item in items:
        for suite in SUITES:
            if f"tests/{suite}/" in item.path.as_posix():
                item.add_marker(suite)


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
    return builder.store
