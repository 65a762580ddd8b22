"""What `ionloop check` says a campaign will cost."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.fit_cost import fit_estimate
from ionloop.fitting.preflight import estimate_cost
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.submission.cost import campaign_cost

CRYSTAL = build_crystal("li7p3s11")


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "demo", "structure": "li7p3s11", **sections})


def test_labels_fits_and_steps_are_counted() -> None:
    cost = campaign_cost(
        campaign(
            initial={"molecular_dynamics": {"count": 6, "every": 5}, "lithium_monte_carlo": {"count": 4}},
            sampling={"length_ps": 1.0, "replicas": 3},
            selection={"count": 10},
            stop={"max_generations": 4},
        ),
        {None: CRYSTAL},
    )
    assert cost.initial_labels == 6 + 4 + 3
    assert cost.maximum_labels == cost.initial_labels + 4 * 10
    assert cost.initial_reference_steps == 6 * 5 + 4 * 20
    assert cost.maximum_fits == (4 + 1) * 2
    assert (cost.first_fit.configurations, cost.last_fit.configurations) == (10, 50)
    assert cost.dynamics_steps_per_generation == 3000
    assert cost.maximum_dynamics_steps == 12_000


def test_what_learns_asks_for_labels_by_itself_within_its_budget() -> None:
    entry = {"kind": "on-the-fly", "walkers": 3, "length_ps": 5, "leg_ps": 0.5, "batch": 2, "max_labels": 50}
    initial = {"molecular_dynamics": {"count": 6, "every": 5}, "lithium_monte_carlo": {"count": 0}}
    stop = {"max_generations": 4}
    alone = campaign_cost(campaign(initial=initial, explore=[entry], stop=stop), {None: CRYSTAL})
    # Ten rounds of two labels, and fifteen audits; nothing is selected.
    assert alone.labels_per_generation == 10 * 2 + 15
    assert alone.maximum_labels == alone.initial_labels + 50
    assert alone.dynamics_steps_per_generation == 3 * 5000
    assert "some 35 labels in the first generation, 50 in all, at most" in alone.samplers[-1].text
    nvt = {"kind": "nvt", "length_ps": 1}
    both = campaign_cost(
        campaign(initial=initial, explore=[entry, nvt], stop=stop, selection={"count": 7}), {None: CRYSTAL}
    )
    assert both.maximum_labels == alone.maximum_labels + 4 * 7


def test_searches_for_hyperparameters_are_counted_by_the_growth_of_the_data() -> None:
    sections = {"selection": {"count": 40}, "stop": {"max_generations": 8}}
    assert campaign_cost(campaign(**sections), {None: CRYSTAL}).tunings == {}
    # 80 configurations, 160, 320.
    cost = campaign_cost(campaign(gap="tune", **sections), {None: CRYSTAL})
    assert cost.tunings.keys() == {"gap", "es-gap"}
    gap = cost.tunings["gap"]
    assert (gap.searches, gap.budget_fits) == (3, 20)
    assert gap.first_s == pytest.approx(20 * cost.first_fit.time_s)
    assert gap.all_s > 3 * gap.first_s
    assert gap.memory_bytes > cost.last_fit.memory_bytes
    assert cost.largest_fit_bytes == gap.memory_bytes
    tune = {"budget_core_minutes": 1, "again_at_growth": 100, "most_sparse_points": 100}
    bounded = campaign_cost(campaign(gap={"tune": tune}, **sections), {None: CRYSTAL}).tunings["gap"]
    assert (bounded.searches, bounded.first_s, bounded.all_s) == (1, 60, 60)
    assert bounded.memory_bytes < cost.last_fit.memory_bytes


def test_a_supercell_costs_more() -> None:
    small, large = (campaign_cost(campaign(supercell=[n, 1, 1]), {None: CRYSTAL.repeat((n, 1, 1))}) for n in (1, 2))
    assert large.atoms == 2 * small.atoms
    assert large.last_fit.time_s > 1.5 * small.last_fit.time_s
    assert large.disk_bytes > small.disk_bytes


def test_the_native_fit_costs_a_fraction_and_memory_that_does_not_grow_with_the_data() -> None:
    by_gap_fit, native = (
        campaign_cost(campaign(fit={"backend": backend}), {None: CRYSTAL}) for backend in ("gap_fit", "native")
    )
    assert native.last_fit.time_s < by_gap_fit.last_fit.time_s / 10
    assert native.last_fit.memory_bytes < by_gap_fit.last_fit.memory_bytes
    # Five times the data; only the sparse points grow, up to a bound.
    assert native.last_fit.memory_bytes < 1.5 * native.first_fit.memory_bytes


@pytest.mark.parametrize("copies", [1, 3])
def test_the_fit_costs_what_its_preflight_will_say(copies: int) -> None:
    settings = campaign(gap={"soap": {"n_max": 4, "l_max": 2, "cutoff_A": 4.0, "sparse_points": 20}}).gap
    cell = LabelledConfiguration(
        atoms=CRYSTAL, energy=0.0, forces=np.zeros((42, 3)), stress=np.zeros(6), identifier="cell"
    )
    expected = estimate_cost(DataSet((cell,) * copies, dict.fromkeys(("Li", "P", "S"), 0.0)), settings)
    estimate = fit_estimate(CRYSTAL, settings, copies)
    assert estimate.memory_bytes == pytest.approx(expected.memory_bytes, rel=1e-12)
    assert estimate.time_s == pytest.approx(expected.time_s, rel=1e-12)
