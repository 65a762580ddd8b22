"""Formation energies of defects as properties that a loop can end with, and the relaxed defects that tell of them."""

from __future__ import annotations

from collections.abc import Mapping

from ase import Atoms

from ....analysis.defects.settings import Supercell
from ....fitting.posterior.base import interval_factor
from ....store.connection import Store
from ....store.records import ResultRecord
from ....tasks.values.defects import FRENKEL, RELAXATIONS, VACANCIES
from ....tasks.values.properties import PropertyNumber
from ..base import AnalysisPlan
from ..proposals import Configuration, Proposed, Target
from ..results import model_part, of_plan


def frenkel_numbers(store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
    """Return the mean formation energy over the pairs that are still pairs; its sampling error is that of the mean."""
    numbers = []
    for record in of_plan(store, plan, FRENKEL)[-1:]:
        values = FRENKEL.read(record)
        mean = values.formation_energy_eV
        if mean is None:
            numbers.append(PropertyNumber(label="mean", unit="eV", reason="no pair survived its relaxation"))
            continue
        known = PropertyNumber(
            label=f"mean of {mean.count} pairs",
            unit="eV",
            value=mean.mean,
            **model_part(values.formation_energy_model_half_width_eV, values.model_interval_reason),
        )
        if mean.standard_error is None:
            known = known.model_copy(update={"reason": "one pair alone says nothing of how much pairs differ"})
        else:
            width = interval_factor(mean.count - 1) * mean.standard_error
            known = known.model_copy(update={"statistical": width})
        numbers.append(known)
    return numbers


def vacancy_numbers(store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
    """Return the formation energy on every site; nothing is sampled."""
    numbers = []
    for record in of_plan(store, plan, VACANCIES)[-1:]:
        values = VACANCIES.read(record)
        for site in values.vacancies:
            label, value = f"site {site.ion}", site.formation_energy_eV
            if value is None:
                numbers.append(PropertyNumber(label=label, unit="eV", reason=f"the vacancy is {site.state}"))
                continue
            numbers.append(
                PropertyNumber(
                    label=label,
                    unit="eV",
                    value=value,
                    statistical=0.0,
                    **model_part(site.formation_energy_model_half_width_eV, values.model_interval_reason),
                )
            )
    return numbers


def defect_proposals(store: Store, plan: AnalysisPlan, supercell: Supercell, *, averaged: bool) -> list[Proposed]:
    """Return the relaxed bulk and defects of the plan's model.

    Formation energies are those of the defects less that of the bulk; ``averaged``: what is to be known is their mean.
    """
    crystal = plan.atoms.repeat(supercell)
    relaxed = {record.id: record for record in of_plan(store, plan, RELAXATIONS) if RELAXATIONS.read(record).converged}
    bulks = [record for record in relaxed.values() if RELAXATIONS.read(record).defect is None]
    found = []
    for bulk in bulks[-1:]:
        defects = [record for record in relaxed.values() if record.inputs == [bulk.id]]
        structures = [_configuration(store, record, crystal) for record in (bulk, *defects)]
        if len(structures) < 1 + len(defects) or not defects:
            continue
        weights: list[Mapping[int, float]] = [{place: 1.0, 0: -1.0} for place in range(1, len(structures))]
        if averaged:
            weights = [{0: -1.0, **{place: 1.0 / len(defects) for place in range(1, len(structures))}}]
        found.append(Proposed([one for one in structures if one is not None], [Target(one) for one in weights]))
    return found


def _configuration(store: Store, record: ResultRecord, crystal: Atoms) -> Configuration | None:
    from ....tasks.defects.relaxations import relaxed_atoms
    from ....tasks.results import known_result

    whole = known_result(store, record.id)
    return None if whole is None else Configuration(relaxed_atoms(store, whole, crystal), record.id)
