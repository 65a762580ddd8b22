"""Foreign labelled data into the store: configurations, finished labels and a data set, all or nothing, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ...core.errors import InputError
from ...core.names import ISOLATED_ATOM
from ...core.states import State
from ...core.structures import structure_hash
from ...fitting.consistency import check_one_reference, version_in
from ...fitting.data_sets import DataSet, LabelledConfiguration
from ...fitting.reading import FileUnits, LabelFile, LabelKeys, LabelRequest, read_labels
from ...fitting.reading.labels import check_units
from ...fitting.reading.repeats import ENERGY_TOLERANCE_EV, FORCE_TOLERANCE_EV_PER_A, STRESS_TOLERANCE_EV_PER_A3
from ...labelling.checks import result_objection, structure_objection
from ...labelling.common_settings import CommonSettings
from ...labelling.outcome import Evaluation
from ...labelling.registry import EngineSettings, engine_of, read_settings
from ...labelling.settings import physics_of, settings_hash
from ...store.connection import Store
from ...store.queries.labelled import reference_of
from ...store.queries.rows import engine_hash
from ...store.records import CampaignRecord, DataSetRecord, LabelRecord, Origin, Structure
from ...store.reference_guard import check_one_setting, differing_settings
from ...tasks.assess import data_set_identifier
from ...tasks.base import TaskParameters
from ...tasks.label import add_configuration, configuration_identifier, label_identifier
from ..campaign.settings import Campaign
from ..submission.submission import software_versions

SAMPLER_PREFIX = "imported-"
_SHOWN = 10


@dataclass(frozen=True)
class ImportRequest:
    """What is to be imported, as what.

    Attributes
    ----------
    engine
        The settings that the labels are recorded under.
    campaign
        The campaign of the configurations; made if it is new.
    skip_unusable
        Leave out frames that no label may be (forces too large, atoms too close); else they stop the import.
    check_units
        Stop where units or signs look wrong.
    """

    path: Path
    engine: EngineSettings
    campaign: str
    keys: LabelKeys = field(default_factory=LabelKeys)
    units: FileUnits = field(default_factory=FileUnits)
    skip_unusable: bool = False
    check_units: bool = True


@dataclass(frozen=True)
class ImportSummary:
    """What an import did."""

    campaign: str
    reference: str
    data_set: str
    frames: int
    new_labels: int
    known_labels: int
    repeated: int
    skipped: tuple[str, ...]
    isolated_atoms: tuple[str, ...]
    with_stress: int
    elements: tuple[str, ...]
    file: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportableLabels:
    """What a file holds that can be imported.

    Attributes
    ----------
    request
        What was asked for.
    file
        The file as read.
    data_set
        Its usable configurations.
    skipped
        A line for each that is left out.
    entries
        What becomes records.
    repeated
        How many configurations repeat others.
    """

    request: ImportRequest
    file: LabelFile
    data_set: DataSet
    skipped: tuple[str, ...]
    entries: tuple[_Entry, ...]
    repeated: int


def read_importable(request: ImportRequest) -> ImportableLabels:
    """Read a file of labels and see that it can be imported.

    Raises
    ------
    InputError
        If it cannot: keys missing, units or signs doubtful, labels that no engine's would pass as, or one structure
        with two answers.
    """
    # Single labels are held against the engine's limits here, so that --skip-unusable can leave them out.
    file = read_labels(request.path, LabelRequest(request.keys, request.units, check_units=False, keep_unusable=True))
    usable, skipped = _usable(file, request)
    data_set = replace(file.data_set, configurations=tuple(usable))
    if request.check_units:
        check_units(request.path, data_set)
    check_one_reference(usable, [] if request.check_units else ["unnamed"])
    entries, repeated = _records(usable, data_set, request)
    return ImportableLabels(request, file, data_set, tuple(skipped), tuple(entries), repeated)


def import_labels(
    store: Store, importable: ImportableLabels, progress: Callable[[int, int], None] = lambda done, total: None
) -> ImportSummary:
    """Bring labels into the store; a second import of the same file changes nothing.

    ``progress`` is told how many configurations of how many are in.

    Raises
    ------
    InputError
        If the store has another answer for one of the structures, or the campaign another reference. Nothing is
        stored then.
    """
    request, file, data_set = importable.request, importable.file, importable.data_set
    labels, usable = importable.entries, data_set.configurations
    campaign = _campaign(store, request, usable[0].atoms)
    with store.transaction():
        new = _new_labels(store, labels)
        store.campaigns.add(campaign)
        for number, one in enumerate(labels):
            progress(number, len(labels))
            add_configuration(store, TaskParameters(campaign=campaign.id, generation=0), one.atoms, one.origin)
        for one in new:
            # An unconverged attempt of the same reference must give way.
            store.labels.replace(one.label)
        frozen = _freeze(store, request, labels, data_set)
    return ImportSummary(
        campaign=campaign.id,
        reference=reference_of(labels[0].label),
        data_set=frozen.id,
        frames=file.n_frames - len(file.isolated),
        new_labels=len(new),
        known_labels=len(labels) - len(new),
        repeated=importable.repeated + len(file.repeated),
        skipped=importable.skipped,
        isolated_atoms=tuple(str(one.atoms.symbols[0]) for one in data_set.isolated_atoms),
        with_stress=sum(one.stress is not None for one in usable),
        elements=data_set.elements,
        file=file.summary,
    )


def _usable(file: LabelFile, request: ImportRequest) -> tuple[list[LabelledConfiguration], list[str]]:
    """Return the configurations that pass the checks of computed labels, and a line for each that does not."""
    configurations = file.data_set.configurations
    usable, problems = [], []
    for frame, one in zip(file.frames, configurations, strict=True):
        objection = label_objection(one, request.engine)
        if objection is None:
            usable.append(one)
        else:
            problems.append(f"frame {frame} ({one.identifier}): {objection}")
    if problems and (not request.skip_unusable or not usable):
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise InputError(
            f"{request.path}: {len(problems)} of {len(configurations)} labels cannot be used; check keys and units, or "
            "leave them out with --skip-unusable:\n  " + "\n  ".join([*problems[:_SHOWN], *more])
        )
    return usable, problems


def label_objection(one: LabelledConfiguration, settings: CommonSettings) -> str | None:
    """Say why a foreign label would not have passed as one of ours, or return None."""
    if one.forces is None:
        return "it has no forces, which every label of a campaign has"
    structure = structure_objection(one.atoms, settings)
    if structure is not None:
        return structure
    found = result_objection(one.atoms, Evaluation(one.energy, one.forces, one.stress), settings)
    return None if found is None else found[1].replace("the engine gave", "the file has")


def _campaign(store: Store, request: ImportRequest, atoms: Atoms) -> CampaignRecord:
    known = store.campaigns.get(request.campaign)
    if known is not None:
        if engine_hash(known) != settings_hash(request.engine):
            theirs = physics_of(read_settings(known.settings["reference"]))
            lines = differing_settings(theirs, physics_of(request.engine))
            raise InputError(
                f"campaign {known.id!r} has another reference ({theirs['engine']}): labels of two references must not "
                "mix; import into a campaign of another name (--campaign), or say that its own settings computed these "
                "labels (--reference FILE):\n  " + "\n  ".join(lines)
            )
        return known
    campaign = Campaign.model_validate(
        {
            "name": request.campaign,
            "structure": str(request.path.resolve()),
            "mobile": "Li" if "Li" in atoms.symbols else str(atoms.symbols[0]),
            "reference": request.engine.model_dump(mode="json"),
        }
    )
    return CampaignRecord(
        id=campaign.name,
        campaign=campaign.name,
        settings=campaign.model_dump(mode="json"),
        structure=Structure.from_atoms(atoms),
        file=str(request.path.resolve()),
        state=State.FINISHED,
        reason="imported data, no jobs",
        versions=software_versions(campaign.model_dump(mode="json")),
    )


@dataclass(frozen=True)
class _Entry:
    """A structure, where it came from, and its label."""

    atoms: Atoms
    origin: Origin
    label: LabelRecord


def _records(
    configurations: Sequence[LabelledConfiguration], data_set: DataSet, request: ImportRequest
) -> tuple[list[_Entry], int]:
    """Return one entry per structure, and how many frames repeat an earlier one.

    Raises
    ------
    InputError
        If two frames hold the same structure with different labels.
    """
    entries: dict[str, _Entry] = {}
    place: dict[str, int] = {}
    for index, one in enumerate(configurations):
        entry = _entry(one.atoms, one, Origin(sampler=_sampler(one, request.path), index=index), request)
        known = entries.setdefault(entry.label.id, entry)
        first = place.setdefault(entry.label.id, index)
        difference = label_difference(known.label, entry.label)
        if difference:
            raise InputError(
                f"{request.path}: configurations {first} and {index} are the same structure with different labels: "
                f"{difference}; the file mixes settings, remove one"
            )
    repeated = len(configurations) - len(entries)
    # What stands in for an isolated atom is no label.
    for atom in data_set.isolated_atoms:
        free = replace(atom, forces=np.zeros((1, 3)), labelled_by=atom.labelled_by or configurations[0].labelled_by)
        bare = Atoms(str(atom.atoms.symbols[0]))
        entry = _entry(bare, free, Origin(sampler=ISOLATED_ATOM), request)
        entries[entry.label.id] = entry
    return list(entries.values()), repeated


def _sampler(one: LabelledConfiguration, path: Path) -> str:
    return one.config_type if one.config_type != "default" else f"{SAMPLER_PREFIX}{'_'.join(path.stem.split())}"


def _entry(atoms: Atoms, one: LabelledConfiguration, origin: Origin, request: ImportRequest) -> _Entry:
    content_hash = structure_hash(atoms)
    settings = request.engine.model_dump(mode="json")
    label = LabelRecord(
        id=label_identifier(content_hash, request.engine),
        campaign=request.campaign,
        content_hash=content_hash,
        configuration=configuration_identifier(request.campaign, content_hash),
        engine=engine_of(request.engine).labelled_by(request.engine),
        engine_version=_engine_version(one, request),
        settings_hash=settings_hash(request.engine),
        state=State.FINISHED,
        energy=one.energy,
        forces=_as_list(one.forces),
        stress=_as_list(one.stress),
        charges=_as_list(one.charges),
        dipole=_as_list(one.dipole),
        weights=None if one.weights is None else one.weights.to_document(),
        regularisation=None if one.regularisation is None else one.regularisation.model_dump(mode="json"),
        attempts=[{"settings": settings, "state": State.FINISHED.value, "reason": "", "wall_time_s": 0.0}],
    )
    return _Entry(atoms, origin, label)


def _as_list(values: np.ndarray | None) -> list | None:
    return None if values is None else values.tolist()


def _engine_version(one: LabelledConfiguration, request: ImportRequest) -> str:
    """Return where a label came from, with the version of the code that its file may name."""
    version = version_in(one.labelled_by or "")
    return f"{version}, imported from {request.path.name}" if version else f"imported from {request.path.name}"


def label_difference(known: LabelRecord, new: LabelRecord) -> str:
    """Say in words how two labels of one structure differ beyond the digits of a file; empty if they do not."""
    if known.energy is None or known.forces is None or new.energy is None or new.forces is None:
        return ""
    energy = abs(known.energy - new.energy)
    if energy > ENERGY_TOLERANCE_EV:
        return f"energies differ by {energy:.3g} eV"
    forces = float(np.abs(np.subtract(known.forces, new.forces)).max())
    if forces > FORCE_TOLERANCE_EV_PER_A:
        return f"forces differ by up to {forces:.3g} eV/Å"
    if (known.weights, known.regularisation) != (new.weights, new.regularisation):
        return "their weights differ"
    if known.stress is None or new.stress is None:
        return ""
    stress = float(np.abs(np.subtract(known.stress, new.stress)).max())
    return f"stresses differ by up to {stress:.3g} eV/Å³" if stress > STRESS_TOLERANCE_EV_PER_A3 else ""


def _new_labels(store: Store, entries: Sequence[_Entry]) -> list[_Entry]:
    """Return the entries whose labels the store lacks.

    Raises
    ------
    InputError
        If the store holds another answer for a structure.
    """
    known = {
        label.id: label
        for label in store.labels.find({"_id": {"$in": [one.label.id for one in entries]}})
        if label.state is State.FINISHED
    }
    different = [
        f"configuration {one.origin.index}: {difference} from label {one.label.id}"
        for one in entries
        if one.label.id in known and (difference := label_difference(known[one.label.id], one.label))
    ]
    if different:
        raise InputError(
            "the store has other labels of the same structures under the same reference; nothing was imported. Give "
            "these another --engine or --method:\n  " + "\n  ".join(different[:_SHOWN])
        )
    return [one for one in entries if one.label.id not in known]


def _freeze(store: Store, request: ImportRequest, entries: Sequence[_Entry], data_set: DataSet) -> DataSetRecord:
    """Record the data set of the file, without its isolated atoms."""
    records = [one.label for one in entries if one.origin.sampler != ISOLATED_ATOM]
    check_one_setting(records)
    names = [label.id for label in records]
    return store.data_sets.add(
        DataSetRecord(
            id=data_set_identifier(request.campaign, names),
            campaign=request.campaign,
            labels=names,
            configurations=[label.configuration for label in records],
            isolated_atom_energies={str(one.atoms.symbols[0]): one.energy for one in data_set.isolated_atoms},
        )
    )
