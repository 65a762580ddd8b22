"""Measured curves in files of two columns, and how far a computed one is from them.

The measure is R_χ = √(Σ (y_measured - y_computed)² / Σ (y_measured - y₀)²), after Wright, J. Non-Cryst. Solids 1993,
159, 264, 10.1016/0022-3093(93)90232-M, with y₀ the curve of no structure. That flat curve, treated by the same scale
and offset, is the control: a computed curve that is no better says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InputError
from .quantities import Quantity, Unit
from .settings import MeasuredSettings

FEWEST_POINTS: Final = 10
_LARGEST_SENSIBLE: Final = {"q": 60.0, "r": 100.0}
"""Above this nobody measures in 1/Å, or in Å: the unit is another."""
_MOST_UNNAMED_COLUMNS: Final = 3
"""Two, or three with errors; of more nobody knows which is meant."""
_COMMENTS: Final = "#!;%@*'\""
_SEPARATORS: Final = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class MeasuredCurve:
    """A measured curve.

    Attributes
    ----------
    x, y
        Shape [n_points], x rising, in 1/Å or Å.
    errors
        Standard deviations of y, shape [n_points]; None where the file has none.
    quantity
        What y is.
    name
        What it is called.
    """

    x: FloatArray
    y: FloatArray
    errors: FloatArray | None
    quantity: Quantity
    name: str


@dataclass(frozen=True)
class Agreement:
    """How far a computed curve is from a measured one.

    Attributes
    ----------
    x, measured, computed
        The points that are compared: what was measured, and scale times computed plus offset. Shape [n_points].
    scale, offset
        Of the computed curve.
    r_chi
        R_χ, 0 where both are the same.
    control
        R_χ of the flat curve, scaled and moved in the same way.
    chi_square_per_point
        Mean square of differences over errors; None without errors.
    control_chi_square_per_point
        That of the flat curve.
    """

    x: FloatArray
    measured: FloatArray
    computed: FloatArray
    scale: float
    offset: float
    r_chi: float
    control: float
    chi_square_per_point: float | None
    control_chi_square_per_point: float | None


def flat_curve(quantity: Quantity, x: FloatArray, density_per_A3: float) -> FloatArray:
    """Return the curve of no structure."""
    if quantity in (Quantity.S, Quantity.G):
        return np.ones(len(x))
    return 4.0 * np.pi * density_per_A3 * x if quantity is Quantity.T else np.zeros(len(x))


def read_measured(
    path: Path,
    quantity: Quantity = Quantity.S,
    unit: Unit | None = None,
    column: int | None = None,
    error_column: int | None = None,
) -> MeasuredCurve:
    """Read a curve from a file of columns: numbers between blanks, commas or semicolons, under headings or none.

    Parameters
    ----------
    unit
        Of the first column; None: 1/Å or Å, whichever the quantity is a function of.
    column
        Number of the column with the quantity, from 1; None: the second, where the file has two or three.
    error_column
        Number of the column with standard deviations, from 1; None: without.

    Raises
    ------
    InputError
        If the file has no such columns, or numbers that cannot be in that unit.
    """
    columns = np.array(_rows(path, max(2, column or 0, error_column or 0))).T
    if column is None and len(columns) > _MOST_UNNAMED_COLUMNS:
        raise InputError(f"{path} has {len(columns)} columns: say which is {quantity} (--measured-column)")
    axis = quantity.axis
    if unit is not None and unit.axis != axis:
        allowed = " or ".join(one for one in Unit if one.axis == axis)
        raise InputError(f"{path}: {quantity} is a function of {axis}, whose unit is {allowed}, not {unit}")
    x = columns[0] * (1.0 if unit is None else unit.factor)
    order = np.argsort(x, kind="stable")
    x, y = x[order], columns[(column or 2) - 1][order]
    errors = None if error_column is None else columns[error_column - 1][order]
    _check(path, x, y, errors, axis, unit)
    return MeasuredCurve(x, y, errors, quantity, path.name)


def with_points(settings: MeasuredSettings, folder: Path) -> MeasuredSettings:
    """Return settings that hold the points of the curve whose file they name, relative to ``folder``.

    Raises
    ------
    InputError
        As `read_measured`.
    """
    if settings.file is None:
        return settings
    path = folder / Path(settings.file).expanduser()
    curve = read_measured(path, settings.quantity, settings.unit, settings.column, settings.error_column)
    columns = [curve.x, curve.y, *([] if curve.errors is None else [curve.errors])]
    return MeasuredSettings(
        points=tuple(map(tuple, np.column_stack(columns).tolist())),
        name=settings.name or path.name,
        radiation=settings.radiation,
        quantity=settings.quantity,
        scale=settings.scale,
        offset=settings.offset,
        window=settings.window,
    )


def curve_of(settings: MeasuredSettings) -> MeasuredCurve:
    """Return the curve whose points settings hold.

    Raises
    ------
    InputError
        If they are too few, twice at one place or not finite.
    """
    points = np.array(settings.points or ())
    name = settings.name or "the measured curve"
    if len(points) < FEWEST_POINTS:
        raise InputError(f"{name} has {len(points)} points; {FEWEST_POINTS} are needed")
    points = points[np.argsort(points[:, 0], kind="stable")]
    errors = points[:, 2] if points.shape[1] > 2 else None
    _check(name, points[:, 0], points[:, 1], errors, settings.quantity.axis, None)
    return MeasuredCurve(points[:, 0], points[:, 1], errors, settings.quantity, name)


def compare_by(settings: MeasuredSettings, x: FloatArray, y: FloatArray, density_per_A3: float) -> Agreement:
    """Compare a computed curve as settings say; see `compare`."""
    return compare(
        curve_of(settings),
        x,
        y,
        density_per_A3,
        scale=None if isinstance(settings.scale, str) else settings.scale,
        offset=None if isinstance(settings.offset, str) else settings.offset,
        window=settings.window,
    )


def _rows(path: Path, least: int) -> list[list[float]]:
    if not path.is_file():
        raise InputError(f"there is no file {path}" if not path.is_dir() else f"{path} is a folder, not a file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: a measured curve is a file of two columns") from error
    rows: list[list[float]] = []
    count = 0
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text[0] in _COMMENTS:
            continue
        words = [word for word in _SEPARATORS.split(text) if word]
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            if rows:
                raise InputError(f"{path}, line {number}: {text[:40]!r} are no numbers{_comma_hint(text)}") from error
            continue  # a heading
        if len(values) < least:
            # A number of points in front of the columns, as some programs write.
            if not rows and len(values) == 1:
                continue
            raise InputError(f"{path}, line {number} has {len(values)} columns; {least} are needed{_comma_hint(text)}")
        if count and len(values) != count:
            raise InputError(f"{path}, line {number} has {len(values)} columns where those before have {count}")
        count = len(values)
        rows.append(values)
    if len(rows) < FEWEST_POINTS:
        raise InputError(f"{path} has {len(rows)} lines of {least} or more numbers; {FEWEST_POINTS} are needed")
    return rows


def _comma_hint(text: str) -> str:
    return "; write decimal points, not commas" if re.search(r"\d,\d", text) and "." not in text else ""


def _check(
    path: Path | str, x: FloatArray, y: FloatArray, errors: FloatArray | None, axis: str, unit: Unit | None
) -> None:
    for name, values in (("first", x), ("second", y), ("error", errors)):
        if values is not None and not np.isfinite(values).all():
            raise InputError(f"{path} has a number in its {name} column that is not finite")
    if (np.diff(x) <= 0).any():
        raise InputError(f"{path} has {axis} = {x[1:][np.diff(x) <= 0][0]:g} twice; a curve has one value at each")
    if x[0] < 0:
        raise InputError(f"{path} has a negative {axis} ({x[0]:g}): is it the first column?")
    if errors is not None and (errors <= 0).any():
        raise InputError(f"{path} has errors that are not above 0")
    most = _LARGEST_SENSIBLE[axis]
    if x[-1] > most:
        said = "1/Å" if axis == "q" else "Å"
        other = Unit.PER_NANOMETRE if axis == "q" else Unit.NANOMETRE
        why = (
            f"in nanometres? say --measured-unit {other}"
            if unit is None and axis == "q"
            else "is it an angle, or a channel?"
        )
        raise InputError(f"{path}: {axis} goes up to {x[-1]:g} {said}, which nobody measures: {why}")


def compare(
    curve: MeasuredCurve,
    x: FloatArray,
    y: FloatArray,
    density_per_A3: float,
    *,
    scale: float | None = 1.0,
    offset: float | None = 0.0,
    window: tuple[float, float] | None = None,
) -> Agreement:
    """Compare a computed curve with a measured one, at the measured points where both are.

    Parameters
    ----------
    x, y
        The computed curve, of the measured quantity, x rising; between its points it is linear.
    scale, offset
        Of the computed curve; None fits it, by least squares.
    window
        Range of x that is compared; None: all.

    Raises
    ------
    InputError
        If there are too few points in common.
    """
    low, high = window or (-np.inf, np.inf)
    chosen = (curve.x >= max(low, x[0])) & (curve.x <= min(high, x[-1]))
    if np.count_nonzero(chosen) < FEWEST_POINTS:
        raise InputError(
            f"{curve.name} and the computed curve have {np.count_nonzero(chosen)} points in common, from "
            f"{max(low, x[0]):.3g} to {min(high, x[-1]):.3g}; {FEWEST_POINTS} are needed (it goes from "
            f"{curve.x[0]:.3g} to {curve.x[-1]:.3g})"
        )
    at, measured = curve.x[chosen], curve.y[chosen]
    errors = None if curve.errors is None else curve.errors[chosen]
    flat = flat_curve(curve.quantity, at, density_per_A3)
    computed = np.interp(at, x, y)
    fitted, factor, shift = _fitted(measured, computed, errors, scale, offset)
    control, _, _ = _fitted(measured, flat, errors, scale, offset)
    norm = float(np.sum((measured - flat) ** 2))
    if norm == 0.0:
        raise InputError(f"{curve.name} has no structure: it is flat")
    return Agreement(
        at,
        measured,
        fitted,
        factor,
        shift,
        float(np.sqrt(np.sum((measured - fitted) ** 2) / norm)),
        float(np.sqrt(np.sum((measured - control) ** 2) / norm)),
        None if errors is None else float(np.mean(((measured - fitted) / errors) ** 2)),
        None if errors is None else float(np.mean(((measured - control) / errors) ** 2)),
    )


def _fitted(
    measured: FloatArray, computed: FloatArray, errors: FloatArray | None, scale: float | None, offset: float | None
) -> tuple[FloatArray, float, float]:
    """Return scale times computed plus offset, and both; None is fitted."""
    weight = np.ones(len(measured)) if errors is None else 1.0 / errors
    target = measured - (0.0 if scale is None else scale * computed) - (0.0 if offset is None else offset)
    unknown = [computed] * (scale is None) + [np.ones(len(measured))] * (offset is None)
    factor, shift = scale or 0.0, offset or 0.0
    if unknown:
        columns = np.column_stack(unknown) * weight[:, None]
        found = list(np.linalg.lstsq(columns, target * weight, rcond=None)[0])
        if scale is None:
            factor = float(found.pop(0))
        if offset is None:
            shift = float(found.pop(0))
    return factor * computed + shift, factor, shift
