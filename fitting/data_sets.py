"""Labelled configurations, the sets that potentials are fitted to, and their extended-XYZ files.

Numbers are written with all their digits, so that a set read back is bit for bit the set written and has the
same content hash. Virials are written as nine plain numbers: ASE would write a 3x3 array as JSON, which QUIP
ignores without a word.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.data import atomic_numbers
from ase.io import iread
from ase.io.extxyz import key_val_str_to_dict
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from pydantic import ValidationError

from ..errors import InputError
from .settings import Regularisation

ISOLATED_ATOM = "isolated_atom"
_ISOLATED_SPELLINGS = frozenset({ISOLATED_ATOM, "isolatedatom", "isolated"})
LABELLED_BY = "labelled_by"
"""Entry of a frame that names the engine and its settings."""
POSITION_DECIMALS = 8
"""Decimals (Å) to which two wrapped positions must agree for two structures to count as the same."""


@dataclass(frozen=True)
class ExtxyzKeys:
    """Names of the labels in an extended-XYZ file; stress = -virial / volume."""

    energy: str = "REF_energy"
    forces: str = "REF_forces"
    stress: str = "REF_stress"
    virial: str = "REF_virial"
    charges: str = "REF_charges"
    dipole: str = "REF_dipole"
    config_type: str = "config_type"
    identifier: str = "identifier"


DEFAULT_KEYS = ExtxyzKeys()


@dataclass(frozen=True, eq=False)
class BareConfiguration:
    """One structure that is yet to be labelled, with the names of :class:`LabelledConfiguration`."""

    atoms: Atoms
    identifier: str
    config_type: str = "default"


@dataclass(frozen=True, eq=False)
class LabelledConfiguration:
    """One structure with its reference energy and forces; arrays are copied and made read-only.

    Parameters
    ----------
    atoms : structure; only elements, cell, periodicity and positions are kept
    energy : total energy (eV)
    forces : shape [n_atoms, 3] (eV/Å)
    stress : shape [6], ASE's sign and Voigt order (eV/Å³), or None
    identifier : name used in messages and files; no spaces or quotes
    config_type : group, by which the regularisation can differ
    regularisation : expected errors of this configuration alone; None takes the settings'
    labelled_by : name of the engine and its settings; None where it is not known. Not part of the content
    charges : shape [n_atoms] (e), or None; written and read, never fitted, not part of the content
    dipole : shape [3] (e Å), or None; as the charges

    Raises
    ------
    InputError
        If a shape does not fit the structure or a name cannot be written to a file.
    """

    atoms: Atoms
    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    identifier: str
    config_type: str = "default"
    regularisation: Regularisation | None = None
    labelled_by: str | None = None
    charges: np.ndarray | None = None
    dipole: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("identifier", "config_type"):
            value = getattr(self, name)
            if not value or any(character.isspace() or character in "\"'={}" for character in value):
                raise InputError(
                    f"{name} {value!r} of a configuration must be one word, without quotes, '=' and braces"
                )
        bare = Atoms(
            numbers=self.atoms.numbers,
            positions=self.atoms.positions,
            cell=self.atoms.cell,
            pbc=self.atoms.pbc,
        )
        object.__setattr__(self, "atoms", bare)
        object.__setattr__(self, "energy", float(self.energy))
        object.__setattr__(self, "forces", self._checked("forces", self.forces, (len(bare), 3)))
        for name, shape in (("stress", (6,)), ("charges", (len(bare),)), ("dipole", (3,))):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, self._checked(name, values, shape))

    def _checked(self, name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
        array = np.array(values, dtype=np.float64)
        if array.shape != shape:
            raise InputError(
                f"{name} of configuration {self.identifier!r} have the shape {array.shape}; needed is {shape}"
            )
        array.setflags(write=False)
        return array

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atoms)

    @property
    def virial(self) -> np.ndarray | None:
        """Virial (eV), shape [3, 3]: the negative stress times the volume; None without a stress."""
        if self.stress is None:
            return None
        return -voigt_6_to_full_3x3_stress(self.stress) * self.atoms.get_volume()

    def structure_key(self) -> bytes:
        """Return a digest of elements, cell and wrapped positions, equal for equal structures."""
        periodic = self.atoms.pbc
        positions = self.atoms.get_positions(wrap=bool(periodic.any()), eps=10.0**-POSITION_DECIMALS)
        digest = hashlib.sha256()
        digest.update(self.atoms.numbers.astype("<i8").tobytes() + periodic.tobytes())
        for array in (self.atoms.cell.array, positions):
            # Adding zero turns -0.0 into 0.0, which compare equal but have other bytes.
            digest.update((np.round(array, POSITION_DECIMALS) + 0.0).astype("<f8").tobytes())
        return digest.digest()

    def content_digest(self) -> bytes:
        """Return a digest of everything that enters a fit, and of the identifier."""
        digest = hashlib.sha256()
        regularisation = "" if self.regularisation is None else self.regularisation.model_dump_json()
        digest.update("\0".join((self.identifier, self.config_type, regularisation, "")).encode())
        digest.update(self.atoms.numbers.astype("<i8").tobytes() + self.atoms.pbc.tobytes())
        stress = np.zeros(0) if self.stress is None else self.stress
        for array in (
            self.atoms.cell.array,
            self.atoms.positions,
            self.forces,
            stress,
            np.array(self.energy),
        ):
            digest.update((array + 0.0).astype("<f8").tobytes() + b"|")
        return digest.digest()


@dataclass(frozen=True, eq=False)
class DataSet:
    """An ordered set of labelled configurations and the energies of the isolated atoms (eV, by element)."""

    configurations: tuple[LabelledConfiguration, ...]
    isolated_atom_energies: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "configurations", tuple(self.configurations))
        energies = {symbol: float(energy) for symbol, energy in sorted(self.isolated_atom_energies.items())}
        object.__setattr__(self, "isolated_atom_energies", MappingProxyType(energies))

    def __len__(self) -> int:
        return len(self.configurations)

    def __iter__(self) -> Iterator[LabelledConfiguration]:
        return iter(self.configurations)

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols present, by atomic number."""
        present = {symbol for configuration in self for symbol in configuration.atoms.symbols.species()}
        return tuple(sorted(present, key=atomic_numbers.__getitem__))

    @property
    def content_hash(self) -> str:
        """SHA-256 (hexadecimal) of all that enters a fit, in its order; survives writing and reading."""
        digest = hashlib.sha256()
        for symbol, energy in self.isolated_atom_energies.items():
            digest.update(f"{symbol} {energy + 0.0!r}\n".encode())
        for configuration in self:
            digest.update(configuration.content_digest())
        return digest.hexdigest()


