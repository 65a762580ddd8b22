"""Deviations are scaled to the errors that are seen, and their intervals hold as many as they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from scipy.stats import t as student_t

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.models import MANIFEST_FILE, fit_model, load_posterior, read_manifest
from ionloop.fitting.native.sparse_fit.fit_errors import ConfigurationErrors
from ionloop.fitting.native.sparse_fit.gap_posterior import POSTERIOR_FILE
from ionloop.fitting.native.sparse_fit.solve import left_out
from ionloop.fitting.posterior.base import NoPosterior, interval_factor
from ionloop.fitting.posterior.calibration import FEWEST_GROUPS, Calibration, calibrate
from ionloop.fitting.settings import GapSettings

TRUE_RATIOS = {"Li": 3.0, "S": 8.0}
GROUPS = 400
RATIO_TOLERANCE = 0.04
COVERAGE_TOLERANCE = 0.03
ALGEBRA_TOLERANCE = 1e-10


def drawn(random: np.random.Generator, energy_ratio: float) -> tuple[ConfigurationErrors, ConfigurationErrors]:
    """Errors of a cell of four atoms, and deviations that understate them."""
    symbols = ("Li", "Li", "S", "S")
    ratios = np.array([TRUE_RATIOS[symbol] for symbol in symbols])[:, None]
    forces, energy, virial = random.uniform(0.01, 0.1, (4, 3)), random.uniform(0.1, 1.0), random.uniform(0.1, 1.0, 6)
    believed = ConfigurationErrors("x", "", 4, symbols, energy, forces, virial)
    errors = ConfigurationErrors(
        "x",
        "",
        4,
        symbols,
        energy_ratio * energy * random.normal(),
        ratios * forces * random.normal(size=(4, 3)),
        2.0 * virial * random.normal(size=6),
    )
    return errors, believed


def calibrated(energy_ratio: float = 5.0, groups: int = GROUPS) -> Calibration | None:
    random = np.random.default_rng(1)
    errors, believed = zip(*(drawn(random, energy_ratio) for _ in range(groups)), strict=True)
    return calibrate(errors, believed, groups)


def test_errors_over_deviations_are_found_again() -> None:
    found = calibrated()
    assert found is not None
    assert found.force_ratio_by_element == pytest.approx(TRUE_RATIOS, rel=RATIO_TOLERANCE)
    assert found.energy_ratio == pytest.approx(5.0, rel=2 * RATIO_TOLERANCE)
    assert found.virial_ratio == pytest.approx(2.0, rel=RATIO_TOLERANCE)
    np.testing.assert_allclose(found.force_coverage, (0.5, 0.9, 0.95), atol=COVERAGE_TOLERANCE)
    # Energies are scaled by the largest ratio of all, here that of sulphur's forces.
    assert found.energy_scale == pytest.approx(8.0, rel=RATIO_TOLERANCE)
    assert found.energy_coverage[0] > 0.6
    assert found.force_scale("Li") < found.force_scale("S") == found.force_scale("P")


def test_of_few_configurations_intervals_are_wider_and_of_fewer_there_are_none() -> None:
    few = calibrated(groups=FEWEST_GROUPS)
    assert few is not None
    assert interval_factor(few.degrees_of_freedom) == pytest.approx(student_t.ppf(0.975, FEWEST_GROUPS - 1))
    assert interval_factor(few.degrees_of_freedom) > 2.7
    assert calibrated(groups=FEWEST_GROUPS - 1) is None


def test_what_cannot_be_had_is_not_counted() -> None:
    random = np.random.default_rng(1)
    errors, believed = zip(*(drawn(random, 5.0) for _ in range(6)), strict=True)
    unknown = ConfigurationErrors("x", "", 4, believed[0].symbols, np.nan, np.full((4, 3), np.nan), None)
    found, without = calibrate(errors, [unknown, *believed[1:]], 6), calibrate(errors[1:], believed[1:], 6)
    assert found == without


@pytest.mark.parametrize("n_rows", [4, 30])
def test_left_out_deviations_are_those_of_a_fit_without_the_rows(n_rows: int) -> None:
    random = np.random.default_rng(2)
    others, block = random.normal(size=(50, 12)), 0.3 * random.normal(size=(n_rows, 12))
    whole = np.linalg.cholesky(others.T @ others + block.T @ block).T
    targets = random.normal(size=(n_rows, 2))
    weights = random.normal(size=(12, 2))
    found = left_out(block, block @ weights - targets, whole)
    covariance = np.linalg.inv(others.T @ others)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", block, covariance, block))
    np.testing.assert_allclose(found.deviations, expected, rtol=ALGEBRA_TOLERANCE)
    without = np.linalg.solve(
        np.eye(n_rows) - block @ np.linalg.inv(whole.T @ whole) @ block.T, block @ weights - targets
    )
    np.testing.assert_allclose(found.residuals, without, rtol=0, atol=ALGEBRA_TOLERANCE)


def crystals(count: int) -> DataSet:
    calculator = LennardJones(sigma=2.0, epsilon=0.3, rc=4.0, smooth=True)
    found = []
    for seed in range(count):
        atoms = bulk("Li", "fcc", a=3.2, cubic=True)
        atoms.rattle(0.1, seed=seed)
        labels = (calculator.get_property(name, atoms) for name in ("energy", "forces", "stress"))
        found.append(LabelledConfiguration(atoms, *labels, f"cell-{seed}"))
    return DataSet(tuple(found), {"Li": 0.0})


def test_a_model_that_knows_nothing_of_its_errors_says_why(tmp_path: Path) -> None:
    settings = GapSettings.model_validate(
        {
            "two_body": {"cutoff_A": 3.5, "sparse_points": 5},
            "soap": {"cutoff_A": 3.5, "n_max": 3, "l_max": 2, "sparse_points": 8},
        }
    )
    few = fit_model("gap", crystals(FEWEST_GROUPS - 1), settings, None, tmp_path / "few", seed=1)
    assert few.calibration is None
    with pytest.raises(NoPosterior, match="too few configurations"):
        load_posterior(tmp_path / "few")
    fit_model("gap", crystals(FEWEST_GROUPS + 1), settings, None, tmp_path / "enough", seed=1)
    assert load_posterior(tmp_path / "enough" / MANIFEST_FILE).degrees_of_freedom == FEWEST_GROUPS
    assert POSTERIOR_FILE in read_manifest(tmp_path / "enough").files
    with pytest.raises(NoPosterior, match="a potential alone"):
        load_posterior(tmp_path / "enough" / "gap.xml")
