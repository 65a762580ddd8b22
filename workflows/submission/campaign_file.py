"""Read a campaign file: every problem at once, with file, line, key, value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ase import Atoms

from ...core.errors import IonloopError
from ...core.settings import FrozenSettings
from ...fitting.kinds.base import ModelKind, UnusableFile
from ...fitting.kinds.registry import MODELS
from ...sampling.samplers.potentials import ModelFolder
from ...sampling.structures.interface_settings import InterfaceStructure
from ...sampling.structures.slab_settings import SlabStructure
from ..analyses.registry import chosen_analyses
from ..campaign.analyses import Analyses
from ..campaign.problems import ABSENT, CampaignFileError, Key, Problem, closest
from ..campaign.samplers import all_samplers
from ..campaign.settings import Campaign
from ..campaign.systems import System
from ..campaign.validation import touches, validate_campaign
from ..campaign.yaml_lines import YamlDocument, parse_yaml
from .slabs import cut_slab, joined_slabs
from .structure_problems import structure_key, structure_problems

MAX_BYTES = 1_000_000
_OF_SURVEY = "candidates"


def read_campaign(path: str | Path) -> Campaign:
    """Read and check a campaign file, its structure included.

    Raises
    ------
    CampaignFileError
        With every problem that could be found.
    """
    path = Path(path)
    document = read_document(path)
    if _OF_SURVEY in document.data:
        problem = Problem((_OF_SURVEY,), "is a key of a survey file", suggestion=f"ionloop survey {path}")
        raise CampaignFileError(path, located([problem], document))
    campaign, problems = validate_campaign(document.data)
    campaign, more = with_files_read(campaign, path.parent)
    problems += more
    problems = _with_those_of_document(problems, document)
    faulty = {problem.key[0] for problem in problems if problem.key}
    given = {"systems"} if campaign.systems is not None else {"structure"}
    if not faulty & {"structure", "systems"} and given <= document.data.keys():
        problems += [p for p in _structure_problems(campaign, path.parent) if not touches(p, faulty)]
    if problems:
        raise CampaignFileError(path, located(problems, document))
    return campaign


def read_document(path: Path, what: str = "campaign") -> YamlDocument:
    """Return what a file holds: a mapping, with the line of every key.

    Parameters
    ----------
    what
        What it is the file of: ``campaign`` or ``survey``.

    Raises
    ------
    CampaignFileError
        If it cannot be read or holds no mapping.
    """
    document = parse_yaml(_read_text(path, what))
    if not isinstance(document.data, Mapping):
        raise CampaignFileError(path, document.problems or [Problem((), _no_mapping(document, what))])
    return document


def located_problems(problems: Iterable[Problem], document: YamlDocument) -> list[Problem]:
    """Return all problems of a file in the order of their lines, those that the text itself has among them."""
    return located(_with_those_of_document(problems, document), document)


def located(problems: Iterable[Problem], document: YamlDocument) -> list[Problem]:
    """Return problems with their lines, in the order of these."""
    return sorted((_with_line(problem, document) for problem in problems), key=lambda problem: problem.line or 0)


def _with_those_of_document(problems: Iterable[Problem], document: YamlDocument) -> list[Problem]:
    spoiled = {problem.key for problem in document.problems}
    return document.problems + [problem for problem in problems if not _inside(problem.key, spoiled)]


def read_hyperparameters(path: str | Path) -> Campaign:
    """Read the sections of a campaign file that a fit needs (``gap``, ``baseline``); name and structure may lack.

    Raises
    ------
    CampaignFileError
        With every problem that could be found.
    """
    path = Path(path)
    document = read_document(path)
    needed = {"name": "fit"} if "systems" in document.data else {"name": "fit", "structure": "none"}
    campaign, problems = validate_campaign({**needed, **document.data})
    campaign, more = with_files_read(campaign, path.parent)
    problems = document.problems + problems + more
    if problems:
        raise CampaignFileError(path, [_with_line(problem, document) for problem in problems])
    return campaign


def load_structures(campaign: Campaign, folder: str | Path) -> dict[str | None, Atoms]:
    """Return the campaign's structures by system, repeated as it says; relative paths are taken from ``folder``.

    Raises
    ------
    InputError
        If a name is unknown or a file cannot be read.
    """
    return {
        name: load_system_structure(system, folder).repeat(system.supercell)
        for name, system in campaign.all_systems.items()
    }


def load_system_structure(system: System, folder: str | Path) -> Atoms:
    """Return the structure of a system, not yet repeated; a relative path is taken from ``folder``.

    Raises
    ------
    InputError
        If the name is unknown, the file cannot be read, the composition cannot be packed or the slab cannot be cut.
    """
    from ...sampling.structures.crystals import load_frames, load_structure
    from ...sampling.structures.packing import pack

    source = system.structure
    if isinstance(source, str):
        return load_structure(source, Path(folder))
    if isinstance(source, SlabStructure):
        return cut_slab(source.slab, folder).atoms
    if isinstance(source, InterfaceStructure):
        return joined_slabs(source.interface, folder).atoms
    known = source.distances_from
    return pack(source, () if known is None else load_frames(known, Path(folder)))


def with_files_read(campaign: Campaign, folder: Path) -> tuple[Campaign, list[Problem]]:
    """Return the campaign with the content of the files that its models and analyses name, and what is wrong with them.

    Settings of which a file cannot be used come back as they were; they must not be used further.
    """
    update: dict[str, Any] = {}
    problems: list[Problem] = []
    for kind in MODELS.kinds:
        if kind.section is not None and kind.section not in update:
            section = getattr(campaign, kind.section)
            update[kind.section], found = _read(kind, section, folder, (kind.section,))
            problems += found
    if isinstance(campaign.models, Mapping):
        models = {}
        for name, entry in campaign.models.items():
            models[name], found = _read(campaign.kind_of(name), entry, folder, ("models", name))
            problems += [one for one in found if all(one.message != other.message for other in problems)]
        update["models"] = models
    update["analyses"], found = _analyses_read(campaign, folder)
    return campaign.model_copy(update=update), problems + found


def _analyses_read(campaign: Campaign, folder: Path) -> tuple[Analyses, list[Problem]]:
    sections: dict[str, Any] = {}
    problems = []
    for analysis in chosen_analyses(campaign):
        section = getattr(campaign.analyses, analysis.name)
        try:
            read = analysis.with_files_read(analysis.settings(campaign), folder)
        except UnusableFile as error:
            below = (int(part) if part.isdigit() else part for part in error.key)
            key = ("analyses", analysis.name, *below)
            problems.append(Problem(key, f"cannot be used: {error}", value=error.file or ABSENT))
            continue
        if read:
            sections[analysis.name] = section.model_copy(update=dict(read))
    return campaign.analyses.model_copy(update=sections) if sections else campaign.analyses, problems


def _read(kind: ModelKind, settings: FrozenSettings, folder: Path, key: Key) -> tuple[FrozenSettings, list[Problem]]:
    try:
        return kind.with_files_read(settings, folder), []
    except UnusableFile as error:
        (name, *_) = error.key
        default = type(settings).model_fields[name].get_default(call_default_factory=True)
        value = error.file or ABSENT
        problem = Problem((*key, *error.key), f"cannot be used: {error}", value=value)
        return settings.model_copy(update={name: default}), [problem]


def _structure_problems(campaign: Campaign, folder: Path) -> list[Problem]:
    found: dict[str | None, Atoms] = {}
    problems: list[Problem] = []
    for name, system in campaign.all_systems.items():
        try:
            found[name] = load_system_structure(system, folder)
        except (IonloopError, OSError, ValueError) as error:
            # A name that is too long for the file system, or holds a null byte, is refused by the system, not by us.
            problems.append(Problem(structure_key(name), f"cannot be used: {error}", value=system.shown_structure))
    if not found:
        return problems
    return [*problems, *structure_problems(campaign, found), *_folder_problems(campaign, folder, found)]


def _folder_problems(campaign: Campaign, folder: Path, structures: Mapping[str | None, Atoms]) -> Iterator[Problem]:
    """Yield what is wrong with the models in folders that samplers are to be driven by."""
    for _, key, settings in all_samplers(campaign):
        choice = settings.chosen_potential
        if not isinstance(choice, ModelFolder):
            continue
        concerned = [str(key[1])] if key[0] == "systems" else list(structures)
        species = {symbol for name in concerned if name in structures for symbol in structures[name].symbols}
        message = _unusable(folder / choice.folder, species)
        if message:
            yield Problem((*key, "potential", "folder"), message, value=choice.folder)


def _unusable(path: Path, species: set[str]) -> str:
    """Return why a model cannot drive dynamics of these elements, empty if it can or nobody knows."""
    if path.is_file():
        return ""
    try:
        from ...fitting.models import read_manifest

        manifest = read_manifest(path)
        MODELS.get(manifest.kind)
    except (IonloopError, OSError, ValueError) as error:
        return f"cannot be used: {error}"
    missing = sorted(species - set(manifest.elements))
    return f"was fitted without {', '.join(missing)}" if missing else ""


def _read_text(path: Path, what: str) -> str:
    try:
        if path.is_dir():
            raise CampaignFileError(path, [Problem((), f"is a folder; name the {what} file in it")])
        if not path.is_file():
            raise CampaignFileError(path, [_missing_file(path)])
        size = path.stat().st_size
        if size > MAX_BYTES:
            message = f"has {size:,} bytes; a {what} file has at most {MAX_BYTES:,}"
            raise CampaignFileError(path, [Problem((), message)])
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not a text file: byte {error.start} is not UTF-8"
        raise CampaignFileError(path, [Problem((), message)]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CampaignFileError(path, [Problem((), f"cannot be read: {reason}")]) from None


def _missing_file(path: Path) -> Problem:
    if path.is_symlink():
        return Problem((), f"is a link to {path.readlink()}, which does not exist")
    neighbours = [entry.name for entry in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    return Problem((), "does not exist (`ionloop init` writes one)", suggestion=closest(path.name, neighbours))


def _no_mapping(document: YamlDocument, what: str) -> str:
    if document.data is None:
        needed = {"campaign": "name and structure"}.get(what, "name and candidates")
        return f"is empty; a {what} needs at least {needed} (`ionloop init` writes a starter)"
    kind = "a list" if isinstance(document.data, list) else "a single value"
    return f"holds {kind}; a {what} file is a mapping of keys to values, such as `name: demo`"


def _inside(key: Key, prefixes: set[Key]) -> bool:
    return any(key[:length] in prefixes for length in range(1, len(key) + 1))


def _with_line(problem: Problem, document: YamlDocument) -> Problem:
    if problem.line is not None:
        return problem
    # A missing key has no line of its own: point at the section it is missing from.
    for key in (problem.key, *problem.related):
        for length in range(len(key), 0, -1):
            if key[:length] in document.lines:
                return replace(problem, line=document.lines[key[:length]])
    return problem
