"""Cores: fixed potentials under a GAP, which is fitted to what they leave of the labels.

A core keeps atoms apart where there are no data: a steep repulsion, or a whole embedded-atom potential. gap_fit knows
it as ``core_param_file`` with ``core_ip_args={IP Glue}``; the fitted file holds the sum of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers

from ..core.errors import InputError, IonloopError
from .data_sets import DataSet, LabelledConfiguration
from .settings import CoreSettings, GapSettings

if TYPE_CHECKING:
    from .native.calculator import NativeGapCalculator
    from .native.glue import GluePotential


MOST_BYTES = 1_000_000
"""Of a core's file: its content goes with every fit."""


def with_core_read(settings: GapSettings, folder: Path) -> GapSettings:
    """Return settings in which the core itself stands for its file or its name; others are returned as they are.

    Parameters
    ----------
    folder
        Where a relative path starts.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a core.
    """

    from .native.glue import glue_lines
    from .zbl import zbl_core

    core = settings.core
    if core is None:
        return settings
    if core.zbl is not None:
        content = "\n".join(glue_lines(zbl_core(core.zbl)))
        return settings.model_copy(update={"core": CoreSettings(glue=content)})
    name, text = "gap.core.glue", core.glue
    if core.file is not None:
        path = Path(folder) / core.file
        name, text = str(path), _read_file(path)
    content = "\n".join(glue_lines(_parse(text or "", name)))
    return settings.model_copy(update={"core": CoreSettings(glue=content)})


def core_of(settings: GapSettings) -> GluePotential | None:
    """Return the core that a GAP is fitted on top of, None without one.

    Raises
    ------
    InputError
        If its file has not been read yet, or its content makes no sense.
    """
    if settings.core is None:
        return None
    if settings.core.glue is None:
        raise InputError(
            f"the core of gap.core, {settings.core.file or settings.core.zbl}, has not been read; "
            "ionloop.fitting.cores.with_core_read(settings, folder) reads it"
        )
    return _parse(settings.core.glue, "gap.core.glue")


def unknown_to_core(core: GluePotential, elements: Sequence[str]) -> list[str]:
    """Return the elements that a core has nothing for; QUIP would pass over them in silence."""
    return [element for element in elements if atomic_numbers[element] not in core.numbers]


def without_core(data_set: DataSet, core: GluePotential | None) -> DataSet:
    """Return the data set with the core's energy, forces and stress taken off every label, isolated atoms included."""
    if core is None:
        return data_set
    rest = subtract_baseline(data_set, _core_calculator(core))
    energies = isolated_energies_above(core, data_set.isolated_atom_energies)
    isolated = (replace(one, energy=energies[str(one.atoms.symbols[0])]) for one in data_set.isolated_atoms)
    return replace(rest, isolated_atom_energies=energies, isolated_atoms=tuple(isolated))


def isolated_energies_above(core: GluePotential | None, energies: Mapping[str, float]) -> dict[str, float]:
    """Return energies of isolated atoms (eV, by element) less the core's: F(0) of its embedding function."""
    if core is None:
        return dict(energies)
    calculator = _core_calculator(core)

    def alone(symbol: str) -> float:
        known = atomic_numbers[symbol] in core.numbers
        return float(calculator.get_property("energy", Atoms(symbol))) if known else 0.0

    return {symbol: energy - alone(symbol) for symbol, energy in energies.items()}


def _core_calculator(core: GluePotential) -> NativeGapCalculator:
    from .native.calculator import NativeGapCalculator
    from .native.gap_xml import GapModel

    return NativeGapCalculator(GapModel({}, (), core=core))


def subtract_baseline(data_set: DataSet, baseline: Calculator) -> DataSet:
    """Return the data set with the baseline's energy, forces and stress taken off every configuration.

    Isolated atoms stay as they are: one charge in open space has no energy.
    """

    def rest(values: Any, name: str, configuration: LabelledConfiguration) -> Any:
        return None if values is None else values - baseline.get_property(name, configuration.atoms)

    configurations = (
        replace(one, **{name: rest(getattr(one, name), name, one) for name in ("energy", "forces", "stress")})
        for one in data_set
    )
    return replace(data_set, configurations=tuple(configurations))


def core_file_text(core: GluePotential) -> str:
    """Return a core as the file that gap_fit reads; it goes into the potential as it is."""

    from .native.glue import glue_lines

    return "\n".join(["<core>", *glue_lines(core), "</core>", ""])


def _read_file(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"the core {path} has {path.stat().st_size:,} bytes; a core has at most {MOST_BYTES:,}")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"the core {path} does not exist") from None
    except UnicodeDecodeError as error:
        raise InputError(f"the core {path} is not a text file: byte {error.start} is not UTF-8") from None
    except (OSError, ValueError) as error:
        raise InputError(f"the core {path} cannot be read: {error}") from None


def _parse(text: str, name: str) -> GluePotential:
    from .native.glue import read_glue
    from .native.xml_elements import MalformedXml

    try:
        root = ElementTree.fromstring(text)
        found = [*root.iter("Glue_params")]
        if len(found) != 1:
            raise InputError(
                f"the core {name} has {len(found)} Glue_params instead of one: other potentials than QUIP's IP Glue "
                "are no cores here; a table of a pair potential can be written as one"
            )
        core = read_glue(found[0])
    except ElementTree.ParseError as error:
        raise InputError(f"the core {name} is not XML: {error}") from None
    except MalformedXml as error:
        raise InputError(f"the core {name} is damaged: {error}") from None
    except IonloopError as error:
        raise InputError(f"the core {name} cannot be used: {error}") from None
    if not core.numbers:
        raise InputError(f"the core {name} names no element: its Glue_params has no per_type_data")
    return core
