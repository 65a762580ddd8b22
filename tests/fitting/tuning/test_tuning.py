"""The search for hyperparameters: what it tries, what it may spend, and that it goes on where it was stopped."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.correlation import correlated_groups
from ionloop.fitting.native.sparse_fit.fit_errors import ConfigurationErrors, FitErrors
from ionloop.fitting.settings import GapSettings, SoapSettings
from ionloop.fitting.tuning.axes import axes_within, weighted_by_errors
from ionloop.fitting.tuning.search import Measured, Search, Tuning, gain_of_twice
from ionloop.fitting.tuning.settings_file import write_tuned_settings
from ionloop.fitting.tuning.trials import Journal
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.workflows.submission.campaign_file import read_hyperparameters

BEST = {"zeta": 1, "transition_width_A": 2.0, "atom_sigma_A": 0.4, "cutoff_A": 6.0}


def errors(force: float, energy: float, types: tuple[str, ...] = ("a",)) -> FitErrors:
    """Errors of one configuration per type, of which those of Li are half and those of S twice the rest."""
    symbols = ("Li", "P", "S")
    forces = force * np.array([[0.5] * 3, [1.0] * 3, [2.0] * 3])
    return FitErrors(tuple(ConfigurationErrors(name, name, 3, symbols, 3 * energy, forces, None) for name in types))


def made_up(settings: GapSettings) -> Measured:
    """Errors that are lowest at `BEST` and fall with the square root of the sparse points."""
    soap = settings.soap
    distance = abs(math.log2(soap.zeta / BEST["zeta"])) + 10 * abs(soap.atom_sigma_A - BEST["atom_sigma_A"])
    distance += abs(soap.cutoff_A - BEST["cutoff_A"]) + abs(soap.transition_width_A - BEST["transition_width_A"])
    return Measured(errors((1 + 0.2 * distance) / math.sqrt(soap.sparse_points), 0.001), 1.0)


def points_cost(settings: GapSettings, keeps_rows: bool) -> float:
    return settings.soap.sparse_points * (0.1 if keeps_rows else 1.0)


def tuned(measure=made_up, budget: float = 100.0, journal: Path | None = None, inputs: str = "x") -> Tuning:
    return Search(GapSettings(), measure, points_cost, budget, Journal.read(journal, inputs)).run()


def test_every_axis_is_followed_to_its_best_value() -> None:
    found = tuned()
    chosen = found.best.settings.soap
    assert {name: getattr(chosen, name) for name in BEST} == BEST
    assert chosen.sparse_points == 2000
    assert found.has_converged
    assert found.best.force_eV_per_A < found.trials[0].force_eV_per_A
    assert "as given" in found.trials[0].line()
    assert any("soap.zeta = 1" in trial.line() for trial in found.trials)
    told = found.lines()[0]
    assert all(f"soap.{name} = {value}" in told for name, value in BEST.items())


@pytest.mark.parametrize("budget", [1.0, 5.0, 12.5])
def test_a_budget_is_not_overspent(budget: float) -> None:
    found = tuned(budget=budget)
    assert found.spent_fits <= budget
    assert not found.has_converged
    assert found.best.force_eV_per_A <= found.trials[0].force_eV_per_A
    assert any("--tune-budget" in line for line in found.lines())


def test_a_budget_without_room_for_a_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"a budget of 0\.5 fits"):
        tuned(budget=0.5)


def test_a_stopped_search_goes_on_and_ends_alike(tmp_path: Path) -> None:
    whole, asked = tuned(), []

    def stopping(settings: GapSettings) -> Measured:
        asked.append(settings)
        if len(asked) == 7:
            raise KeyboardInterrupt
        return made_up(settings)

    journal = tmp_path / "tuning.json"
    with pytest.raises(KeyboardInterrupt):
        tuned(stopping, journal=journal)
    done = asked[:-1]
    again = tuned(stopping, journal=journal)
    assert again.best == whole.best
    assert [one.settings for one in again.trials] == [one.settings for one in whole.trials]
    assert not any(settings in done for settings in asked[7:])


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 2, "inputs": "x", "trials": [{}]}', '{"version": 1, "trials": [{}]}']
)
def test_a_journal_that_cannot_be_used_is_none(tmp_path: Path, content: str) -> None:
    journal = tmp_path / "tuning.json"
    journal.write_text(content)
    assert tuned(journal=journal).best == tuned().best


def test_a_journal_of_other_data_is_not_used(tmp_path: Path) -> None:
    journal, asked = tmp_path / "tuning.json", []
    tuned(journal=journal)

    def counted(settings: GapSettings) -> Measured:
        asked.append(settings)
        return made_up(settings)

    tuned(counted, journal=journal, inputs="y")
    assert len(asked) > 10


def test_settings_without_a_potential_are_no_choice_and_no_end() -> None:
    def singular(settings: GapSettings) -> Measured:
        if settings.soap.zeta < 4:
            raise IonloopError("the linear system is singular")
        return made_up(settings)

    found = tuned(singular)
    assert found.best.settings.soap.zeta == 4
    assert "no potential (the linear system is singular)" in next(t for t in found.trials if t.error).line()


def test_settings_that_give_no_potential_at_all_are_said() -> None:
    def singular(_: GapSettings) -> Measured:
        raise IonloopError("the linear system is singular")

    with pytest.raises(IonloopError, match="singular"):
        tuned(singular)


def test_weights_follow_the_errors_of_elements_and_types() -> None:
    same = FitErrors((*errors(0.1, 0.001, ("a",)).configurations, *errors(0.2, 0.001, ("b",)).configurations))
    by_type = {name: same.summary(name) for name in ("a", "b")}
    found = dict(weighted_by_errors(GapSettings(), same.summary(), by_type))
    by_element = found["regularisation.force_by_element"].regularisation.force_by_element_eV_per_A
    assert by_element["Li"] == pytest.approx(0.5 * by_element["P"], rel=0.35)
    assert by_element["Li"] < by_element["P"] < by_element["S"]
    by_type = found["regularisation_by_config_type"].regularisation_by_config_type
    assert by_type["b"].force_eV_per_A == pytest.approx(2 * by_type["a"].force_eV_per_A, rel=0.01)


def test_sparse_points_stay_below_their_limit() -> None:
    def chosen(points: int, most: int) -> int:
        start = GapSettings(soap=SoapSettings(sparse_points=points))
        found = Search(start, made_up, points_cost, 100.0, axes=axes_within(most)).run()
        return found.best.settings.soap.sparse_points

    assert chosen(500, 700) == 700
    assert chosen(500, 400) == 500


def test_twice_as_much_by_a_power_law() -> None:
    assert gain_of_twice((100, 0.4), (400, 0.2)) == pytest.approx(1 - 2**-0.5)
    assert gain_of_twice((100, 0.2), (400, 0.21)) == 0


def test_settings_come_back_from_their_file(tmp_path: Path) -> None:
    settings = GapSettings(soap=SoapSettings(zeta=1, cutoff_A=6.0), two_body=None)
    write_tuned_settings(tmp_path / "tuned.yaml", settings)
    assert read_hyperparameters(tmp_path / "tuned.yaml").settings_of("gap") == settings


def test_frames_of_one_trajectory_are_left_out_together() -> None:
    crystal, random = build_crystal("gamma-li3ps4"), np.random.default_rng(1)
    crystal = crystal.repeat((1, 1, 2))

    def displaced(atoms: Atoms, by_A: float) -> Atoms:
        moved = atoms.copy()
        moved.positions += by_A * random.normal(size=moved.positions.shape) + [0.7, 0.0, 0.0]
        moved.wrap()
        return moved

    first, second = displaced(crystal, 0.3), displaced(crystal, 0.3)
    frames = [first, second, displaced(first, 0.05), crystal.repeat((1, 1, 2)), displaced(second, 0.05)]
    assert correlated_groups([*frames, *[displaced(crystal, 0.3) for _ in range(6)]]) == ((0, 2), (1, 4))


def test_a_group_with_much_of_the_data_is_cut() -> None:
    frames = [build_crystal("gamma-li3ps4")] * 20
    groups = correlated_groups(frames)
    assert max(map(len, groups)) <= 4
    assert sorted(place for group in groups for place in group) == list(range(20))
