"""Print the processor time of one look at a large campaign, and of the commands that only look.

    python benchmarks/looking.py [--labels 4000] [--jobs 10000] [--repeats 5]

`ionloop run` looks twice a second. Times are those of user and system together, the least of several: what else runs on
the machine only adds. Beside them stands how often `import numpy` goes into them, turn by turn on the same machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ase import Atoms
from ase.build import bulk

from ionloop.core.states import State
from ionloop.core.structures import structure_hash
from ionloop.labelling.registry import read_settings
from ionloop.labelling.settings import settings_hash
from ionloop.store.connection import Store, open_store
from ionloop.store.identifiers import identifier
from ionloop.store.queries.rows import engine_hash, reference_hash
from ionloop.store.records import CampaignRecord, ConfigurationRecord, LabelRecord, Origin, Structure
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.watching.status import campaign_status

NAME = "large"
REFERENCE = {"engine": "command", "calculator": "ase.calculators.emt:EMT"}
PER_GENERATION = 200
COMMANDS = (
    ["--help"],
    ["status"],
    ["failures"],
    ["query", "labels"],
    ["query", "labels", "energy<0", "--aggregate", "mean:energy"],
    ["pause"],
    ["resume"],
    ["worker"],
)
NUMPY = [sys.executable, "-c", "import numpy"]
CAMPAIGN_FILE = "name: small\nstructure: li7p3s11\nanalyses: {conductivity: {}, barriers: {}, frenkel: {}}\n"


def crystal(seed: int) -> Atoms:
    atoms = bulk("Al", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=seed)
    return atoms


def fill(store: Store, labels: int, jobs: int) -> None:
    settings = Campaign.model_validate({"name": NAME, "structure": "structure.extxyz", "reference": REFERENCE})
    engine = settings_hash(read_settings(settings.model_dump(mode="json")["reference"]))
    structure = Structure.from_atoms(crystal(0))
    with store.transaction():
        store.campaigns.add(
            CampaignRecord(
                id=NAME,
                campaign=NAME,
                settings=settings.model_dump(mode="json"),
                structure=structure,
                file="/campaign.yaml",
            )
        )
        # As a submission does: who reads then needs no engine.
        reference_hash(store, store.campaigns[NAME])
        for index in range(labels):
            add_label(store, crystal(index + 1), engine, index)
        for number in range(jobs):
            key = f"generation-{number // PER_GENERATION}/label/configuration-{number}"
            spec = {"campaign": NAME, "key": key, "kind": "label", "generation": number // PER_GENERATION}
            state = "COMPLETED" if number < jobs - 50 else "WAITING"
            store.database.fireworks.insert_one({"fw_id": number + 1, "state": state, "spec": spec, "launches": []})


def add_label(store: Store, atoms: Atoms, engine: str, index: int) -> None:
    content, generation = structure_hash(atoms), index // PER_GENERATION
    configuration = ConfigurationRecord(
        id=identifier("config", NAME, content),
        campaign=NAME,
        generation=generation,
        structure=Structure.from_atoms(atoms),
        formula=atoms.get_chemical_formula(),
        origin=Origin(sampler="molecular-dynamics", index=index),
        content_hash=content,
    )
    store.configurations.add(configuration)
    store.labels.add(
        LabelRecord(
            id=identifier("label", content, engine),
            campaign=NAME,
            generation=generation,
            content_hash=content,
            configuration=configuration.id,
            engine="command",
            settings_hash=engine,
            state=State.FINISHED,
            energy=-1.0,
            forces=[[0.0, 0.0, 0.0]] * len(atoms),
        )
    )


def processor_s(command: list[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_times(words: list[str], environment: dict[str, str], repeats: int) -> None:
    command = [sys.executable, "-m", "ionloop.cli", *words]
    pairs = [(processor_s(command, environment), processor_s(NUMPY, environment)) for _ in range(repeats)]
    ratio = statistics.median(one / numpy for one, numpy in pairs)
    print(f"  ionloop {' '.join(words):60} {min(one for one, _ in pairs):5.2f}   {ratio:4.1f} × import numpy")


def looks_s(store: Store, repeats: int) -> list[float]:
    found = []
    for _ in range(repeats):
        before = time.process_time()
        campaign_status(store, NAME)
        found.append(time.process_time() - before)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=4000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(str(Path(folder) / "ionloop.db"))
        fill(store, arguments.labels, arguments.jobs)
        size = f"{arguments.labels} labels, {arguments.jobs} jobs"
        first, *others = looks_s(store, arguments.repeats + 1)
        print(f"a look, {size}: {first:.2f} s at first, {min(others):.3f} s then")
        # One more label: what changed is read again, nothing else.
        add_label(store, crystal(arguments.labels + 1), engine_hash(store.campaigns[NAME]), 0)
        print(f"a look after one more label: {looks_s(store, 1)[0]:.3f} s")
        small = open_store(str(Path(folder) / "small.db"))
        fill(small, 10, 20)
        for opened in (small, store):
            opened.close()
            environment = {**os.environ, "IONLOOP_STORE": opened.location, "OMP_NUM_THREADS": "1"}
            print(f"commands, {'20' if opened is small else arguments.jobs} jobs (s of processor time)")
            for words in COMMANDS:
                print_times(words, environment, arguments.repeats)
        file = Path(folder) / "campaign.yaml"
        file.write_text(CAMPAIGN_FILE)
        environment.pop("IONLOOP_STORE")
        print_times(["check", str(file)], environment, arguments.repeats)


if __name__ == "__main__":
    main()
