"""Glasses as a graph: a binary liquid that is known to vitrify, packed, molten, cooled, held, relaxed."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from kob_andersen import KobAndersen

from ionloop.analysis.glasses.settings import GlassSettings
from ionloop.core.errors import AtomsCoincide, InputError
from ionloop.sampling.structures.crystals import build_crystal, load_structure
from ionloop.sampling.structures.packing import density_of_g_per_cm3
from ionloop.sampling.trajectory import read_frames
from ionloop.tasks.glasses import glass as under_test
from ionloop.tasks.values.glasses import GLASS, GLASSES
from ionloop.workflows.analyses import runner
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.glasses.kind import GLASSES as ANALYSIS
from ionloop.workflows.analyses.runner import OwnCalculator, Question, ask
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.exchange.export import Target, export
from ionloop.workflows.graph.plan import Plan

SETTINGS = {
    "glasses": 2, "quench_K_per_ps": [4000.0], "sizes": [30],
    "start": {"density_g_per_cm3": 8.5, "density_fraction": 1.0, "covalent_fraction": 0.7, "relaxation_steps": 30},
    "melt_temperature_K": 1200.0, "melt_ps": 0.2, "hold_temperature_K": 800.0, "hold_ps": 0.2,
    "temperature_K": 100.0, "glass_ps": 0.4, "timestep_fs": 4.0, "write_every": 10, "friction_per_ps": 10.0,
    "barostat": {"time_fs": 100.0, "every": 5, "compressibility_per_GPa": 0.02},
    "relaxation": {"steps": 60}, "guard": {"contacts": {"covalent_fraction": 0.4}},
    "network": {"centres": ["P"], "ligands": ["Ni"], "cutoffs_A": {"Ni-P": 3.0}},
}  # fmt: skip


def alloy() -> Atoms:
    return Atoms("Ni4P", np.random.default_rng(1).random((5, 3)) * 4, cell=[4] * 3, pbc=True)


def asked(monkeypatch=None, run=None, **changes):
    if run is not None:
        monkeypatch.setattr(runner, "run_jobs", run)
    settings = GlassSettings.model_validate({**SETTINGS, **changes})
    return ask(ANALYSIS, Question(alloy(), [OwnCalculator(KobAndersen())], settings, campaign={"mobile": "Ni"}))


def test_glasses_are_made_and_compared_and_written_as_structures(monkeypatch) -> None:
    kept = {}
    run = runner.run_jobs

    def looked_at(context, jobs, progress=None):
        failed = run(context, jobs, progress)
        store = context.store
        for record in store.results.find({"kind": GLASS.name}):
            kept[record.id] = read(store.artefacts.path(record.artefacts["structure"].path))
            stages = [store.trajectories[name] for name in record.inputs]
            kept["frames"] = [read_frames(store.artefacts.path(one.artefact.path)) for one in stages]
        (summary,) = store.results.find({"kind": GLASSES.name})
        compared = ANALYSIS.comparisons()[GLASSES.name]
        kept["figures"] = [block.key for block in compared.draw([compared.read(store, summary, None)])]
        return failed

    answer = asked(monkeypatch, looked_at)
    assert answer.failed == {}
    records = answer.of_kind(GLASS.name)
    glasses = [GLASS.read(one) for one in records]
    assert [(one.number, one.atoms, one.broken) for one in glasses] == [(1, 30, ""), (2, 30, "")]
    assert glasses[0].seed != glasses[1].seed
    assert glasses[0].cooling_ps == pytest.approx(700 / 4000)
    for record, values in zip(records, glasses, strict=True):
        structure = kept[record.id]
        assert structure.get_chemical_formula() == "Ni24P6"
        assert density_of_g_per_cm3(structure) == pytest.approx(values.density_g_per_cm3)
        structure.calc = KobAndersen()
        assert structure.get_potential_energy() / 30 == pytest.approx(values.energy_eV_per_atom)
        # The barostat keeps the shape: a packing's box is a cube.
        assert structure.cell.lengths() == pytest.approx(structure.cell.lengths()[0])
        assert structure.cell.angles() == pytest.approx(90)
    assert kept["figures"] == ["density", "anions"]
    melt, quench, held = kept["frames"]
    for frame in (*melt, *quench, *held):
        assert frame.get_momenta().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert len({frame.get_volume() for frame in melt}) == 1
    assert len({frame.get_volume() for frame in quench}) > 3
    assert quench[-1].get_volume() == held[0].get_volume()
    summary = GLASSES.read(answer.only(GLASSES.name))
    (group,) = summary.groups
    assert group.density_g_per_cm3.mean == pytest.approx(np.mean([one.density_g_per_cm3 for one in glasses]))
    assert group.density_g_per_cm3.too_few
    texts = " ".join(block.text for block in answer.section.blocks if hasattr(block, "text"))
    assert "2 glasses, fewer than three" in texts
    assert {"glasses-density", "glasses-quench"} <= set(answer.section.figures)


def test_a_glass_that_was_killed_in_its_quench_is_the_same_glass(monkeypatch) -> None:
    whole = asked(glasses=1).only(GLASS.name)

    class Killed(BaseException):
        pass

    class Mortal(KobAndersen):
        asked = 0

        def calculate(self, *given, **named):
            Mortal.asked += 1
            if Mortal.asked == 200:
                raise Killed
            super().calculate(*given, **named)

    run = runner.run_jobs

    def twice(context, jobs, progress=None):
        for name in context.calculators:
            context.calculators[name] = Mortal()
        with pytest.raises(Killed):
            run(context, jobs, progress)
        return run(context, jobs, progress)

    again = asked(monkeypatch, twice, glasses=1).only(GLASS.name)
    assert (again.id, again.values) == (whole.id, whole.values)


def test_a_glass_that_breaks_is_counted_and_stops_nothing() -> None:
    answer = asked(guard={"maximum_force_eV_per_A": 0.001}, relaxation={"steps": 0})
    assert answer.failed == {}
    (group,) = GLASSES.read(answer.only(GLASSES.name)).groups
    assert (group.planned, group.broken, group.density_g_per_cm3) == (2, 2, None)
    assert "0 of 2 glasses; 2 broke" in answer.section.summary


class Collapsing(KobAndersen):
    """Refuses atoms whose pull has begun, as potentials of ours refuse two atoms at one place."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls % 3 == 0:
            raise AtomsCoincide("atoms 1 and 2 are at the same place")
        super().calculate(atoms, properties, system_changes)


