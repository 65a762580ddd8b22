"""Settings for a configuration type or an element that a file of labels does not hold: refused, with a suggestion.

In a running campaign a type may come with a later generation; a file is all there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from ...fitting.data_sets import DataSet
from ...fitting.settings import GapSettings
from .problems import CampaignFileError, Key, Problem, closest
from .settings import Campaign
from .tuning import without_tuning


def check_settings_match(path: Path, campaign: Campaign, data_set: DataSet) -> None:
    """Check that every configuration type and element which the settings name is in the data.

    Raises
    ------
    CampaignFileError
        With every one that is not.
    """
    types = sorted({one.config_type for one in (*data_set, *data_set.isolated_atoms)})
    elements, baseline = data_set.elements, campaign.baseline
    problems: list[Problem] = []
    by_element: list[tuple[Key, Collection[str]]] = [
        (("baseline", "charges"), baseline.charges if isinstance(baseline.charges, dict) else ()),
        (("baseline", "exponents"), baseline.exponents),
    ]
    for section, gap in _gap_settings(campaign):
        problems += [
            _absent((*section, "regularisation_by_config_type", name), "configuration", types)
            for name in gap.regularisation_by_config_type
            if name not in types
        ]
        by_element.append(
            ((*section, "regularisation", "force_by_element_eV_per_A"), gap.regularisation.force_by_element_eV_per_A)
        )
        by_element += [
            (
                (*section, "regularisation_by_config_type", name, "force_by_element_eV_per_A"),
                one.force_by_element_eV_per_A,
            )
            for name, one in gap.regularisation_by_config_type.items()
        ]
    problems += [
        _absent((*key, symbol), "atom", elements)
        for key, symbols in by_element
        for symbol in symbols
        if symbol not in elements
    ]
    if problems:
        raise CampaignFileError(path, problems)


def _gap_settings(campaign: Campaign) -> Iterator[tuple[Key, GapSettings]]:
    """Yield the hyperparameters of GAPs with their place in the file: the section, and models that differ from it."""
    section = without_tuning(campaign.gap, GapSettings)
    assert isinstance(section, GapSettings)
    yield ("gap",), section
    for name in campaign.models:
        settings = campaign.settings_of(name)
        if isinstance(settings, GapSettings) and settings != section:
            yield ("models", name), settings


def _absent(key: Key, thing: str, present: Collection[str]) -> Problem:
    name = str(key[-1])
    return Problem(
        key,
        f"no {thing} of the data is {name}; remove it",
        suggestion=closest(name, present),
        allowed=", ".join(present),
    )
