"""What a campaign made, as folders that other programs run: LAMMPS, QUIP, or the labels as extended XYZ.

A folder is written beside its place under a temporary name, flushed to the disk and renamed; one that holds
anything already is refused. Every folder has a README that says what it is and a list of checksums.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers
from ase.db import connect
from ase.io import write as write_structure
from ase.io.lammpsdata import write_lammps_data
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ... import __version__
from ...core.errors import InputError, IonloopError
from ...core.files import explain_os_error, flush_folder, sha256_of
from ...core.names import CONCLUSION, ISOLATED_ATOM
from ...core.states import State
from ...fitting.data_sets import DataSet, isolated_atom, write_extxyz
from ...fitting.electrostatics.registry import baseline_in, kind_of_baseline
from ...fitting.gap_fit import POTENTIAL_FILE
from ...fitting.kinds.base import ModelKind
from ...fitting.kinds.registry import MODELS
from ...fitting.models import MANIFEST_FILE
from ...fitting.settings import CommonBaselineSettings
from ...sampling.samplers.base import CommonSamplerSettings
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.queries.labelled import labelled
from ...store.queries.latest import latest
from ...store.queries.rows import labels_by_configuration, unknown_value
from ...store.records import CampaignRecord, ConfigurationRecord, ModelRecord
from ...tasks.results import structure_files
from ...tasks.values.loop import CONCLUSIONS
from ..campaign.samplers import equilibrium_temperature_K, exploring_samplers
from ..campaign.settings import Sampling, stored_campaign

CHECKSUM_FILE = "SHA256SUMS"
README_FILE = "README.md"
STRUCTURE_FILE = "structure"
BASELINE_FILE = "baseline.streitz"
TRAINING_FILE = "labels.xyz"
DATABASE_FILE = "labels.db"

COULOMB_CUTOFF_A = 12.0
# The Slater correction falls off as exp(-2ζR); at the cutoff this much of it may be left.
CORRECTION_LEFT = 1e-8
# LAMMPS wants an exponent for every species in coul/streitz; with this one a cloud is a point beyond 0.2 Å.
POINT_CHARGE_EXPONENT_PER_A = 50.0
EWALD_ACCURACY = 1e-6


class Target(StrEnum):
    """What an export is for."""

    LAMMPS = "lammps"
    QUIP = "quip"
    EXTXYZ = "extxyz"
    ASE_DATABASE = "ase-db"
    STRUCTURES = "structures"


@dataclass(frozen=True)
class Coulomb:
    """LAMMPS' part of an ES-GAP: the style and its cutoff (Å), charges (e) and exponents (1/Å) by species."""

    style: str
    cutoff_A: float
    charges: dict[str, float]
    exponents: dict[str, float]


