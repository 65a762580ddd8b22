"""A library: model folders under names, and what they know, in one folder.

``models/NAME`` is a copy of a model's folder, ``entries/NAME.json`` says what is in it and comes last: what has no
entry is not there, whenever somebody was killed. Nothing is ever changed in place, so that several processes may add
at the same time; of two that add under one name the first one wins.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ase.data import chemical_symbols
from ase.formula import Formula
from pydantic import Field, ValidationError

from ...core.errors import InputError
from ...core.files import explain_os_error, flush, flush_folder, write_whole
from ...core.settings import FrozenSettings
from ..gap_fit import FitLimits
from ..models import MANIFEST_FILE, read_manifest
from ..native.sparse_fit.fit_inputs import FitResources
from .agreement import baseline_values, descriptor_values, labelled_atoms
from .combine import combine_models
from .entries import Entry, chosen_entries, entry_path, read_entry
from .expert import Expert, read_expert
from .settings import MERGING, How
from .sufficiency import Slopes, left_out_errors, slopes_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
SLOPES_VERSION: Final = 1
_MODELS, _COMBINED, _SLOPES = "models", "combined", "slopes"


class Library:
    """Models under names; the folder is made by the first addition.

    Parameters
    ----------
    folder
        Of the library.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def add(self, model: Path, name: str) -> Entry:
        """Copy a model into the library; the same one under the same name changes nothing, or repairs it.

        Raises
        ------
        InputError
            If the name is none or belongs to another model, or the model is not whole or cannot be combined.
        IonloopError
            If the folder cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"--name: {name!r} is no name for a model: 1 to 80 letters, digits and . _ + -, the first a letter or "
                "a digit"
            )
        expert = read_expert(model, name)
        if (known := self._known(name)) is not None:
            if known.inputs_hash == expert.inputs_hash and self._is_whole(name):
                return known
            if known.inputs_hash != expert.inputs_hash:
                raise InputError(f"--name: {self.folder} has another model called {name}; choose another name")
        entry = entry_of(expert)
        try:
            self._copy(Path(model), name, entry.inputs_hash)
            path = entry_path(self.folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, entry.model_dump_json(indent=1) + "\n")
            flush(path.parent)
        except OSError as error:
            raise explain_os_error(error, self.folder) from error
        return entry

    def remove(self, name: str) -> None:
        """Take a model out, and what was combined from it here; a damaged entry goes too.

        The entry goes first: what has none is not there, whenever the removal was killed. Models and campaigns that
        were made of it elsewhere keep their own copies.

        Raises
        ------
        InputError
            If the library has none of that name.
        IonloopError
            If the folder cannot be written.
        """
        if not self.has(name):
            chosen_entries(self.folder, (name,))
        entry, model = entry_path(self.folder, name), self.model(name)
        try:
            entry.unlink(missing_ok=True)
            if entry.parent.is_dir():
                flush(entry.parent)
            for folder in (model, *self._combined_of(name)):
                shutil.rmtree(folder, ignore_errors=not folder.is_dir())
        except OSError as error:
            raise explain_os_error(error, self.folder) from error

    def has(self, name: str) -> bool:
        """Return whether there is something of that name, be it whole or not."""
        return bool(_NAME.fullmatch(name)) and (entry_path(self.folder, name).is_file() or self.model(name).is_dir())

    def _combined_of(self, name: str) -> list[Path]:
        found = []
        for folder in (self.folder / _COMBINED).glob("*"):
            try:
                settings = read_manifest(folder, verify=False).settings
            except InputError:
                continue
            if name in getattr(settings, "of", ()):
                found.append(folder)
        return found

    def experts(self, names: Sequence[str] = ()) -> tuple[Expert, ...]:
        """Return the models of some names, or all; files are compared with their checksums.

        Raises
        ------
        InputError
            As `chosen_entries`, or if a model is damaged.
        """
        return tuple(read_expert(self.model(entry.name), entry.name) for entry in chosen_entries(self.folder, names))

    def model(self, name: str) -> Path:
        """Return the folder of a model."""
        return self.folder / _MODELS / name

    def slopes(self, experts: Sequence[Expert], resources: FitResources) -> Slopes:
        """Return the errors over novelty that these experts have shown, measured once.

        Raises
        ------
        InputError
            If there is too little to measure anything.
        """
        key = key_of(experts, "slopes", SLOPES_VERSION)
        path = self.folder / _SLOPES / f"{key}.json"
        try:
            return _Slopes.model_validate_json(path.read_bytes()).slopes()
        except (OSError, ValidationError):
            found = slopes_of(left_out_errors(experts, resources))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = _Slopes(by_element=found.by_element, lowest=found.lowest, highest=found.highest)
            write_whole(path, content.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise explain_os_error(error, self.folder) from error
        return found

    def model_of(self, experts: Sequence[Expert], how: How, threshold: float, limits: FitLimits | None = None) -> Path:
        """Return the folder of a model of some experts, which is fitted once; of a single one it is its own.

        Raises
        ------
        InputError
            If they cannot be combined.
        """
        if len(experts) == 1 and experts[0].folder is not None:
            return experts[0].folder
        folders = [expert.folder for expert in experts if expert.folder is not None]
        out = self.folder / _COMBINED / key_of(experts, how, threshold if how == MERGING else None)
        combine_models(
            folders, out, names=[expert.name for expert in experts], how=how, threshold=threshold, limits=limits
        )
        return out

    def _known(self, name: str) -> Entry | None:
        path = entry_path(self.folder, name)
        return read_entry(path) if path.is_file() else None

    def _is_whole(self, name: str) -> bool:
        try:
            read_manifest(self.model(name))
        except InputError:
            return False
        return True

    def _copy(self, model: Path, name: str, inputs_hash: str) -> None:
        target = self.model(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{name}.{secrets.token_hex(6)}")
        try:
            temporary.mkdir()
            for file in [*read_manifest(model, verify=False).files, MANIFEST_FILE]:
                shutil.copyfile(model / file, temporary / file)
            read_manifest(temporary)
            flush_folder(temporary)
            try:
                temporary.rename(target)
            except OSError:
                self._take_the_place_of(target, temporary, inputs_hash)
            flush(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _take_the_place_of(self, target: Path, temporary: Path, inputs_hash: str) -> None:
        """Let the same model stay that another process has put there; another one without an entry makes way."""
        try:
            there = read_manifest(target).inputs_hash
        except InputError:
            there = ""
        if there == inputs_hash:
            return
        known = self._known(target.name)
        if known is not None and known.inputs_hash != inputs_hash:
            raise InputError(f"--name: {self.folder} has another model called {target.name}; choose another name")
        leftover = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
        target.rename(leftover)
        temporary.rename(target)
        shutil.rmtree(leftover, ignore_errors=True)


class _Slopes(FrozenSettings):
    """Measured slopes as a file (eV/Å)."""

    by_element: dict[str, float] = Field(description="Least squares (eV/Å)")
    lowest: dict[str, float] = Field(description="Of single materials (eV/Å)")
    highest: dict[str, float] = Field(description="Of single materials (eV/Å)")

    def slopes(self) -> Slopes:
        """Return what they are."""
        return Slopes(self.by_element, self.lowest, self.highest)


def key_of(experts: Sequence[Expert], *parts: object) -> str:
    """Return a digest of what some experts and settings are, whatever their order and names."""
    inputs = [sorted(expert.inputs_hash for expert in experts), *parts]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:24]


def entry_of(expert: Expert) -> Entry:
    """Return what a library keeps of an expert."""
    assert expert.folder is not None
    manifest = read_manifest(expert.folder, verify=False)
    formulas = Counter(Formula(one.atoms.get_chemical_formula()).reduce()[0].format("metal") for one in expert.data_set)
    errors = manifest.leave_out_errors or manifest.training_errors
    try:
        environments = {
            symbol: tuple((one.identifier, one.atom) for one in found) for symbol, found in expert.environments.items()
        }
    except InputError:
        environments = None
    return Entry(
        name=expert.name,
        inputs_hash=expert.inputs_hash,
        kind=manifest.kind,
        elements=expert.elements,
        compositions=dict(formulas.most_common()),
        configurations=len(expert.data_set),
        references=expert.references,
        isolated_atom_energies_eV={
            symbol: expert.data_set.isolated_atom_energies[symbol] for symbol in expert.elements
        },
        computed_isolated_atoms=tuple(sorted(labelled_atoms(expert))),
        descriptors=descriptor_values(expert.settings),
        baseline=None if expert.baseline is None else baseline_values(expert.baseline),
        points=_points_by_element(expert),
        environments=environments,
        force_rmse_eV_per_A=None if errors is None else errors.force_eV_per_A,
        energy_rmse_eV_per_atom=None if errors is None else errors.energy_eV_per_atom,
    )


def _points_by_element(expert: Expert) -> dict[str, int]:
    return {chemical_symbols[key[0]]: len(expert.points.of(key)) for key in expert.points.keys if len(key) == 1}
