"""What campaign files and the analysis share of the scatter over models drawn from a posterior."""

from __future__ import annotations

FEWEST_SAMPLES = 4
"""Of three the interval would be that of Student's t with one degree of freedom: it says nothing."""
