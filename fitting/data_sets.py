"""Labelled configurations, the sets that potentials are fitted to, and their extended-XYZ files.

Numbers are written with all their digits, so that a set read back is bit for bit the set written and has the
same content hash. Virials are written as nine plain numbers: ASE would write a 3x3 array as JSON, which QUIP
ignores without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.data import atomic_numbers
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from ..core.errors import InputError
from ..core.files import write_whole
from ..core.names import ISOLATED_ATOM_CELL_A, ISOLATED_ATOM_TYPE
from .frame_regularisation import read_regularisation, regularisation_entries
from .label_weights import WEIGHT_KEYS, read_weights, weight_columns, weight_entries
from .label_weights import LabelWeights as LabelWeights
from .settings import Regularisation

ISOLATED_SPELLINGS = frozenset({ISOLATED_ATOM_TYPE, "isolatedatom", "isolated", "isolated_atoms", "single_atom"})
LABELLED_BY = "labelled_by"
"""Entry of a frame that names the engine and its settings."""
STANDS_IN = "stands_in"
"""Entry of an isolated atom's frame whose energy is not a label, but a zero that the others count from."""


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
    """One structure that is yet to be labelled, with the names of `LabelledConfiguration`."""

    atoms: Atoms
    identifier: str
    config_type: str = "default"


@dataclass(frozen=True, eq=False)
class LabelledConfiguration:
    """One structure with its reference energy and, mostly, forces; arrays are copied and made read-only.

    Parameters
    ----------
    atoms
        Structure; only elements, cell, periodicity and positions are kept.
    energy
        Total energy (eV).
    forces
        Shape [n_atoms, 3] (eV/Å), or None where only the energy is known.
    stress
        Shape [6], ASE's sign and Voigt order (eV/Å³), or None.
    identifier
        Name used in messages and files; no spaces or quotes.
    config_type
        Group, by which the regularisation can differ.
    regularisation
        Expected errors of this configuration alone; None takes the settings'.
    labelled_by
        Name of the engine and its settings; None where it is not known. Not part of the content.
    charges
        Shape [n_atoms] (e), or None; fitted where a baseline's settings say so, not part of the content
        (`DataSet.charge_labels_hash`).
    dipole
        Shape [3] (e Å), or None; as the charges.
    weights
        Standard deviations of single labels, which go before all others, and forces that are not fitted; or None.

    Raises
    ------
    InputError
        If a shape does not fit the structure or a name cannot be written to a file.
    """

    atoms: Atoms
    energy: float
    forces: np.ndarray | None
    stress: np.ndarray | None
    identifier: str
    config_type: str = "default"
    regularisation: Regularisation | None = None
    labelled_by: str | None = None
    charges: np.ndarray | None = None
    dipole: np.ndarray | None = None
    weights: LabelWeights | None = None

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
        shapes = {"forces": (len(bare), 3), "stress": (6,), "charges": (len(bare),), "dipole": (3,)}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, self._checked(name, values, shape))
        if self.weights is not None and self.weights.n_atoms not in (None, len(bare)):
            raise InputError(
                f"weights of configuration {self.identifier!r} are for {self.weights.n_atoms} atoms; it has {len(bare)}"
            )

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

    @property
    def molecular_dipole(self) -> np.ndarray | None:
        """Dipole (e Å) that may be fitted, shape [3]: that of a crystal is not defined."""
        return None if self.atoms.pbc.any() else self.dipole

    @property
    def fitted_forces(self) -> np.ndarray:
        """Whether the force on each atom is fitted, shape [n_atoms]."""
        unfitted = None if self.weights is None else self.weights.unfitted_forces
        if self.forces is None:
            return np.zeros(self.n_atoms, dtype=bool)
        return np.ones(self.n_atoms, dtype=bool) if unfitted is None else ~unfitted

    def content_digest(self) -> bytes:
        """Return a digest of everything that enters a fit, and of the identifier."""
        digest = hashlib.sha256()
        regularisation = "" if self.regularisation is None else self.regularisation.model_dump_json()
        digest.update("\0".join((self.identifier, self.config_type, regularisation, "")).encode())
        digest.update(self.atoms.numbers.astype("<i8").tobytes() + self.atoms.pbc.tobytes())
        forces = np.zeros(0) if self.forces is None else self.forces
        stress = np.zeros(0) if self.stress is None else self.stress
        for array in (
            self.atoms.cell.array,
            self.atoms.positions,
            forces,
            stress,
            np.array(self.energy),
        ):
            digest.update((array + 0.0).astype("<f8").tobytes() + b"|")
        if self.weights is not None:
            digest.update(self.weights.content())
        return digest.digest()