def export(store: Store, name: str | None, target: Target, folder: Path | None, model: str | None = None) -> Path:
    """Write an export of the campaign and return its folder.

    Parameters
    ----------
    folder
        Where to; None: a folder of the campaign's and the target's name here.
    model
        A model's name or identifier; None: the one of the highest rank, an es-gap before a gap.

    Raises
    ------
    InputError
        If there is no such campaign or model, the folder holds something already or cannot be written.
    IonloopError
        If files of the model are missing or damaged, or there is no finished label.
    """
    record = find_campaign(store, name)
    place = (folder or Path(f"{record.id}-{target.value}")).absolute()
    if target in (Target.EXTXYZ, Target.ASE_DATABASE):
        data_set = finished_labels(store, record)
        file, write_labels = (
            (TRAINING_FILE, write_extxyz) if target is Target.EXTXYZ else (DATABASE_FILE, write_ase_database)
        )
        with new_folder(place) as temporary:
            write_labels(temporary / file, data_set)
            is_database = target is Target.ASE_DATABASE
            _finish(temporary, "export_labels.md.j2", record, data_set=data_set, file=file, is_database=is_database)
        return place
    if target is Target.STRUCTURES:
        _export_structures(store, record, place)
        return place
    chosen = choose_model(store, record, model)
    kind = MODELS.get(chosen.kind_of_model)
    if not kind.is_quip_potential and target.value not in kind.exports:
        able = ", ".join([*kind.exports, Target.EXTXYZ.value, Target.ASE_DATABASE.value])
        raise InputError(f"models of the kind {kind.name} cannot be written for {target.value}; there are {able}")
    under = None if chosen.baseline is None else kind_of_baseline(chosen.baseline)
    if under is not None and not under.has_species_charges and target.value not in kind.exports:
        raise InputError(
            f"{target.value} cannot evaluate {under.name} charges: only ionloop's calculators evaluate models on them; "
            f"there are {Target.EXTXYZ.value}, {Target.ASE_DATABASE.value}"
        )
    files = whole_files(store, chosen)
    with new_folder(place) as temporary:
        if target.value in kind.exports:
            _write_by_kind(temporary, record, store.artefacts.path(chosen.path), kind, target)
        elif target is Target.LAMMPS:
            _write_lammps(temporary, record, chosen, files)
        else:
            _write_quip(temporary, record, chosen, files)
    return place


def _export_structures(store: Store, record: CampaignRecord, place: Path) -> None:
    """Copy the structures that analyses made."""
    _refuse_occupied(place)
    files = structure_files(store, record.id)
    if not files:
        raise IonloopError(f"campaign {record.id!r} has no result that is a structure: no analysis of it made one")
    with new_folder(place) as temporary:
        for path in files:
            shutil.copy2(path, temporary)
        _finish(temporary, "export_structures.md.j2", record, files=[path.name for path in files])


def write_ase_database(path: Path, data_set: DataSet) -> None:
    """Write labelled configurations as a database that ASE reads (`ase.db.connect`), one row each."""
    with connect(path, append=False) as database:
        for item in data_set:
            atoms = item.atoms.copy()
            atoms.calc = SinglePointCalculator(atoms, energy=item.energy, forces=item.forces, stress=item.stress)
            database.write(atoms, identifier=item.identifier, config_type=item.config_type)


def choose_model(store: Store, record: CampaignRecord, wanted: str | None) -> ModelRecord:
    """Return the campaign's model of that kind or identifier: the final one, else that of the last generation.

    Raises
    ------
    InputError
        If the campaign has none.
    """
    models = sorted(store.models.find({"campaign": record.id}), key=lambda model: model.generation)
    if not models:
        raise InputError(f"campaign {record.id!r} has no model yet; see `ionloop status {record.id}`")
    by_id = {model.id: model for model in models}
    if wanted in by_id:
        return by_id[wanted]
    ranks = {model.kind: _rank(model) for model in models}
    kinds = sorted(ranks, key=lambda name: (-ranks[name], name))
    kind = kinds[0] if wanted is None else wanted
    if kind not in kinds:
        raise unknown_value("model", kind, [*kinds, *by_id])
    conclusion = latest(store, record.id, CONCLUSION)
    final = None if conclusion is None else CONCLUSIONS.read(conclusion).models.get(kind)
    if final in by_id:
        return by_id[final]
    return [model for model in models if model.kind == kind][-1]


def _rank(model: ModelRecord) -> float:
    """Return the rank of a model's kind, below all others where that is not installed here."""
    return MODELS.get(model.kind_of_model).rank if model.kind_of_model in MODELS else -math.inf


def whole_files(store: Store, model: ModelRecord) -> list[Path]:
    """Return the model's files after comparing their checksums.

    Raises
    ------
    IonloopError
        If a file is missing or damaged.
    """
    damaged = [file.path for file in model.files if not store.artefacts.is_whole(file)]
    if damaged:
        raise IonloopError(
            f"model {model.id} is damaged: {', '.join(damaged)} missing or changed; "
            "run the campaign again to fit it anew"
        )
    return [store.artefacts.path(file.path) for file in model.files]