def mean_energy_per_atom(configurations: Sequence[LabelledConfiguration]) -> dict[str, float]:
    """Return the mean energy per atom (eV) under the name of every element present.

    A stand-in for isolated-atom energies where the data come without them: energies then count from the mean
    of the data, and the potential says nothing about dissociation.
    """
    mean = float(np.mean([configuration.energy / configuration.n_atoms for configuration in configurations]))
    return dict.fromkeys(DataSet(tuple(configurations)).elements, mean)


def format_extxyz(
    configuration: LabelledConfiguration,
    keys: ExtxyzKeys = DEFAULT_KEYS,
    *,
    info: Mapping[str, str] | None = None,
    columns: Mapping[str, np.ndarray] | None = None,
) -> str:
    """Return one frame of an extended-XYZ file.

    ``info`` are further entries of the comment line, ``columns`` further real columns of shape [n_atoms].
    """
    atoms = configuration.atoms
    columns = {**({} if configuration.charges is None else {keys.charges: configuration.charges}), **(columns or {})}
    properties = ["species:S:1", "pos:R:3", f"{keys.forces}:R:3", *(f"{name}:R:1" for name in columns)]
    comment = [
        f'Lattice="{_plain(atoms.cell.array)}"',
        f"Properties={':'.join(properties)}",
        f"{keys.energy}={configuration.energy!r}",
    ]
    if configuration.stress is not None:
        comment.append(f'{keys.stress}="{_plain(configuration.stress)}"')
        comment.append(f'{keys.virial}="{_plain(configuration.virial)}"')
    if configuration.dipole is not None:
        comment.append(f'{keys.dipole}="{_plain(configuration.dipole)}"')
    comment.append(f"{keys.config_type}={_as_text(configuration.config_type)}")
    comment.append(f"{keys.identifier}={_as_text(configuration.identifier)}")
    if configuration.labelled_by is not None:
        comment.append(f"{LABELLED_BY}={_as_text(configuration.labelled_by)}")
    if configuration.regularisation is not None:
        comment.extend(_regularisation_entries(configuration.regularisation))
    comment.extend(f"{name}={value}" for name, value in (info or {}).items())
    comment.append(f'pbc="{" ".join("T" if periodic else "F" for periodic in atoms.pbc)}"')
    table = np.column_stack([atoms.positions, configuration.forces, *columns.values()])
    rows = [f"{symbol} {_plain(row)}" for symbol, row in zip(atoms.symbols, table, strict=True)]
    return "\n".join([str(len(atoms)), " ".join(comment), *rows]) + "\n"


