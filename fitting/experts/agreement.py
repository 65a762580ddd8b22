"""What experts must share before they may be combined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...core.errors import InputError
from ..consistency import UNNAMED
from ..reading.isolated import SAME_ENERGY_EV, differing_energies
from ..settings import CommonBaselineSettings, GapSettings
from .expert import Expert

_OF_THE_CHOICE: Final = frozenset({"sparse_points", "sparse_method"})
_DESCRIPTORS: Final = ("two_body", "three_body", "core", "soap")
_MOST_SHOWN = 12


class ExpertsDiffer(InputError):
    """Models that cannot be combined, with everything in which they differ."""


def check_agreement(experts: Sequence[Expert], *, one_zero: bool) -> None:
    """Refuse experts of different references, descriptors, baselines or zeros of energy.

    Parameters
    ----------
    one_zero
        Whether also energies must be equal that only stand in for those of isolated atoms: where weights are put side
        by side. A fit of all data makes new ones.
    mix
        References that may stand beside each other.

    Raises
    ------
    ExpertsDiffer
        With all that differs.
    """
    problems = [
        *_reference_problems(experts),
        *_zero_problems(experts, one_zero=one_zero),
        *_settings_problems(experts),
        *_baseline_problems(experts),
    ]
    if problems:
        shown = problems[:_MOST_SHOWN] + (
            [f"... and {len(problems) - _MOST_SHOWN} more"] * (len(problems) > _MOST_SHOWN)
        )
        names = ", ".join(expert.name for expert in experts)
        raise ExpertsDiffer(f"{names} cannot be combined:\n  " + "\n  ".join(shown))


def _reference_problems(experts: Sequence[Expert]) -> Iterator[str]:
    by_expert = {expert.name: expert.references for expert in experts}
    found = {name for names in by_expert.values() for name in names}
    if len(found) > 1:
        said = "; ".join(f"{name}: {', '.join(references)}" for name, references in by_expert.items())
        hint = f" ({UNNAMED}: its file does not say what labelled it)" if UNNAMED in found else ""
        yield f"labels of different references{hint}: {said}"


def _zero_problems(experts: Sequence[Expert], *, one_zero: bool) -> Iterator[str]:
    for symbol in sorted({symbol for expert in experts for symbol in expert.elements}):
        energies = {
            expert.name: expert.data_set.isolated_atom_energies[symbol]
            for expert in experts
            if symbol in expert.elements and (one_zero or symbol in labelled_atoms(expert))
        }
        if len(energies) > 1 and differing_energies(list(energies.values())):
            said = ", ".join(f"{energy:.6f} eV in {name}" for name, energy in energies.items())
            yield f"energies of the isolated atom of {symbol} differ by more than {SAME_ENERGY_EV:g} eV: {said}"


def labelled_atoms(expert: Expert) -> dict[str, float]:
    """Return the energies (eV) of the isolated atoms that were computed, not those that stand in."""
    return {str(one.atoms.symbols[0]): one.energy for one in expert.data_set.isolated_atoms}


def _settings_problems(experts: Sequence[Expert]) -> Iterator[str]:
    by_expert = {expert.name: descriptor_values(expert.settings) for expert in experts}
    for key in sorted({key for values in by_expert.values() for key in values}):
        yield from _difference(key, {name: values.get(key) for name, values in by_expert.items()})


def descriptor_values(settings: GapSettings) -> dict[str, Any]:
    """Return the hyperparameters of descriptors and kernels: all but the choice of points and the data's errors."""
    values: dict[str, Any] = {}
    for part in _DESCRIPTORS:
        given = getattr(settings, part)
        if given is None:
            values[part] = None
        else:
            found = given.model_dump(mode="json")
            values.update({f"{part}.{name}": value for name, value in found.items() if name not in _OF_THE_CHOICE})
    return values


def _baseline_problems(experts: Sequence[Expert]) -> Iterator[str]:
    with_one = [expert.name for expert in experts if expert.baseline is not None]
    if with_one and len(with_one) < len(experts):
        without = [expert.name for expert in experts if expert.baseline is None]
        yield f"{', '.join(with_one)} stand on an electrostatic baseline, {', '.join(without)} do not"
        return
    values = {expert.name: baseline_values(expert.baseline) for expert in experts if expert.baseline is not None}
    for key in sorted({key for one in values.values() for key in one}):
        # Elements that a model does not have need no charge there.
        known = {name: one[key] for name, one in values.items() if key in one}
        yield from _difference(f"baseline.{key}", known)


def baseline_values(baseline: CommonBaselineSettings) -> dict[str, Any]:
    """Return the settings of a baseline, one value for each element of what is by element."""
    values: dict[str, Any] = {"kind": baseline.kind_name}
    for name, value in baseline.model_dump(mode="json").items():
        if isinstance(value, Mapping):
            values.update({f"{name}.{key}": one for key, one in value.items()})
        else:
            values[name] = value
    return values


def _difference(key: str, values: Mapping[str, Any]) -> Iterator[str]:
    distinct = {repr(value) for value in values.values()}
    if len(distinct) > 1:
        yield f"{key} differs: " + ", ".join(f"{value} in {name}" for name, value in values.items())
