from __future__ import annotations

import csv
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

from graphmask import cli
from graphmask.benchmark import Measurement, Status
from graphmask.benchmark.contenders import find_contenders
from graphmask.benchmark.families import FAMILIES, GROUNDS, Family, find_families, summarize
from graphmask.benchmark.families.families import GroundProblem
from graphmask.benchmark.families.grounds import TREE
from graphmask.benchmark.families.report import exceeds, explain_exponents
from graphmask.benchmark.measure import differentiate


@pytest.fixture
def families() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(
        cli.load_app(), ["bench", "families", *map(str, arguments)]
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_family_runs_on_its_graph_and_says_its_cost(family: Family) -> None:
    problem = family.pose(64, seed=0, device="cpu")
    work = family.build(problem, family.prepare(problem))
    assert work.multiply_adds is not None
    assert work.multiply_adds > 0
    assert family.make(64).cost
    gradients = differentiate(work)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_families_travel_to_processes_of_their_own() -> None:
    assert [each.name for each in pickle.loads(pickle.dumps(FAMILIES))] == [
        each.name for each in FAMILIES
    ]


def test_names_are_unique_and_every_kind_of_graph_is_known() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert {family.ground for family in FAMILIES} <= set(GROUNDS)
    with pytest.raises(ValueError, match="`families` must be among global"):
        find_families(["absent"])


@pytest.mark.parametrize("ground", GROUNDS, ids=lambda ground: ground.name)
def test_graphs_are_undirected_of_the_size_asked_for_and_the_same_for_a_seed(ground) -> None:
    graph, again = ground.make(128, 1), ground.make(128, 1)
    assert graph.num_nodes == 128
    assert torch.equal(graph.edge_index, again.edge_index)
    pairs = set(zip(*graph.edge_index.tolist(), strict=True))
    assert pairs == {(target, source) for source, target in pairs}
    assert len(pairs) == graph.num_edges
    if ground.shape is not None:
        assert math.prod(ground.shape(128)) == 128


def test_the_tree_spans_the_nodes_at_least_length() -> None:
    networkx = pytest.importorskip("networkx")
    from torch_geometric.data import Data
    from torch_geometric.utils import to_networkx

    tree, whole = TREE.make(200, 0), GROUNDS[0].make(200, 0)
    source, target = whole.edge_index
    length = (whole.pos[source] - whole.pos[target]).norm(dim=1)
    graph = to_networkx(
        Data(edge_index=whole.edge_index, length=length, num_nodes=200), edge_attrs=["length"]
    )
    best = networkx.minimum_spanning_tree(graph.to_undirected(), weight="length").size("length")
    source, target = tree.edge_index
    assert tree.num_edges == 398
    assert float((tree.pos[source] - tree.pos[target]).norm(dim=1).sum()) / 2 == pytest.approx(
        best, rel=1e-5
    )


def test_only_powers_of_two_are_hypercubes() -> None:
    with pytest.raises(ValueError, match="`nodes` must be powers of two, for hypercubes, got 96"):
        next(ground for ground in GROUNDS if ground.name == "hypercube").make(96, 0)


def test_a_family_is_a_contender_whose_problem_is_its_own() -> None:
    family = find_families(["walk"])[0]
    assert isinstance(family.pose(16, 0, "cpu", reorder=True), GroundProblem)
    assert not isinstance(find_contenders(["walk"])[0].pose(16, 0, "cpu"), GroundProblem)


RUN = [
    *(Measurement("global", "graphmask", n, both=(1e-6 * n,), multiply_adds=n) for n in (64, 128)),
    *(
        Measurement(
            "walk", "graphmask", n, both=(1e-6 * n**1.5,), peak=0.5 * n, multiply_adds=9 * n
        )
        for n in (64, 128)
    ),
    Measurement(
        "walk", "graphmask", 256, status=Status.TIME, note="no answer within 1 s at 256 nodes"
    ),
]


def test_summary_stands_at_the_largest_size_that_was_measured() -> None:
    base, walk = summarize(RUN, find_families(["global", "walk"]))
    assert (base.ratio, base.nodes, base.note, base.definition) == (1, 128, "", "N")
    assert (walk.nodes, walk.ratio, walk.peak) == (128, pytest.approx(128**0.5), 64)
    assert (walk.defined, walk.exponent, walk.memory) == tuple(map(pytest.approx, (1, 1.5, 1)))
    assert walk.note == "no answer within 1 s at 256 nodes"


def test_who_grows_faster_than_defined_is_named() -> None:
    found = summarize(RUN, find_families(["global", "walk"]))
    assert [exceeds(each) for each in found] == [False, True]
    assert explain_exponents(found) == [
        "*: grew faster than its definition by more than 0.1: walk (1.50 against 1.00)"
    ]
    assert explain_exponents(found[:1]) == []


def test_nothing_measured_is_summarized_too() -> None:
    (found,) = summarize(RUN[-1:], find_families(["walk"]))
    assert (found.nodes, found.seconds, found.ratio) == (0, None, None)
    assert not exceeds(found)


def test_some_families_are_measured(families: Callable[..., Result], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table, picture, whole = (tmp_path / f"costs.{ending}" for ending in ("csv", "png", "json"))
    chosen = (
        "--families",
        "global, walk",
        "--nodes",
        "128,64",
        "--repeats",
        1,
        "--threads",
        1,
        "--every-size",
    )
    result = families(*chosen, "--csv", table, "--plot", picture, "--json", whole)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["contender"], row["nodes"]) for row in rows] == [
        (name, n) for n in ("64", "128") for name in ("global", "walk")
    ]
    assert all(float(row["multiply_adds"]) > 0 for row in rows)
    found = json.loads(whole.read_text())
    assert found["settings"]["families"] == ["global", "walk"]
    assert [each["definition"] for each in found["summaries"]] == ["N", "N p"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    for text in ("over global", "N p", "On sphere:", "Forward [ms]", "torch-geometric"):
        assert text in result.output


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (("--families", "absent"), "among global"),
        (("--nodes", "some"), "integers with commas"),
        (("--repeats", 0), "at least 1"),
        (("--time-limit", -1), "positive and finite"),
        (("--plot", "/absent/costs.png"), "a file in a folder"),
    ],
)
def test_bad_options_are_refused(
    families: Callable[..., Result], wrong: tuple[object, ...], text: str
) -> None:
    result = families(*wrong)
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())
