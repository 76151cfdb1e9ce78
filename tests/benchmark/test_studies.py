"""Every script of benchmarks/ with --smoke, and the assumptions of their figures."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from scripts import ROOT, importable
from torch_geometric.utils import to_networkx

from graphmask import reference

pytest.importorskip("rich")
FOLDER = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], Any]]:
    """Imports a study by its name."""
    threads = torch.get_num_threads()
    with importable(FOLDER) as load:
        yield load
    torch.set_num_threads(threads)


STUDIES = (
    *("concentration", "estimators", "features", "molecules", "node_order", "scores"),
    "virtual_edges",
)
SLOW_STUDIES = (
    "equality",
    "families",
    "gpu",
    "larger_than_memory",
    "literature",
    "preparation",
    "walk_encodings",
    "weak_scaling",
)


@pytest.mark.parametrize(
    "name", [*STUDIES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_STUDIES)]
)
def test_every_study_runs(
    load: Callable, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = load(name).main(["--smoke", "--csv", str(tmp_path / "rows.csv")])
    table = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert len(table) == len(rows) > 0
    assert set(table[0]) == {*rows[0], "machine"}
    assert "torch-geometric" in capsys.readouterr().out
    assert name in (FOLDER / "README.md").read_text()


def test_tables_are_drawn(load: Callable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table, picture = tmp_path / "t.csv", tmp_path / "t.png"
    table.write_text("n,ms,name,graph\n64,1,a,x\n128,2,a,x\n64,3,b,y\n128,,b,y\n")
    plot = load("plot")
    panels = plot.read_panels(table, "n", ["ms"], ["name"], ["graph"])
    assert [panel.lines for panel in panels] == [{"a": {64: 1, 128: 2}}, {"b": {64: 3}}]
    options = [str(table), str(picture), "--x", "n", "--y", "ms", "--by", "name"]
    plot.main(options)
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="no column m; it has n, ms, name, graph"):
        plot.main([*options[:-1], "m"])


def test_ground_truth_is_the_power_series(load: Callable) -> None:
    """Rows of the dense series, and errors of all, diagonal and off-diagonal entries."""
    study = load("estimators")
    truth = study.GroundTruth(study.GRAPHS[5], hops=4, rows=5, seed=0)
    W = reference.adjacency(truth.topology.edge_index, truth.topology.num_nodes)
    estimators = {entry.name: entry for entry in study.make_estimators()}
    kernel = study.KERNELS[1]
    alpha = kernel.alpha(4, 1)().detach().double()
    dense = reference.power_series(W, alpha)[0]
    exact = truth.exact(estimators["iid"], kernel)
    np.testing.assert_allclose(exact, dense[truth.rows], atol=1e-6)
    off = dense.clone().fill_diagonal_(0)
    errors = truth.errors(dense + off + 3 * torch.eye(len(dense)), dense)
    assert errors["off_diagonal"] == pytest.approx(1)
    assert errors["diagonal"] == pytest.approx(3 * len(dense) ** 0.5 / float(dense.diag().norm()))
    wrong = float((off + 3 * torch.eye(len(dense))).norm())
    assert errors["error"] == pytest.approx(wrong / float(dense.norm()))


def test_all_estimators_converge(load: Callable) -> None:
    """Large settings err by less than small ones; budgets beyond N are exact."""
    study = load("estimators")
    truth = study.GroundTruth(study.GRAPHS[0], hops=3, rows=5, seed=0)
    for estimator in study.make_estimators():
        family, rows = estimator.family, []
        for setting in (family.ladder[0], family.ladder[6]):
            draws = study.Draws(family.make(setting, 3), truth.topology, seed=0)
            rows.append(study.measure(truth, estimator, study.KERNELS[1], draws))
        few, many = rows
        assert many["error"] < few["error"] / 2
        assert many["entries"] >= few["entries"]
        if family.name == "resampled":
            assert many["error"] < study.ROUNDING


def test_errors_are_interpolated(load: Callable) -> None:
    study = load("estimators")
    rows = [{"entries": cost, "error": error} for cost, error in ((10, 0.4), (40, 0.1), (80, 0.0))]
    costs = (5, 10, 20, 40, 60, 90)
    expected = [None, 0.4, 0.2, 0.1, 0.1, 0.0]
    errors = [study.error_at(rows, cost) for cost in costs]
    assert errors == [error and pytest.approx(error) for error in expected]
    assert study.error_at(rows[:2], 41) is None


def test_no_pair_is_off_more_often_than_the_theorem_allows(load: Callable) -> None:
    study = load("concentration")
    graphs = {graph.name: graph for graph in load("estimators").GRAPHS}
    regular = graphs["regular"].make(0)
    assert math.isclose(study.constant(regular, torch.tensor([1.0, -0.5, 0.25]), 0.5), 3.0)
    assert math.isclose(study.bound(study.bound_distance(0.03, 5, 1.2), 5, 1.2), 0.03)
    rows = list(study.measure(regular, reference.diffusion(0.5, 5), walks=[2, 8], draws=60))
    assert all(row["all_pairs"] <= row["worst_pair"] <= row["bound"] for row in rows)
    few, many = study.summarize(rows)
    assert few["bound holds"]
    assert many["worst pair"] < few["worst pair"] < few["bound"]


def test_random_features_are_unbiased(load: Callable) -> None:
    study = load("features")
    inputs = study.make_inputs(8, 0.5, anisotropic=False, nodes=12)
    assert len(study.MAPS) == 11
    for feature_map in study.MAPS:
        assert abs(study.measure(inputs, feature_map, 16, 300)["bias_z"]) < 4, feature_map


def test_families_run_on_undirected_graphs_of_the_size(load: Callable) -> None:
    study = load("families")
    for graph in study.GRAPHS:
        topology = graph.make(64, 1)
        assert torch.equal(topology.edge_index, graph.make(64, 1).edge_index)
        pairs = set(zip(*topology.edge_index.tolist(), strict=True))
        assert pairs == {(target, source) for source, target in pairs}
        assert (topology.num_nodes, len(pairs)) == (64, topology.num_edges)
    assert study.grid(6, 0).num_edges == 14
    assert study.tree(64, 0).num_edges == 126
    for family in study.FAMILIES:
        problem = family.make_problem(64, 0, "cpu", None)
        assert family.build(problem, family.prepare(problem)).multiply_adds > 0


def test_molecules_are_connected_sparse_and_read_from_files(load: Callable, tmp_path: Path) -> None:
    study = load("molecules")
    molecules = study.random_molecules(128, seed=2)
    graphs = [to_networkx(molecule).to_undirected() for molecule in molecules]
    assert all(nx.is_connected(graph) for graph in graphs)
    assert all(len(graph) in study.ATOMS for graph in graphs)
    cycles = [nx.minimum_cycle_basis(graph) for graph in graphs]
    assert max(map(len, cycles)) <= 3
    assert {5, 6} <= {len(cycle) for basis in cycles for cycle in basis}
    topology = study.Molecules(5).topology
    (walks,), batch = topology.walk_sets, topology.batch
    assert torch.equal(batch[walks.pattern.row.long()], batch[walks.pattern.col.long()])
    pytest.importorskip("rdkit")
    (tmp_path / "some.csv").write_text("smiles,value\nCCO,1\n\nc1ccccc1CCCCC,2\n")
    (molecule,) = study.read_molecules(tmp_path / "some.csv", 9)
    assert molecule.num_nodes == 11