def finished_labels(store: Store, record: CampaignRecord) -> DataSet:
    """Return all finished labels of the campaign, with the energies of isolated atoms.

    Raises
    ------
    IonloopError
        If there is none.
    """
    configurations = list(store.configurations.find({"campaign": record.id}))
    labels = labels_by_configuration(store, configurations)
    finished = [
        (configuration, labels[configuration.id])
        for configuration in configurations
        if configuration.id in labels and labels[configuration.id].state is State.FINISHED
    ]
    crystal = [pair for pair in finished if not _is_isolated(pair[0])]
    if not crystal:
        raise IonloopError(f"campaign {record.id!r} has no finished label yet; see `ionloop status {record.id}`")
    return DataSet(
        tuple(labelled(*pair) for pair in crystal),
        isolated_atoms=tuple(
            isolated_atom(configuration.formula, label.energy)
            for configuration, label in finished
            if _is_isolated(configuration) and label.energy is not None
        ),
    )


def _is_isolated(configuration: ConfigurationRecord) -> bool:
    return configuration.origin.sampler == ISOLATED_ATOM


def coulomb_part(baseline: CommonBaselineSettings) -> Coulomb:
    """Return how LAMMPS evaluates the baseline: Slater clouds as coul/streitz, point charges as coul/long.

    With electronegativity, hardness, gamma and core charge zero, coul/streitz is the interaction of the Slater
    charge clouds alone (Streitz, Mintmire, Phys. Rev. B 1994, 50, 11996, 10.1103/PhysRevB.50.11996).
    """
    charges = dict(sorted(baseline.charges.items()))
    if not baseline.exponents:
        return Coulomb("coul/long", COULOMB_CUTOFF_A, charges, {})
    decayed_A = -math.log(CORRECTION_LEFT) / (2.0 * min(baseline.exponents.values()))
    exponents = {symbol: baseline.exponents.get(symbol, POINT_CHARGE_EXPONENT_PER_A) for symbol in charges}
    return Coulomb("coul/streitz", max(COULOMB_CUTOFF_A, math.ceil(decayed_A)), charges, exponents)


def potential_label(potential: Path) -> str:
    """Return the label by which QUIP finds a potential in its XML file.

    Raises
    ------
    IonloopError
        If the file holds no potential.
    """
    try:
        element = ElementTree.parse(potential).getroot().find("Potential")
    except ElementTree.ParseError as error:
        raise IonloopError(f"{potential} is not a potential: {error}") from error
    label = None if element is None else element.get("label")
    if not label:
        raise IonloopError(f"{potential} holds no Potential element with a label")
    return label


def _write_by_kind(folder: Path, record: CampaignRecord, model: Path, kind: ModelKind, target: Target) -> None:
    """Let a kind write its model, with what it says of its use as README."""
    text = kind.export(target.value, model, record.structure.to_atoms(), folder)
    title = f"# {kind.look.label} of the campaign {record.id}, for {target.value}"
    (folder / README_FILE).write_text(f"{title}\n\n{text.strip()}\n", encoding="utf-8")
    _write_checksums(folder)


