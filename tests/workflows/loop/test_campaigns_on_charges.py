"""Whole campaigns on charges at rest, from the file to the report: labels, fits, dynamics, locality, fields."""

from __future__ import annotations

from contextlib import closing
from html import unescape
from pathlib import Path

import pytest

from ionloop.store.connection import open_store
from ionloop.tasks.values.defects import FRENKEL, FRENKEL_IN_FIELD
from ionloop.tasks.values.locality import LOCALITIES
from tests.small_campaign import CAMPAIGN, finish, prepare

CHARGES = "charges: {Cu: 0.4, Au: -0.3}"
ANALYSES = """
models: [es-gap]
analyses:
  locality: {radii_A: [3.0, 4.0], samples: 2, centres: 1}
"""
FRENKEL_PAIRS = """
  frenkel:
    pairs: 1
    attempts: 2
    fields_V_per_A: [-0.05, 0.05]
    axes: [x]
    reference: false
    relaxation: {max_steps: 40, force_tolerance_eV_per_A: 0.1}
"""
EQUILIBRATED = f"kind: equilibrated, {CHARGES}, most_steps: 3, short_range_control: false"
QEQ = f"kind: qeq, {CHARGES}, electronegativities_eV: {{Cu: 3.0, Au: 5.0}}"


@pytest.mark.slow
@pytest.mark.parametrize(("baseline", "more"), [(EQUILIBRATED, FRENKEL_PAIRS), (QEQ, "")], ids=["equilibrated", "qeq"])
def test_a_campaign_on_charges_at_rest_goes_from_its_file_to_its_report(tmp_path: Path, baseline: str, more: str):
    file = prepare(tmp_path / "small")
    text = CAMPAIGN.replace(f"baseline: {{{CHARGES}}}", f"baseline: {{{baseline}}}").replace(
        "max_generations: 2", "max_generations: 1"
    )
    assert baseline in text
    file.write_text(text + ANALYSES.rstrip() + more)
    finish(file)
    with closing(open_store(str(file.parent / "ionloop.db"), use_environment=False)) as store:
        (tested,) = store.results.find({"kind": LOCALITIES.name})
        pairs, in_field = (list(store.results.find({"kind": kind.name})) for kind in (FRENKEL, FRENKEL_IN_FIELD))
    locality = LOCALITIES.read(tested)
    assert locality.after is not None
    assert locality.after != locality.before
    assert locality.baseline_is_fitted == bool(more)
    report = unescape((file.parent / "small-report.html").read_text())
    assert "without the baseline's part" in report
    if more:
        assert FRENKEL.read(pairs[0]).intact
        followed = FRENKEL_IN_FIELD.read(in_field[0])
        assert followed.charges_e["Cu"] * 6 + followed.charges_e["Au"] * 8 == pytest.approx(0.0, abs=1e-6)
        assert len(followed.pairs[0].axes["x"]) == 3
        assert "Born charges of the relaxed bulk" in report
