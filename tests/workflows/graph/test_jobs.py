import pytest

from ionloop.store.connection import Store
from ionloop.tasks.assess import ConcludeParameters, ConcludeTask
from ionloop.workflows.graph.jobs import Graph, Job, missing_part


def job(key: str, *parents: str) -> Job:
    parameters = ConcludeParameters(campaign="c", generation=2, reason="", converged=True, models={})
    return Job(key=key, task=ConcludeTask, parameters=parameters, parents=parents, priority=3)


def test_a_graph_becomes_a_workflow_with_its_edges():
    workflow = Graph((job("a"), job("b", "a"), job("c", "a", "b"))).to_workflow("c")
    names = {firework.fw_id: firework.name for firework in workflow.fws}
    edges = {(names[parent], names[child]) for parent, children in workflow.links.items() for child in children}
    assert edges == {("a", "b"), ("a", "c"), ("b", "c")}
    spec = workflow.fws[0].spec
    assert {key: spec[key] for key in ("campaign", "generation", "kind", "key")} == {
        "campaign": "c",
        "generation": 2,
        "kind": "conclude",
        "key": "a",
    }


def test_wrong_graphs_are_refused():
    with pytest.raises(ValueError, match="twice"):
        Graph((job("a"), job("a"))).to_workflow("c")
    with pytest.raises(ValueError, match="has a parent 'z'"):
        Graph((job("a", "z"),)).to_workflow("c")


def test_jobs_that_are_there_already_are_left_out_with_their_edges():
    graph = Graph((job("a"), job("b", "a"), job("c", "a", "b"))).without({"a"})
    assert [(each.key, each.parents) for each in graph.jobs] == [("b", ()), ("c", ("b",))]
    assert Graph((job("a"),)).without({"a"}).jobs == ()


def test_on_a_server_jobs_that_a_kill_left_outside_of_any_workflow_are_added_again(store, monkeypatch):
    graph = Graph((job("a"), job("b", "a")))
    store.launchpad.add_wf(graph.to_workflow("c"))
    assert missing_part(store, "c", graph).jobs == ()
    number = store.database.fireworks.find_one({"spec.key": "b"})["fw_id"]
    store.database.workflows.update_one({}, {"$pull": {"nodes": number}})
    monkeypatch.setattr(Store, "is_embedded", False)
    assert [one.key for one in missing_part(store, "c", graph).jobs] == ["b"]