@dataclass(frozen=True, eq=False)
class DataSet:
    """An ordered set of labelled configurations, and the isolated atoms that their energies count from.

    Parameters
    ----------
    configurations
        Labelled structures.
    isolated_atom_energies
        Energy by element (eV), the zero of the fit.
    isolated_atoms
        Isolated atoms whose energies are labels: they are fitted as all others are, so that a potential
        gives them back. The energy of an element without one only stands in, as the mean of the data does. Each is
        kept as one atom in open space: cell, forces and stress say nothing about it. `isolated_atom` makes one.

    Raises
    ------
    InputError
        If an isolated atom is none, its element has two, or its energy is not the one in ``isolated_atom_energies``.
    """

    configurations: tuple[LabelledConfiguration, ...]
    isolated_atom_energies: Mapping[str, float] = field(default_factory=dict)
    isolated_atoms: tuple[LabelledConfiguration, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "configurations", tuple(self.configurations))
        labels = self._labels_of_isolated_atoms()
        by_symbol = {**{symbol: one.energy for symbol, one in labels.items()}, **self.isolated_atom_energies}
        energies = {symbol: float(energy) for symbol, energy in sorted(by_symbol.items())}
        object.__setattr__(self, "isolated_atom_energies", MappingProxyType(energies))
        object.__setattr__(self, "isolated_atoms", tuple(labels[symbol] for symbol in sorted(labels)))
        contradicting = [symbol for symbol, one in labels.items() if one.energy != energies[symbol]]
        if contradicting:
            symbol = contradicting[0]
            raise InputError(
                f"the isolated atom of {symbol} has the energy {labels[symbol].energy!r} eV as a label, and "
                f"{energies[symbol]!r} eV as the zero of the others; leave one of them out"
            )

    def _labels_of_isolated_atoms(self) -> dict[str, LabelledConfiguration]:
        found: dict[str, LabelledConfiguration] = {}
        for one in self.isolated_atoms:
            if one.n_atoms != 1:
                raise InputError(f"the isolated atom {one.identifier!r} has {one.n_atoms} atoms")
            symbol = str(one.atoms.symbols[0])
            if symbol in found:
                raise InputError(f"{symbol} has two isolated atoms, {found[symbol].identifier} and {one.identifier}")
            found[symbol] = replace(one, atoms=_in_open_space(symbol), forces=None, stress=None)
        return found

    def __len__(self) -> int:
        return len(self.configurations)

    def __iter__(self) -> Iterator[LabelledConfiguration]:
        return iter(self.configurations)

    @property
    def fitted_configurations(self) -> tuple[LabelledConfiguration, ...]:
        """All that a fit has rows for: the configurations, then the isolated atoms of their elements."""
        return (*self.configurations, *self.fitted_isolated_atoms)

    @property
    def fitted_isolated_atoms(self) -> tuple[LabelledConfiguration, ...]:
        """Isolated atoms of the elements that the configurations hold: a potential knows no others."""
        present = set(self.elements)
        return tuple(one for one in self.isolated_atoms if str(one.atoms.symbols[0]) in present)

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
        for configuration in self.isolated_atoms:
            digest.update(b"isolated atom" + configuration.content_digest())
        return digest.hexdigest()

    def charge_labels_hash(self, *, charges: bool, dipoles: bool) -> str | None:
        """Return a SHA-256 (hexadecimal) of labels that charges are fitted to, None where there are none.

        ``charges`` and ``dipoles`` tell which are fitted: `content_hash` knows neither, as most fits use neither.
        """
        digest, has_any = hashlib.sha256(), False
        for one in self.fitted_configurations:
            for name, values in (
                ("charges", one.charges if charges else None),
                ("dipole", one.molecular_dipole if dipoles else None),
            ):
                if values is not None:
                    has_any = True
                    digest.update(f"{name} of {one.identifier}\0".encode() + (values + 0.0).astype("<f8").tobytes())
        return digest.hexdigest() if has_any else None


