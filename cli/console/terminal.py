"""What the commands print to: a terminal of some width, or a pipe, whose reader breaks no lines."""

from __future__ import annotations

import codecs
import unicodedata
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

IN_WORDS: Final = "ionloop-in-words"
"""Name of the handler of errors of encodings that writes in plain letters what an alphabet lacks."""
_PLAIN: Final = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda", "μ": "u",
    "π": "pi", "ρ": "rho", "σ": "sigma", "φ": "phi", "χ": "chi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Σ": "Sum",
    "Å": "A", "µ": "u", "°": " deg", "×": "x", "·": ".", "±": "+-", "−": "-", "–": "-", "—": "-", "‐": "-",
    "→": "->", "←": "<-", "►": ">", "▲": "^", "▼": "v", "≤": "<=", "≥": ">=", "≈": "~", "∞": "inf", "√": "sqrt",
    "²": "^2", "³": "^3", "¹": "^1", "⁻": "^-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*",
    "│": "|", "┃": "|", "─": "-", "━": "-", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "ß": "ss",
}  # fmt: skip

_UNBROKEN_WIDTH = 10_000
_NARROWEST_WIDTH = 40
_USUAL_WIDTH = 80


def make_console(*, stderr: bool = False, **options: Any) -> Console:
    """Return a console: as wide as the terminal; without one lines are not folded, which would break paths."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, **options)
    if not console.is_terminal:
        console.width = _UNBROKEN_WIDTH
    elif console.width < _NARROWEST_WIDTH:
        # COLUMNS=0 is what some schedulers and editors say.
        console.width = _USUAL_WIDTH
    return console


def shows_lines(console: Console) -> bool:
    """Return whether what is printed to may hold the characters of drawings."""
    return console.encoding.lower().startswith("utf")


def redraws(console: Console) -> bool:
    """Return whether lines that were printed can be replaced: on a terminal that is not a dumb one."""
    return console.is_terminal and not console.is_dumb_terminal


def _in_words(error: UnicodeError) -> tuple[str, int]:
    """Return in plain letters what an alphabet lacks: names of letters, units and signs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(one) or _plain(one) for one in lacking), error.end


def _plain(character: str) -> str:
    """Return a character without its accents, or a question mark."""
    known = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return known or ("" if unicodedata.combining(character) else "?")


codecs.register_error(IN_WORDS, _in_words)
