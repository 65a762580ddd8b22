"""What the analysis makes of mean squared displacements that are exact: its own error, without any noise."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.conductivity.diffusion import diffusion_of_curve

RATE, BACK = 0.02, 1 / 7
VIBRATION_A2 = 0.7
SIZES = [(2000, 14), (10_000, 14), (10_000, 448)]


def straight(lags):
    return 6.0 * lags


def rattling(lags):
    """Vibrations that relax within six frames, beside diffusion of 1 Å² per frame."""
    return 6.0 * (lags + VIBRATION_A2 * (1 - np.exp(-lags / 6.0)))


def back_hops(lags):
    """Hops of which one in seven is taken back: <cos> = -1/7 between successive ones; 1 Å² per frame at long times."""
    factor, hops = (1 - BACK) / (1 + BACK), RATE * lags
    return 6.0 * (hops * factor + 2 * BACK * (1 - np.exp(-(1 + BACK) * hops)) / (1 + BACK) ** 2) / (RATE * factor)


def both(lags):
    return back_hops(lags) + 6.0 * 10.0 * (1 - np.exp(-lags / 3.0))


@pytest.mark.parametrize(("frames", "ions"), SIZES)
@pytest.mark.parametrize("curve", [straight, rattling, back_hops, both])
@pytest.mark.parametrize("is_known", [True, False])
def test_exact_curves_have_their_diffusivity_within_the_interval(curve, frames, ions, is_known):
    hop_time = 0.0 if curve in {straight, rattling} else 1 / RATE
    found = diffusion_of_curve(curve, frames, ions, hop_time=hop_time if is_known else None)
    estimate = found.estimate
    assert found.check.linear
    assert estimate.contains(1.0)
    # The truth is no farther than noise could hide.
    assert abs(estimate.value - 1.0) < 0.6 * (estimate.high - estimate.low)
    if curve is straight:
        assert estimate.high - estimate.low < 2.5 * 3.92 * np.sqrt(2.0 / (3 * ions * frames))


def test_more_data_leave_less_bias():
    off = [
        abs(diffusion_of_curve(both, frames, ions, hop_time=1 / RATE).estimate.value - 1.0) for frames, ions in SIZES
    ]
    assert off[2] < 0.03
    assert off[2] < off[1] < off[0] + 0.02


@pytest.mark.parametrize("exponent", [0.5, 0.7, 0.9])
def test_a_power_of_time_is_no_diffusion(exponent):
    assert not diffusion_of_curve(lambda lags: lags**exponent, 10_000, 448).check.linear


def test_what_is_no_curve_is_refused():
    with pytest.raises(ValueError, match="20 frames"):
        diffusion_of_curve(straight, 10, 4)
    with pytest.raises(ValueError, match="finite"):
        diffusion_of_curve(lambda lags: np.full_like(lags, np.nan), 100, 4)