def isolated_atom(symbol: str, energy: float) -> LabelledConfiguration:
    """Return an isolated atom with its energy (eV), of the type ``isolated_atom``."""
    return LabelledConfiguration(
        _in_open_space(symbol), energy, None, None, f"{ISOLATED_ATOM_TYPE}-{symbol}", ISOLATED_ATOM_TYPE
    )


def _in_open_space(symbol: str) -> Atoms:
    return Atoms([symbol], positions=np.zeros((1, 3)), cell=np.eye(3) * ISOLATED_ATOM_CELL_A, pbc=False)


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
    table: dict[str, np.ndarray] = {"pos": atoms.positions}
    if configuration.forces is not None:
        table[keys.forces] = configuration.forces
    if configuration.charges is not None:
        table[keys.charges] = configuration.charges
    if configuration.weights is not None:
        table.update(weight_columns(configuration.weights))
    table.update(columns or {})
    properties = ["species:S:1", *(_property(name, values) for name, values in table.items())]
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
        comment.extend(regularisation_entries(configuration.regularisation))
    if configuration.weights is not None:
        comment.extend(weight_entries(configuration.weights))
    comment.extend(f"{name}={value}" for name, value in (info or {}).items())
    comment.append(f'pbc="{_plain(atoms.pbc)}"')
    texts = [atoms.get_chemical_symbols(), *([_plain(row) for row in values] for values in table.values())]
    rows = [" ".join(row) for row in zip(*texts, strict=True)]
    return "\n".join([str(len(atoms)), " ".join(comment), *rows]) + "\n"


def _property(name: str, values: np.ndarray) -> str:
    return f"{name}:{'L' if values.dtype == bool else 'R'}:{1 if values.ndim == 1 else values.shape[1]}"


def write_extxyz(path: Path, data_set: DataSet, keys: ExtxyzKeys = DEFAULT_KEYS) -> None:
    """Write a data set; isolated atoms come first, as one-atom frames of the type ``isolated_atom``.

    Energies that only stand in for those of isolated atoms are marked, and read as such again.
    """
    labelled = {str(one.atoms.symbols[0]): one for one in data_set.isolated_atoms}
    frames = [
        format_extxyz(
            labelled.get(symbol, isolated_atom(symbol, energy)),
            keys,
            info={STANDS_IN: "F" if symbol in labelled else "T"},
        )
        for symbol, energy in data_set.isolated_atom_energies.items()
    ]
    frames.extend(format_extxyz(configuration, keys) for configuration in data_set)
    write_whole(path, "".join(frames))


def read_extxyz(
    path: Path,
    keys: ExtxyzKeys = DEFAULT_KEYS,
    isolated_atom_energies: Mapping[str, float] | None = None,
) -> DataSet:
    """Read a data set; one-atom frames of the type ``isolated_atom`` become its isolated atoms.

    Frames may have an energy alone. Weights of labels are read as gap_fit does (`label_weights.read_weights`).

    Parameters
    ----------
    path
        extended-XYZ file.
    keys
        Names of the labels.
    isolated_atom_energies
        Energies (eV) that stand in the place of those of the file.

    Raises
    ------
    InputError
        If the file cannot be read, or frames lack energies, or all of them forces; all of them are named at once.
    """
    configurations: list[LabelledConfiguration] = []
    isolated = _IsolatedAtoms()
    problems: list[str] = []
    for index, atoms in enumerate(_frames(path)):
        try:
            configuration = _from_atoms(atoms, keys, fallback_identifier=f"{path.stem}-{index}")
            spelled = configuration.config_type.lower() in ISOLATED_SPELLINGS
            if configuration.n_atoms == 1 and (spelled or STANDS_IN in atoms.info):
                isolated.add(configuration, stands_in=bool(atoms.info.get(STANDS_IN, False)))
            else:
                configurations.append(configuration)
        except InputError as error:
            problems.append(f"frame {index}: {error}")
    if problems:
        shown = problems[:10] + ([f"... and {len(problems) - 10} more"] if len(problems) > 10 else [])
        raise InputError(f"{path} cannot be used as training data:\n  " + "\n  ".join(shown))
    check_isolated_reference(path, isolated.references, {one.labelled_by for one in configurations if one.labelled_by})
    given = dict(isolated_atom_energies or {})
    # Files of earlier releases do not say that energies stand in; no atom has the mean energy of the data by chance.
    means = mean_energy_per_atom(configurations) if configurations else {}
    labels = tuple(
        one for symbol, one in isolated.labels.items() if symbol not in given and one.energy != means.get(symbol)
    )
    return DataSet(tuple(configurations), {**isolated.energies, **given}, labels)


