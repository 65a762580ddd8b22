"""Measured curves: files as people have them, what is wrong with others, and how far a computed curve is from one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.analysis.structure_functions.measured import MeasuredCurve, compare, read_measured
from ionloop.analysis.structure_functions.quantities import Quantity, Unit
from ionloop.core.errors import InputError

Q = np.linspace(0.5, 15.0, 60)
DENSITY_PER_A3 = 0.05


def structure_factor(q):
    return 1.0 + np.exp(-0.1 * q) * np.sin(2.0 * q)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "measured.dat"
    path.write_text(text, encoding="utf-8")
    return path


def lines(separator: str = " ", columns: int = 2, scale: float = 1.0) -> str:
    rows = [[q * scale, structure_factor(q), 0.01][:columns] for q in Q]
    return "\n".join(separator.join(f"{value:.6f}" for value in row) for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        lines(),
        "# q S(q)\n" + lines(",") + "\n\n# end\n",
        "q (1/A), S\n" + lines(", "),
        "60\n\n" + lines("\t"),
        "\ufeff" + lines(";"),
        "\n".join(reversed(lines().splitlines())),
        lines(columns=3),
    ],
    ids=["plain", "comments", "a heading", "a number of points", "byte order mark", "falling", "with errors"],
)
def test_files_of_two_columns_are_read_as_people_write_them(tmp_path: Path, text: str) -> None:
    found = read_measured(written(tmp_path, text))
    np.testing.assert_allclose(found.x, Q, atol=1e-6)
    np.testing.assert_allclose(found.y, structure_factor(Q), atol=1e-6)
    assert found.errors is None


def test_errors_and_nanometres_are_read_where_they_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, lines(columns=3, scale=10.0))
    found = read_measured(path, unit=Unit.PER_NANOMETRE, error_column=3)
    np.testing.assert_allclose(found.x, Q, atol=1e-6)
    assert found.errors is not None
    assert found.errors[0] == 0.01


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (lines(scale=10.0), {}, r"say --measured-unit 1/nm"),
        (lines(), {"unit": Unit.ANGSTROM}, "whose unit is 1/A or 1/nm, not A"),
        (lines(), {"error_column": 3}, "has 2 columns; 3 are needed"),
        (lines().replace(".", ","), {}, "write decimal points|have|columns"),
        ("\n".join(f"{q} 1 2 3" for q in Q), {}, "has 4 columns: say which is S"),
        (lines() + "\nhere it ends", {}, "are no numbers"),
        (lines() + "\n1.0 nan", {}, "not finite"),
        (lines() + f"\n{Q[3]:.6f} 1.0", {}, "twice"),
        ("-1 1\n" + lines(), {}, "negative q"),
        ("1 2\n3 4\n", {}, "has 2 lines"),
        ("", {}, "has 0 lines"),
        (lines() + "\n20 1 3", {}, "has 3 columns where those before have 2"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_measured(written(tmp_path, text), **options)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_measured(tmp_path / "none.dat")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01" * 50)
    with pytest.raises(InputError, match="is no text"):
        read_measured(tmp_path / "binary")


def curve(y, quantity: Quantity = Quantity.S, errors=None) -> MeasuredCurve:
    return MeasuredCurve(Q, y, errors, quantity, "measured.dat")


def test_a_curve_is_no_distance_from_itself_and_a_flat_one_is_its_own_control() -> None:
    same = compare(curve(structure_factor(Q)), Q, structure_factor(Q), DENSITY_PER_A3)
    assert (same.r_chi, same.control) == (0.0, 1.0)
    flat = compare(curve(structure_factor(Q)), Q, np.ones(len(Q)), DENSITY_PER_A3)
    assert flat.r_chi == flat.control


@given(factor=st.floats(0.2, 5.0), shift=st.floats(-2.0, 2.0))
@settings(max_examples=30, deadline=None)
def test_scale_and_offset_that_are_fitted_are_those_of_the_measurement(factor: float, shift: float) -> None:
    measured = curve(factor * structure_factor(Q) + shift)
    found = compare(measured, Q, structure_factor(Q), DENSITY_PER_A3, scale=None, offset=None)
    assert found.scale == pytest.approx(factor)
    assert found.offset == pytest.approx(shift, abs=1e-9)
    assert found.r_chi < 1e-6
    only = compare(measured, Q, structure_factor(Q), DENSITY_PER_A3, scale=factor, offset=None)
    assert only.offset == pytest.approx(shift, abs=1e-9)


def test_differences_are_weighted_by_errors() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.02, len(Q))
    found = compare(
        curve(structure_factor(Q) + noise, errors=np.full(len(Q), 0.02)), Q, structure_factor(Q), DENSITY_PER_A3
    )
    assert found.chi_square_per_point == pytest.approx(1.0, abs=0.4)
    assert found.control_chi_square_per_point is not None
    assert found.control_chi_square_per_point > 100


def test_only_what_both_have_is_compared_and_too_little_is_told() -> None:
    measured = curve(structure_factor(Q))
    found = compare(measured, Q[:30], structure_factor(Q[:30]), DENSITY_PER_A3, window=(2.0, 6.0))
    assert found.x[0] >= 2.0
    assert found.x[-1] <= 6.0
    with pytest.raises(InputError, match="points in common"):
        compare(measured, Q + 100.0, structure_factor(Q), DENSITY_PER_A3)


def test_the_curve_of_no_structure_depends_on_the_quantity() -> None:
    r = Q
    uniform = 4.0 * np.pi * DENSITY_PER_A3 * r
    found = compare(curve(uniform * 1.3, Quantity.T), r, uniform, DENSITY_PER_A3, scale=None)
    assert found.scale == pytest.approx(1.3)
    with pytest.raises(InputError, match="has no structure"):
        compare(curve(uniform, Quantity.T), r, uniform, DENSITY_PER_A3)