def write_extxyz(path: Path, data_set: DataSet, keys: ExtxyzKeys = DEFAULT_KEYS) -> None:
    """Write a data set; isolated atoms come first, as one-atom frames of the type ``isolated_atom``."""
    frames = [
        format_extxyz(_isolated_atom(symbol, energy), keys)
        for symbol, energy in data_set.isolated_atom_energies.items()
    ]
    frames.extend(format_extxyz(configuration, keys) for configuration in data_set)
    write_text_durably(path, "".join(frames))


def write_text_durably(path: Path, text: str) -> None:
    """Write a text file under a temporary name, flush it to the disk and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_extxyz(
    path: Path,
    keys: ExtxyzKeys = DEFAULT_KEYS,
    isolated_atom_energies: Mapping[str, float] | None = None,
) -> DataSet:
    """Read a data set; one-atom frames of the type ``isolated_atom`` become isolated-atom energies.

    Parameters
    ----------
    path : extended-XYZ file
    keys : names of the labels
    isolated_atom_energies : energies (eV) that go before those of the file

    Raises
    ------
    InputError
        If the file cannot be read, or frames lack energy or forces; all of them are named at once.
    """
    configurations: list[LabelledConfiguration] = []
    isolated: dict[str, float] = {}
    isolated_by: set[str] = set()
    problems: list[str] = []
    for index, atoms in enumerate(_frames(path)):
        try:
            configuration = _from_atoms(atoms, keys, fallback_identifier=f"{path.stem}-{index}")
        except InputError as error:
            problems.append(f"frame {index}: {error}")
            continue
        if configuration.n_atoms == 1 and configuration.config_type.lower() in _ISOLATED_SPELLINGS:
            isolated[str(atoms.symbols[0])] = configuration.energy
            isolated_by.update(filter(None, [configuration.labelled_by]))
        else:
            configurations.append(configuration)
    if problems:
        shown = problems[:10] + ([f"... and {len(problems) - 10} more"] if len(problems) > 10 else [])
        raise InputError(f"{path} cannot be used as training data:\n  " + "\n  ".join(shown))
    _check_isolated_reference(path, isolated_by, {one.labelled_by for one in configurations if one.labelled_by})
    return DataSet(tuple(configurations), {**isolated, **(isolated_atom_energies or {})})


def read_structures(path: Path, keys: ExtxyzKeys = DEFAULT_KEYS) -> tuple[BareConfiguration, ...]:
    """Read the structures of a file whatever their labels; isolated atoms are left out.

    Raises
    ------
    InputError
        If the file cannot be read or holds no structures.
    """
    found = []
    for index, atoms in enumerate(_frames(path)):
        config_type = _word(atoms.info.get(keys.config_type), "default")
        if len(atoms) == 1 and config_type.lower() in _ISOLATED_SPELLINGS:
            continue
        bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        identifier = _word(atoms.info.get(keys.identifier), f"{path.stem}-{index}")
        found.append(BareConfiguration(bare, identifier, config_type))
    if not found:
        raise InputError(f"{path} holds no structures")
    return tuple(found)


def _check_isolated_reference(path: Path, isolated: set[str], configurations: set[str]) -> None:
    """Refuse energies of isolated atoms from a reference that labelled none of the configurations."""
    foreign = sorted(isolated - configurations)
    if foreign and configurations:
        raise InputError(
            f"the isolated atoms in {path} were labelled by {', '.join(foreign)}, the configurations by "
            f"{', '.join(sorted(configurations))}: energies would count from the zero of another reference; leave "
            "the isolated atoms of one out"
        )


def _frames(path: Path) -> Iterable[Atoms]:
    try:
        yield from iread(path, index=":", format="extxyz")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    # ASE's reader raises whatever a malformed file leads it to, its own XYZError only sometimes.
    except Exception as error:
        raise InputError(f"{path} is not a readable extended-XYZ file: {error}") from error


def _from_atoms(atoms: Atoms, keys: ExtxyzKeys, fallback_identifier: str) -> LabelledConfiguration:
    energy, forces = _find(atoms, keys.energy, "energy"), _find(atoms, keys.forces, "forces")
    missing = [key for key, value in ((keys.energy, energy), (keys.forces, forces)) if value is None]
    if missing:
        available = sorted({*atoms.info, *atoms.arrays, *(atoms.calc.results if atoms.calc else ())})
        raise InputError(
            f"{' and '.join(missing)} missing; the frame has {', '.join(available)}; name the keys of energy and forces"
        )
    return LabelledConfiguration(
        atoms=atoms,
        energy=float(energy),
        forces=forces,
        stress=_stress(atoms, keys),
        identifier=_word(atoms.info.get(keys.identifier), fallback_identifier),
        config_type=_word(atoms.info.get(keys.config_type), "default"),
        regularisation=_read_regularisation(atoms.info),
        labelled_by=_word(atoms.info.get(LABELLED_BY), "") or None,
        charges=atoms.arrays.get(keys.charges),
        dipole=atoms.info.get(keys.dipole),
    )


def _find(atoms: Atoms, key: str, property_name: str) -> Any:
    """Return a label from wherever ASE's reader put it, or None."""
    for values in (atoms.info, atoms.arrays):
        if key in values:
            return values[key]
    if atoms.calc is not None and key == property_name:
        try:
            return atoms.calc.get_property(property_name, atoms, allow_calculation=False)
        except PropertyNotImplementedError:
            return None
    return None