class _IsolatedAtoms:
    """Isolated atoms of a file, as they come."""

    def __init__(self) -> None:
        self.energies: dict[str, float] = {}
        self.labels: dict[str, LabelledConfiguration] = {}
        self.references: set[str] = set()

    def add(self, one: LabelledConfiguration, *, stands_in: bool) -> None:
        """Add one; one of a known element must have its energy.

        Raises
        ------
        InputError
            If it has another.
        """
        symbol = str(one.atoms.symbols[0])
        if self.energies.setdefault(symbol, one.energy) != one.energy:
            raise InputError(
                f"the isolated atom of {symbol} has the energy {one.energy!r} eV, another one {self.energies[symbol]!r}"
            )
        self.references.update(filter(None, [one.labelled_by]))
        if not stands_in:
            self.labels.setdefault(symbol, one)


def check_isolated_reference(path: Path, isolated: set[str], configurations: set[str]) -> None:
    """Refuse energies of isolated atoms from a reference that labelled none of the configurations."""
    foreign = sorted(isolated - configurations)
    if foreign and configurations:
        raise InputError(
            f"the isolated atoms in {path} were labelled by {', '.join(foreign)}, the configurations by "
            f"{', '.join(sorted(configurations))}: energies would count from the zero of another reference; leave "
            "the isolated atoms of one out"
        )


def _frames(path: Path) -> Iterable[Atoms]:
    # ASE's readers bring half of SciPy, which who only looks at records does not need.
    from ase.io import iread

    try:
        yield from iread(path, index=":", format="extxyz")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    # ASE's reader raises whatever a malformed file leads it to, its own XYZError only sometimes.
    except Exception as error:
        raise InputError(f"{path} is not a readable extended-XYZ file: {error}") from error


def _from_atoms(atoms: Atoms, keys: ExtxyzKeys, fallback_identifier: str) -> LabelledConfiguration:
    energy, forces = _find(atoms, keys.energy, "energy"), _find(atoms, keys.forces, "forces")
    misnamed = forces is None and len(atoms) > 1 and _has_vectors(atoms)
    missing = [key for key, is_missing in ((keys.energy, energy is None), (keys.forces, misnamed)) if is_missing]
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
        identifier=word(atoms.info.get(keys.identifier), fallback_identifier),
        config_type=word(atoms.info.get(keys.config_type), "default"),
        regularisation=read_regularisation(atoms.info),
        labelled_by=word(atoms.info.get(LABELLED_BY), "") or None,
        charges=atoms.arrays.get(keys.charges),
        dipole=atoms.info.get(keys.dipole),
        weights=read_weights(atoms.info, atoms.arrays),
    )


def _has_vectors(atoms: Atoms) -> bool:
    """Whether a frame has a column that may be forces under another name."""
    names = {name for name, values in atoms.arrays.items() if values.ndim == 2 and values.dtype.kind == "f"}
    names -= {"positions", *(name for name in names if name.lower() in WEIGHT_KEYS)}
    return bool(names) or (atoms.calc is not None and "forces" in atoms.calc.results)


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


_TEXT_PREFIX = "text:"


def _as_text(word: str) -> str:
    """Return a word so written that readers do not take it for a number ('12e45') or a truth value."""
    from ase.io.extxyz import key_val_str_to_dict

    parsed = key_val_str_to_dict(f"key={word}")["key"]
    return word if isinstance(parsed, str) and parsed == word else _TEXT_PREFIX + word


def word(value: Any, fallback: str) -> str:
    """Return an entry of a frame as one word, the other one where it is missing."""
    return fallback if value is None else "_".join(str(value).split()).removeprefix(_TEXT_PREFIX)


def _plain(values: Any) -> str:
    """Return numbers as text with all their digits, truth values as T and F."""
    array = np.asarray(values)
    if array.dtype == bool:
        return " ".join("T" if value else "F" for value in array.ravel().tolist())
    return " ".join(repr(value) for value in array.astype(np.float64).ravel().tolist())