def _write_lammps(folder: Path, record: CampaignRecord, model: ModelRecord, files: list[Path]) -> None:
    """Write data file, input deck, potential and baseline; all beside one another, where LAMMPS is started."""
    for path in files:
        if path.name.startswith(POTENTIAL_FILE) or path.name == MANIFEST_FILE:
            shutil.copy2(path, folder)
    atoms = record.structure.to_atoms()
    others = {name: record.systems[name].to_atoms() for name in list(record.systems)[1:]}
    symbols = {symbol for one in (atoms, *others.values()) for symbol in one.get_chemical_symbols()}
    species = sorted(symbols, key=atomic_numbers.__getitem__)
    coulomb = None
    if model.baseline is not None:
        coulomb = coulomb_part(baseline_in(model.baseline))
        for one in (atoms, *others.values()):
            one.set_initial_charges([coulomb.charges[symbol] for symbol in one.get_chemical_symbols()])
        if coulomb.style == "coul/streitz":
            _render_to(folder / BASELINE_FILE, "lammps_baseline.j2", coulomb=coulomb, species=species)
    # Types of atoms are the same in all of them: the input deck reads any.
    for name, one in {"": atoms, **{f"-{name}": one for name, one in others.items()}}.items():
        write_lammps_data(
            folder / f"{STRUCTURE_FILE}{name}.data",
            one,
            specorder=species,
            masses=True,
            units="metal",
            atom_style="charge",
        )
    campaign = stored_campaign(record.settings)
    explored = exploring_samplers(campaign.explore_of(next(iter(campaign.all_systems))), campaign.sampling)
    values = {
        "coulomb": coulomb,
        "species": species,
        "numbers": [atomic_numbers[symbol] for symbol in species],
        "label": potential_label(folder / POTENTIAL_FILE),
        "model": model,
        "temperature_K": equilibrium_temperature_K(campaign) or Sampling().temperature_K,
        # Of the first sampler that is dynamics at all.
        "timestep_ps": _first(explored, "timestep_fs", Sampling().timestep_fs) / 1000.0,
        "damping_ps": 1.0 / _first(explored, "friction_per_ps", Sampling().friction_per_ps),
        "seed": 1 + model.seed % 900_000_000,
        "accuracy": EWALD_ACCURACY,
    }
    _render_to(folder / "in.lammps", "lammps_input.j2", record=record, version=__version__, **values)
    _finish(folder, "export_lammps.md.j2", record, **values)


def _first(samplers: Iterable[CommonSamplerSettings], name: str, otherwise: float) -> float:
    """Return a number of the first sampler that has one of that name."""
    return next((float(getattr(one, name)) for one in samplers if hasattr(one, name)), otherwise)


def _write_quip(folder: Path, record: CampaignRecord, model: ModelRecord, files: list[Path]) -> None:
    """Write the whole model folder, which ionloop can load again, and a structure to try it on."""
    for path in files:
        shutil.copy2(path, folder)
    write_structure(folder / f"{STRUCTURE_FILE}.xyz", record.structure.to_atoms(), format="extxyz")
    for name in list(record.systems)[1:]:
        write_structure(folder / f"{STRUCTURE_FILE}-{name}.xyz", record.systems[name].to_atoms(), format="extxyz")
    _finish(
        folder,
        "export_quip.md.j2",
        record,
        model=model,
        label=potential_label(folder / POTENTIAL_FILE),
        structure=f"{STRUCTURE_FILE}.xyz",
    )


def _render_to(path: Path, template: str, **values: Any) -> None:
    # Text for programs and for people to read in an editor: nothing here is HTML.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    path.write_text(environment.get_template(template).render(**values), encoding="utf-8")


def _finish(folder: Path, readme: str, record: CampaignRecord, **values: Any) -> None:
    _render_to(folder / README_FILE, readme, record=record, version=__version__, **values)
    _write_checksums(folder)


def _write_checksums(folder: Path) -> None:
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / CHECKSUM_FILE).write_text("".join(lines), encoding="utf-8")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``; on success flush and rename it, on failure remove it.

    Raises
    ------
    InputError
        If ``folder`` is there and not empty.
    IonloopError
        If the disk is full or the folder cannot be written.
    """
    _refuse_occupied(folder)
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        temporary.chmod(0o755)
        yield temporary
        flush_folder(temporary)
        # A folder replaces an empty one in one step, and nothing else.
        temporary.replace(folder)
        temporary = None
    except OSError as error:
        _refuse_occupied(folder)
        raise explain_os_error(error, folder) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds something already" if folder.is_dir() else "is a file"
        raise InputError(f"{folder} {what}; name another folder with --output, or remove it")