def _stress(atoms: Atoms, keys: ExtxyzKeys) -> np.ndarray | None:
    stress = _find(atoms, keys.stress, "stress")
    virial = _find(atoms, keys.virial, "virial")
    if stress is None and virial is None:
        return None
    if stress is None:
        if atoms.cell.rank < 3:
            raise InputError(f"{keys.virial} is given, but the cell has no volume")
        stress = -_matrix(virial, keys.virial) / atoms.get_volume()
        return full_3x3_to_voigt_6_stress(stress)
    stress = np.asarray(stress, dtype=float)
    return stress if stress.shape == (6,) else full_3x3_to_voigt_6_stress(_matrix(stress, keys.stress))


def _matrix(values: Any, key: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.size != 9:
        raise InputError(f"{key} has {array.size} numbers; needed are nine")
    return array.reshape(3, 3)


def _isolated_atom(symbol: str, energy: float) -> LabelledConfiguration:
    return LabelledConfiguration(
        atoms=Atoms([symbol], positions=np.zeros((1, 3)), cell=np.eye(3) * 20.0, pbc=False),
        energy=energy,
        forces=np.zeros((1, 3)),
        stress=None,
        identifier=f"{ISOLATED_ATOM}-{symbol}",
        config_type=ISOLATED_ATOM,
    )


_TEXT_PREFIX = "text:"


def _as_text(word: str) -> str:
    """Return a word so written that readers do not take it for a number ('12e45') or a truth value."""
    parsed = key_val_str_to_dict(f"key={word}")["key"]
    return word if isinstance(parsed, str) and parsed == word else _TEXT_PREFIX + word


def _word(value: Any, fallback: str) -> str:
    return fallback if value is None else "_".join(str(value).split()).removeprefix(_TEXT_PREFIX)


def _plain(values: Any) -> str:
    """Return numbers as text with all their digits."""
    return " ".join(repr(value) for value in np.asarray(values, dtype=np.float64).ravel().tolist())


_SIGMA_FIELDS = {
    "sigma_energy_per_atom": "energy_eV_per_atom",
    "sigma_force": "force_eV_per_A",
    "sigma_virial_per_atom": "virial_eV_per_atom",
}
_ELEMENT_PREFIX = "sigma_force_"


def _regularisation_entries(regularisation: Regularisation) -> list[str]:
    entries = [f"{key}={getattr(regularisation, name)!r}" for key, name in _SIGMA_FIELDS.items()]
    by_element = regularisation.force_by_element_eV_per_A
    return entries + [f"{_ELEMENT_PREFIX}{symbol}={sigma!r}" for symbol, sigma in by_element.items()]


def _read_regularisation(info: Mapping[str, Any]) -> Regularisation | None:
    values: dict[str, Any] = {name: info[key] for key, name in _SIGMA_FIELDS.items() if key in info}
    by_element = {
        key.removeprefix(_ELEMENT_PREFIX): value
        for key, value in info.items()
        if key.startswith(_ELEMENT_PREFIX) and key.removeprefix(_ELEMENT_PREFIX) in atomic_numbers
    }
    if by_element:
        values["force_by_element_eV_per_A"] = by_element
    if not values:
        return None
    try:
        return Regularisation(**values)
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(f"its regularisation is not usable: {details}") from None