def test_a_packing_that_the_potential_pulls_together_is_broken_and_no_failure() -> None:
    settings = GlassSettings.model_validate(SETTINGS)
    question = Question(alloy(), [OwnCalculator(Collapsing())], settings, campaign={"mobile": "Ni"})
    answer = ask(ANALYSIS, question)
    assert answer.failed == {}
    assert [GLASS.read(one).broken for one in answer.of_kind(GLASS.name)] == [
        "in the packing: atoms 1 and 2 are at the same place"
    ] * 2


def test_more_glasses_leave_those_that_are_there() -> None:
    def named(**changes):
        settings = GlassSettings.model_validate({**SETTINGS, **changes})
        same = {"campaign": "c", "generation": 1, "potential": {"kind": "gap", "model": "m"}, "seed": 1}
        return under_test.GlassParameters(
            **same, settings=settings, size=30, quench_K_per_ps=4000.0, number=1
        ).identifier

    assert named() == named(glasses=8, quench_K_per_ps=[1.0, 4000.0], sizes=[30, 60])
    assert named() != named(melt_ps=0.4)
    assert under_test.GlassTask.resumable


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(InputError, match=r"start does not go: .* spheres at the shortest distances fill"):
        asked(start={"density_g_per_cm3": 25.0, "density_fraction": 1.0, "covalent_fraction": 1.2})
    with pytest.raises(InputError, match="do not use up the centres"):
        asked(start={"polyanions": {"PS4": 1}})


def test_glasses_are_kept_and_exported_as_files_that_campaigns_read(monkeypatch, tmp_path) -> None:
    run = runner.run_jobs

    def exported(context, jobs, progress=None):
        failed = run(context, jobs, progress)
        export(context.store, runner.NAME, Target.STRUCTURES, tmp_path / "out")
        return failed

    monkeypatch.setattr(runner, "run_jobs", exported)
    settings = GlassSettings.model_validate({**SETTINGS, "glasses": 1})
    question = Question(alloy(), [OwnCalculator(KobAndersen())], settings, campaign={"mobile": "Ni"})
    glass = GLASS.read(ask(ANALYSIS, question, keep=tmp_path / "kept").only(GLASS.name))
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.name.startswith("calculator-30-atoms-4000K-per-ps-1-")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {kept.name, "README.md", "SHA256SUMS"}
    again = load_structure(str(kept))
    assert density_of_g_per_cm3(again) == pytest.approx(glass.density_g_per_cm3)
    assert read(kept).info["quench_K_per_ps"] == 4000.0


def test_a_reference_engine_makes_glasses_too() -> None:
    copper = Atoms("Cu4", [(0, 0, 0), (1.8, 1.8, 0), (1.8, 0, 1.8), (0, 1.8, 1.8)], cell=[3.6] * 3, pbc=True)
    brief = {"melt_ps": 0.02, "hold_ps": 0.02, "glass_ps": 0.04, "quench_K_per_ps": [20000], "write_every": 5}
    given = {**SETTINGS, **brief, "glasses": 1, "sizes": [[1, 1, 3]], "models": ["reference"], "start": {}}
    settings = GlassSettings.model_validate({**given, "timestep_fs": 2.0, "relaxation": {"steps": 2}})
    engine = {"engine": "command", "calculator": "ase.calculators.emt:EMT"}
    answer = ask(ANALYSIS, Question(copper, [], settings, reference=engine, campaign={"mobile": "Cu"}))
    glass = GLASS.read(answer.only(GLASS.name))
    assert (glass.atoms, glass.broken) == (12, "")
    assert answer.only(GLASSES.name).model_kind == "reference"


def test_what_is_held_at_the_end_is_offered_of_the_slowest_rate_and_the_largest_size() -> None:
    analyses = {"glasses": {"quench_K_per_ps": [100, 10], "sizes": [[1, 1, 1], [2, 1, 1]], "glasses": 3}}
    campaign = Campaign.model_validate({"name": "c", "structure": "gamma-li3ps4", "analyses": analyses})
    crystal = build_crystal("gamma-li3ps4")
    plan = AnalysisPlan(Plan.of_one(campaign, crystal), 1, {"gap": "model-1"}, {"gap": "final/fit/gap"})
    jobs, runs = ANALYSIS.jobs(plan), ANALYSIS.runs(plan)
    assert [job.key for job in jobs][-1] == "analysis/glasses/gap"
    assert len(jobs) == 13
    assert [run.job for run in runs] == [f"analysis/glasses/gap/2x1x1/10K-per-ps/{number}" for number in (1, 2, 3)]
    settings = ANALYSIS.settings(campaign)
    assert {run.skipped_frames for run in runs} == {settings.first_glass_frame}
    cost = ANALYSIS.cost(campaign, crystal)
    assert cost.model_atoms == 2 * len(crystal)
    # Small glasses count half: 4.5 of the slow ones and 4.5 of the fast ones.
    assert cost.model_evaluations > 4.5 * (settings.steps(10.0) + settings.steps(100.0))
