"""Joint models: several campaigns of one store feed one potential."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.models import load_model, read_manifest
from ionloop.store.records import Origin
from ionloop.tasks.assess import AssessTask
from ionloop.tasks.base import JobFailed, TaskParameters
from ionloop.tasks.label import add_configuration
from ionloop.tasks.values.experts import EXPERTS
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.experts import choose_experts
from ionloop.workflows.graph.plan import load_plan
from ionloop.workflows.loop.generation_loop import initial_graph, label_job, model_identifiers, next_graph
from ionloop.workflows.report.experts import experts_section
from ionloop.workflows.submission.structure_problems import structure_problems
from ionloop.workflows.submission.submission import submit

LABELS = 4


class Labelled:
    """A campaign of the small store with a first data set, beside others there."""

    def __init__(self, small: Any, name: str, first_seed: int, **changes: Any) -> None:
        self.small, self.name = small, name
        self.campaign = Campaign.model_validate(small.settings(name=name, **changes))
        submit(small.store, self.campaign, _crystal(0.0, 0), small.folder / f"{name}.yaml")
        graph = initial_graph(load_plan(small.store, name))
        for job in graph.jobs:
            if "isolated-atom" in job.key:
                small.run(job)
        self.label(0, first_seed)
        self.data_set = small.run(next(job for job in graph.jobs if job.task is AssessTask)).pass_on["data_set"]

    def label(self, generation: int, first_seed: int) -> None:
        place = TaskParameters(campaign=self.name, generation=generation)
        for index in range(LABELS):
            atoms = _crystal(0.05, first_seed + index)
            record = add_configuration(self.small.store, place, atoms, Origin(sampler="test", index=index))
            self.small.run(label_job(self.campaign, generation, record.id))

    def fits(self) -> dict[str, Any]:
        jobs = next_graph(self.small.store, self.name, 0, self.data_set).jobs
        return {job.key.rpartition("/")[2]: job for job in jobs if "/fit/" in job.key}

    def fit(self) -> dict[str, Any]:
        return {name: self.small.run(job) for name, job in self.fits().items()}

    def folder(self, model: str) -> Any:
        plan = load_plan(self.small.store, self.name, self.data_set)
        record = self.small.store.models[model_identifiers(plan, self.data_set)[model]]
        return self.small.store.artefacts.path(record.path)


def _crystal(stdev_A: float, seed: int) -> Any:
    from ase.build import bulk

    atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    del atoms[[0, 6]]
    atoms.rattle(stdev_A, seed=seed)
    return atoms


def joint(*of: str, **settings: Any) -> dict[str, Any]:
    return {"gap": {}, "universal": {"kind": "fusion", "of": list(of), **settings}}


def test_a_joint_model_holds_the_labels_of_all_campaigns(small: Any) -> None:
    other = Labelled(small, "other", 50, models=["gap"])
    other.fit()
    mine = Labelled(small, "mine", 70, models=joint("other"))
    outcomes = mine.fit()
    assert outcomes["universal"].reason == "joined with other/gap"
    assert outcomes["gap"].reason == ""
    manifest = read_manifest(mine.folder("universal"))
    assert (manifest.configurations, read_manifest(mine.folder("gap")).configurations) == (2 * LABELS, LABELS)
    assert manifest.experts == (read_manifest(other.folder("gap")).inputs_hash,)
    # It has seen the other campaign's cells, which a model of these labels alone has not.
    wrong = {}
    for name in ("gap", "universal"):
        calculator = load_model(mine.folder(name))
        errors = []
        for seed in range(50, 50 + LABELS):
            atoms = _crystal(0.05, seed)
            atoms.calc = calculator
            errors.append(atoms.get_forces() - load_forces(small, atoms))
        wrong[name] = float(np.sqrt(np.mean(np.square(errors))))
    assert wrong["universal"] < wrong["gap"]


def load_forces(small: Any, atoms: Any) -> Any:
    from ionloop.core.structures import structure_hash

    (label,) = small.store.labels.find({"content_hash": structure_hash(atoms)})
    return np.array(label.forces)


def test_what_it_is_made_of_is_chosen_once_for_a_data_set(small: Any) -> None:
    other = Labelled(small, "other", 50, models=["gap"])
    mine = Labelled(small, "mine", 70, models=joint("other", "later"))
    before = mine.fits()["universal"].parameters
    assert before.joint.experts == ()
    assert before.joint.words == "joined with no other model; without other, later, of which there was none yet"
    other.fit()
    assert mine.fits()["universal"].parameters == before
    record = next(iter(small.store.results.find({"campaign": "mine", "kind": EXPERTS.name})))
    section = experts_section([record])
    assert section is not None
    assert "without other, later" in section.summary
    # The next data set sees what is there by then.
    later = small.store.data_sets[mine.data_set].model_copy(update={"id": "data-later", "generation": 1})
    small.store.data_sets.add(later)
    choose_experts(small.store, mine.campaign, 1, "data-later")
    plan = load_plan(small.store, "mine", "data-later")
    assert [str(one) for one in plan.experts["universal"].experts] == ["other/gap"]
    assert plan.experts["universal"].missing == ("later",)


def test_its_identifier_tells_what_it_is_made_of_and_all_others_stay(small: Any) -> None:
    mine = Labelled(small, "mine", 70, models=joint("other"))
    alone = model_identifiers(load_plan(small.store, "mine", mine.data_set), mine.data_set)
    other = Labelled(small, "other", 50, models=["gap"])
    other.fit()
    choose_experts(small.store, mine.campaign, 0, mine.data_set)
    both = model_identifiers(load_plan(small.store, "mine", mine.data_set), mine.data_set)
    assert both["gap"] == alone["gap"]
    assert both["universal"] != alone["universal"]


def test_of_several_models_one_has_to_be_named(small: Any) -> None:
    two = {"gap": {}, "small": {"kind": "gap", "soap": {"sparse_points": 3}}}
    Labelled(small, "other", 50, models=two).fit()
    mine = Labelled(small, "mine", 70, models=joint("other"))
    with pytest.raises(JobFailed, match="say which one, other/gap or other/small"):
        mine.fits()
    named = Labelled(small, "named", 80, models=joint("other/small"))
    assert [str(one) for one in named.fits()["universal"].parameters.joint.experts] == ["other/small"]


def test_models_on_a_baseline_join_such_alone(small: Any) -> None:
    Labelled(small, "other", 50, models=["gap", "es-gap"]).fit()
    models = {"es-gap": {}, "universal": {"kind": "es-fusion", "of": ["other"]}}
    mine = Labelled(small, "mine", 70, models=models)
    assert [str(one) for one in mine.fits()["universal"].parameters.joint.experts] == ["other/es-gap"]
    assert mine.fit()["universal"].reason == "joined with other/es-gap"
    wrong = Labelled(small, "wrong", 80, models=joint("other/es-gap"))
    with pytest.raises(JobFailed, match="other/es-gap cannot join a fusion: it is of the kind es-gap"):
        wrong.fits()


def test_descriptors_that_differ_are_a_failure_that_names_them(small: Any) -> None:
    Labelled(small, "other", 50, models={"gap": {"soap": {"n_max": 3}}}).fit()
    mine = Labelled(small, "mine", 70, models=joint("other"))
    with pytest.raises(InputError, match=r"soap\.n_max differs: 2 in .*, 3 in "):
        small.run(mine.fits()["universal"])


def test_a_model_that_joins_and_is_damaged_is_named(small: Any) -> None:
    other = Labelled(small, "other", 50, models=["gap"])
    other.fit()
    mine = Labelled(small, "mine", 70, models=joint("other"))
    (other.folder("gap") / "gap.xml").write_text("no longer")
    with pytest.raises(JobFailed, match="of other/gap, which joins this one, is missing or damaged"):
        small.run(mine.fits()["universal"])


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (joint("mine"), "is this campaign, whose labels are in all of its models"),
        (joint("mine/gap"), "is this campaign, whose labels are in all of its models"),
        ({"universal": {"kind": "fusion", "on": ["other"]}}, "on"),
        (joint("other", how="feo"), "feo"),
    ],
)
def test_wrong_joint_models_are_told(small: Any, models: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Campaign.model_validate(small.settings(name="mine", models=models))


def test_how_the_section_is_tuned_is_nothing_to_it(small: Any) -> None:
    settings = small.settings(name="mine", models=joint("other"))
    settings["gap"] = {**settings["gap"], "tune": {"budget_fits": 10}}
    campaign = Campaign.model_validate(settings)
    assert campaign.tuning_of("gap") is not None
    assert campaign.tuning_of("universal") is None
    assert campaign.settings_of("universal").soap.n_max == settings["gap"]["soap"]["n_max"]


@pytest.mark.parametrize(
    ("models", "wrong"),
    [
        (joint("other"), None),
        (joint(), ("models", "universal", "of")),
        (["fusion"], ("models", "fusion", "of")),
    ],
)
def test_a_file_is_checked_with_its_structure(small: Any, models: Any, wrong: Any) -> None:
    campaign = Campaign.model_validate(small.settings(name="mine", models=models))
    found = structure_problems(campaign, {None: _crystal(0.0, 0)})
    assert [one.key for one in found] == ([] if wrong is None else [wrong])
