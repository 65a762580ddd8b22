"""How atoms scatter: neutron scattering lengths, X-ray form factors, and the weights of partial structure factors.

The total structure factor is that of Faber and Ziman (Phil. Mag. 1965, 11, 153, 10.1080/14786436508211931):
S(q) = Σ_ab w_ab S_ab(q), w_ab = c_a c_b b_a b_b / <b>², over ordered pairs of species, so that Σ w_ab = 1.

Lengths of common elements are here, those of Sears (Neutron News 1992, 3, 26, 10.1080/10448639208218770), for that is
what published structure factors were divided by, and a record must not change with the release of a library. Those of
other elements, and form factors, are those of `periodictable`, the extra ``x-rays``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from .quantities import Radiation

LEAST_CONTRAST: Final = 0.02
"""<b>²/<b²> below which a sample has nearly no average length: dividing by it is not sensible."""

_LENGTHS_FM: Final = """
H -3.7390  He 3.26  Be 7.79  B 5.30  C 6.6460  N 9.36  O 5.803  F 5.654  Ne 4.566  Na 3.63  Mg 5.375  Al 3.449
Si 4.1491  P 5.13  S 2.847  Cl 9.5770  Ar 1.909  K 3.67  Ca 4.70  Sc 12.29  Ti -3.438  V -0.3824  Cr 3.635  Mn -3.73
Fe 9.45  Co 2.49  Ni 10.3  Cu 7.718  Zn 5.680  Ga 7.288  Ge 8.185  As 6.58  Se 7.970  Br 6.795  Kr 7.81  Rb 7.09
Sr 7.02  Y 7.75  Zr 7.16  Nb 7.054  Mo 6.715  Ru 7.03  Rh 5.88  Pd 5.91  Ag 5.922  Sn 6.225  Sb 5.57  Te 5.80
I 5.28  Xe 4.92  Cs 5.42  Ba 5.07  La 8.24  Ce 4.84  Hf 7.7  Ta 6.91  W 4.86  Re 9.2  Os 10.7  Ir 10.6  Pt 9.60
Au 7.63  Tl 8.776  Pb 9.405  Bi 8.532  Li -1.90  1-H -3.7406  2-H 6.671  6-Li 2.00  7-Li -2.22  11-B 6.65
12-C 6.6511  13-C 6.19  14-N 9.37  15-N 6.44  16-O 5.803  17-O 5.78  18-O 5.84  32-S 2.804  34-S 3.48  35-Cl 11.65
37-Cl 3.08  58-Ni 14.4  60-Ni 2.8  62-Ni -8.7
"""
"""Bound coherent scattering lengths: natural elements, then isotopes."""
_EXTRA = "pip install 'ionloop[x-rays]'"


def _read_lengths() -> dict[str, float]:
    words = _LENGTHS_FM.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


LENGTHS_FM: Final[Mapping[str, float]] = _read_lengths()


def scattering_length_fm(symbol: str, isotope: int | None = None) -> float:
    """Return the bound coherent neutron scattering length of an element, or of one of its isotopes (fm).

    Raises
    ------
    InputError
        If it is not known.
    """
    name = symbol if isotope is None else f"{isotope}-{symbol}"
    known = LENGTHS_FM.get(name)
    return known if known is not None else _from_library(symbol, isotope)


def _from_library(symbol: str, isotope: int | None) -> float:
    what = symbol if isotope is None else f"the isotope {isotope} of {symbol}"
    element = getattr(
        _library(f"the neutron scattering length of {what} is not among ionloop's own", what), symbol, None
    )
    if element is None:
        raise InputError(f"{symbol} is no element: nobody knows how it scatters neutrons")
    if isotope is not None:
        if isotope not in element.isotopes:
            near = [one for one in element.isotopes if abs(element[one].abundance) > 0] or element.isotopes
            raise InputError(f"there is no isotope {isotope} of {symbol}; there are {', '.join(map(str, near))}")
        element = element[isotope]
    if element.neutron.b_c is None:
        raise InputError(f"the neutron scattering length of {what} is not known; give it: lengths_fm")
    return float(element.neutron.b_c)


def form_factor(symbol: str, q_per_A: FloatArray) -> FloatArray:
    """Return the X-ray form factor of a neutral atom (electrons): five Gaussians and a constant.

    Waasmaier and Kirfel, Acta Cryst. A 1995, 51, 416, 10.1107/S0108767394013292; without anomalous dispersion.

    Parameters
    ----------
    q_per_A
        Lengths of wave vectors, 4π sin θ/λ (1/Å).

    Raises
    ------
    InputError
        If they are not known, or `periodictable` is not installed.
    """
    element = getattr(_library("X-ray form factors come from the package periodictable", symbol), symbol, None)
    found = None if element is None else element.xray.f0(np.asarray(q_per_A, dtype=float))
    if found is None or not np.isfinite(found).all():
        raise InputError(f"no X-ray form factor of {symbol} is known up to {float(np.max(q_per_A)):g} 1/Å")
    return np.asarray(found)


def _library(why: str, what: str) -> Any:
    try:
        import periodictable
    except ImportError as error:
        raise InputError(f"{why}, and is not installed ({what}): {_EXTRA}, or leave it out") from error
    return periodictable


def isotopes_of(texts: Sequence[str], option: str) -> dict[str, int]:
    """Return mass numbers by element, written as ``Li=7``.

    Raises
    ------
    InputError
        If one is not written like that.
    """
    found: dict[str, int] = {}
    for text in texts:
        match = re.fullmatch(r"\s*([A-Z][a-z]?)\s*[=:]\s*(\d+)\s*", text)
        if match is None:
            raise InputError(f"{option} {text!r} must be an element and a mass number, such as Li=7")
        found[match.group(1)] = int(match.group(2))
    return found


def lengths(
    radiation: Radiation,
    species: Sequence[str],
    q_per_A: FloatArray,
    isotopes: Mapping[str, int] | None = None,
    lengths_fm: Mapping[str, float] | None = None,
) -> FloatArray:
    """Return how strongly each species scatters at each wave vector, shape [n_species, n_q] (fm, or electrons).

    Parameters
    ----------
    isotopes
        Mass numbers of species that are enriched, for neutrons.
    lengths_fm
        Scattering lengths that are taken instead of tabulated ones (fm).

    Raises
    ------
    InputError
        If one is not known, or an isotope is given of what is not there.
    """
    if radiation == "x-rays":
        return np.array([form_factor(symbol, q_per_A) for symbol in species])
    given, enriched = dict(lengths_fm or {}), dict(isotopes or {})
    for key, names in (("isotopes", enriched), ("lengths_fm", given)):
        for symbol in names:
            if symbol not in species:
                raise InputError(f"{key} names {symbol}, and there are only {', '.join(species)}")
    each = [given[one] if one in given else scattering_length_fm(one, enriched.get(one)) for one in species]
    return np.repeat(np.array(each)[:, None], len(q_per_A), axis=1)


def mean_length(counts: IntArray, each: FloatArray) -> FloatArray:
    """Return <b>, the mean of lengths [n_species, n_q] over atoms, shape [n_q]."""
    return np.asarray(counts @ each / counts.sum())


def mean_square_length(counts: IntArray, each: FloatArray) -> FloatArray:
    """Return <b²>, shape [n_q]."""
    return np.asarray(counts @ each**2 / counts.sum())


def faber_ziman_weights(counts: IntArray, each: FloatArray) -> FloatArray:
    """Return w_ab = c_a c_b b_a b_b / <b>², shape [n_species, n_species, n_q]; of ordered pairs, they add up to 1.

    Parameters
    ----------
    counts
        Atoms of each species.
    each
        Lengths from `lengths`, shape [n_species, n_q].

    Raises
    ------
    InputError
        If the mean length is too near to 0: <b>² would divide by nothing.
    """
    mean, square = mean_length(counts, each), mean_square_length(counts, each)
    if (mean**2 < LEAST_CONTRAST * square).any():
        raise InputError(
            f"<b>² is {float((mean**2 / square).min()):.2g} of <b²>: the sample has nearly no mean scattering length, "
            "and a total structure factor that is divided by it means nothing; give other isotopes"
        )
    share = (counts / counts.sum())[:, None] * each / mean
    return np.asarray(share[:, None, :] * share[None, :, :])


def scattering_words(radiation: Sequence[str], isotopes: Mapping[str, int]) -> str:
    """Return ``neutrons (7Li) and x-rays`` for the methods of a paper."""
    enriched = ", ".join(f"{mass}{symbol}" for symbol, mass in isotopes.items())
    words = [f"{one} ({enriched})" if enriched and one == "neutrons" else one for one in radiation]
    return " and ".join(words).replace("x-rays", "X-rays")
