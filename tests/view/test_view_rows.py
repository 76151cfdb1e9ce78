"""Rows of masks and of attention are what is drawn, and pages say what they leave out."""

from __future__ import annotations

import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import graphmask as gm
from graphmask.view import (
    MaskRows,
    _plotly,
    alphas,
    attention_of,
    known_masks,
    load_model,
    make_mask,
    plot_hop_coefficients,
    row,
)
from graphmask.view._layout import lay_out
from graphmask.view._rows import Row
from graphmask.view._scene import Scene
from graphmask.view.sources import AttentionRows

RING = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
EDGES = torch.cat([RING, RING.flip(0)], 1)


@pytest.fixture
def ring() -> gm.Topology:
    return gm.Topology(EDGES, num_nodes=12)


def signed_mask() -> gm.masks.WalkMask:
    mask = gm.masks.WalkMask(hops=3, heads=2)
    mask.coefficients.value.data = torch.tensor([[9.0, 1, 0.5, 0.2], [1.0, -1, 0.5, -0.2]])
    return mask


def test_attention_rows_are_those_of_the_layer(
    ring: gm.Topology, generator: torch.Generator
) -> None:
    layer = gm.nn.TopologicalAttention(8, 2, signed_mask())
    x, nodes = torch.randn(12, 8, generator=generator), torch.arange(12)
    rows = AttentionRows(layer, x, ring).rows(nodes)
    assert torch.allclose(rows, layer.attention_rows(nodes, x, ring).transpose(0, 1))
    assert torch.allclose(rows.abs().sum(-1), torch.ones(2, 12))
    assert np.allclose(row(layer, ring, node=3, x=x).rows[0], rows[:, 3])


def test_the_input_of_a_layer_is_taken_inside_its_model() -> None:
    torch.manual_seed(0)
    model = gm.nn.TopologicalTransformer(
        3, 8, 2, num_layers=2, heads=2, mask=gm.masks.GlobalMask(), dropout=0.5
    )
    data = Data(pos=torch.randn(12, 3), edge_index=EDGES)
    source = attention_of(model, data, layer=1)
    assert model.training
    model.eval()
    topology = gm.Topology.from_data(data)
    x = model.layers[1].norm(model.layers[0](model.encoder(data.pos), topology))
    expected = model.layers[1].attention.attention_rows(torch.arange(12), x, topology)
    assert torch.allclose(source.rows(torch.arange(12)), expected.transpose(0, 1), atol=1e-6)
    with pytest.raises(ValueError, match="`layer` must be below 2"):
        attention_of(model, data, layer=2)
    with pytest.raises(ValueError, match="of 3 columns"):
        attention_of(model, Data(x=torch.ones(12, 5), edge_index=EDGES))


def test_pickled_models_need_trust(tmp_path: Path) -> None:
    model = gm.nn.TopologicalTransformer(3, 8, 2, num_layers=1, heads=2, mask=gm.masks.GlobalMask())
    torch.save(model, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="--trust"):
        load_model(tmp_path / "model.pt")
    assert repr(load_model(tmp_path / "model.pt", trust=True)) == repr(model.eval())
    torch.save(model.state_dict(), tmp_path / "state.pt")
    with pytest.raises(ValueError, match="not its parameters alone, got OrderedDict"):
        load_model(tmp_path / "state.pt", trust=True)


def test_levels_and_ticks_of_colors() -> None:
    linear = Row(0, np.array([9.0, 0, 0.5, -1, 0.25]), signed=True)
    assert linear.levels().tolist() == [1.0, 0.0, 0.5, -1.0, 0.25]
    assert linear.ticks()[0] == [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0]
    assert linear.ticks()[1][0] == "-1"
    decades = Row(0, np.array([9, 1.0, 1e-2, 1e-4, 1e-9, 0]))
    assert decades.levels().tolist() == [1.0, 1.0, 0.5, 0.0, 0.0, 0.0]
    assert decades.ticks()[1] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert decades.others.tolist() == [1, 2, 3, 4]
    assert not Row(0, decades.weights, logarithmic=False).logarithmic


def test_layouts_separate_components_and_unfold_meshes() -> None:
    two = np.array([[0, 1, 3, 4], [1, 2, 4, 5]])
    pos = lay_out(two, 7)
    assert pos.shape == (7, 2)
    apart = np.linalg.norm(pos[:, None] - pos[None], axis=2)
    assert (apart[np.triu_indices(7, 1)] > 0.2).all()
    assert np.array_equal(lay_out(two, 7), pos)
    side = 24
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(side, side))
    edges = np.array(grid.edges).T
    pos = lay_out(edges, side * side)
    assert pos.shape == (side * side, 3)
    # Neighbours lie near each other, and opposite corners far apart.
    edge = np.linalg.norm(pos[edges[0]] - pos[edges[1]], axis=1)
    assert np.linalg.norm(pos[0] - pos[-1]) > 12 * np.median(edge)
    assert edge.max() < 6 * np.median(edge)


def test_scenes_have_two_or_three_axes() -> None:
    for axes, in_space in ((1, False), (2, False), (3, True), (5, True)):
        scene = Scene(Data(pos=torch.rand(12, axes), edge_index=EDGES))
        assert (scene.in_space, len(scene.edges)) == (in_space, 12)
    with pytest.raises(ValueError, match="a graph with nodes"):
        Scene(Data(edge_index=EDGES[:, :0], num_nodes=0))


def test_the_row_of_a_cloud_is_drawn_close_where_it_would_be_a_speck() -> None:
    pos = torch.stack([torch.arange(200.0), torch.zeros(200), torch.zeros(200)], 1)
    scene = Scene(Data(pos=pos, edge_index=EDGES))
    weights = np.zeros(200)
    weights[[3, 5]] = 1
    center, radius = scene.view(Row(4, weights))
    assert (center.tolist(), radius) == ([4, 0, 0], pytest.approx(3.0))
    weights[150] = 1
    assert scene.view(Row(4, weights))[1] == pytest.approx(199 / 2)


def test_masks_by_name() -> None:
    assert all(issubclass(cls, gm.masks.TopologicalMask) for cls in known_masks().values())
    mask = make_mask("walk:hops=3,budget=16,heads=2,alpha=Diffusion(2.5)")
    assert isinstance(mask, gm.masks.WalkMask)
    assert (mask.sampler.budget, mask.sampler.hops, mask.hops, mask.heads) == (16, 3, 3, 2)
    assert torch.allclose(mask.alpha.scale, torch.tensor(2.5))
    assert make_mask("toeplitz:shape=4x3,signed=True").shape == (4, 3)
    resolvent = gm.masks.DiffusionMask(kernel="resolvent")
    assert repr(make_mask("diffusion:kernel=resolvent")) == repr(resolvent)


def test_wrong_names_of_masks() -> None:
    for text, message in (
        ("wlak", "one of adaptive-walk"),
        ("walk:hopps=2", "some of the arguments hops, heads"),
        ("walk:hops", "name:argument=value"),
        ("walk:hops=-1", "`hops` must be at least 0"),
        ("walk:hops=many", "must be an integer"),
        ("toeplitz", "with its shape"),
        ("walk:alpha=Free(2)", "Free without a scale"),
    ):
        with pytest.raises(ValueError, match=message):
            make_mask(text)


def test_pictures(ring: gm.Topology, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    mask = signed_mask()
    picture = row([mask, gm.masks.GlobalMask()], ring, node=3, head=1)
    assert len(picture.matplotlib().axes) == 2 * 3  # two heads and one, each with its colour bar
    exact = mask(mask.prepare(ring)).to_dense()[1, 3].detach()
    drawn = next(trace for trace in picture.plotly().data if trace.name == "row")
    others = drawn.customdata[:, 0].astype(int).tolist()
    assert set(others) == set(np.flatnonzero(exact)) - {3}
    assert np.allclose(drawn.customdata[:, 1], exact[others])
    colors = 100 * (exact[others] / exact[others].abs().max()).numpy()
    assert np.allclose(drawn.marker.color, colors, atol=0.51)
    assert picture._repr_png_().startswith(b"\x89PNG")
    picture.write_png(tmp_path / "row.png")
    assert (tmp_path / "row.png").read_bytes().startswith(b"\x89PNG")
    source = MaskRows(gm.masks.GlobalMask()(ring))
    assert row(source, ring).sources == [source]


NAMES = ("$x$", "{{x}}", "</script>", "%s", "{plot_id}", "%{meta.node}", "<b>", "&amp;", "[/b]")


def test_names_are_text(tmp_path: Path) -> None:
    """Not HTML, formulas or places of plotly's templates."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    ends, names = torch.arange(9), [r"$\frac$", *NAMES[1:]]
    edge_index = torch.stack([ends, (ends + 1) % 9])
    data = Data(edge_index=edge_index, num_nodes=9, node_name=names)
    picture = row(gm.masks.GlobalMask(), data, node=2)
    picture.scene.title = r"$\frac$"
    picture.write_html(tmp_path / "row.html")
    page = (tmp_path / "row.html").read_text()
    picture.scene.names = data.node_name = ["name"] * 9
    picture.write_html(tmp_path / "plain.html")
    plain = (tmp_path / "plain.html").read_text()
    assert [page.count(end) for end in ("</script>", "%{")] == [
        plain.count(end) for end in ("</script>", "%{")
    ]
    for name in ("{{x}}", "%s", "{plot_id}"):
        assert name in page
    picture.write_png(tmp_path / "row.png")


def test_pages_have_the_rows_that_fit(
    ring: gm.Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("plotly")

    def page(budget: int) -> str:
        row(signed_mask(), ring, node=7).write_html(tmp_path / "row.html", budget, note="A note.")
        return (tmp_path / "row.html").read_text()

    whole = page(10**7)
    assert "A click on any node shows its row. Coordinates are laid out" in whole
    assert "A note." in whole
    assert set(re.findall(r'"name":"0\.1\.(\d+)"', whole)) == {f"{node}" for node in range(12)}
    few = page(12_000)
    nodes = set(re.findall(r'"name":"0\.0\.(\d+)"', few))
    assert "7" in nodes
    assert 1 < len(nodes) < 12
    assert f"Rows of {len(nodes)} of 12 nodes are on this page" in few
    assert set(re.findall(r'"name":"0\.0\.(\d+)"', page(0))) == {"7"}
    scene = Scene(Data(pos=torch.rand(6, 2), edge_index=EDGES[:, :5] % 6))
    weights = np.array([1.0, -5, 2, 0, 3, 0.5])
    drawn = Row(0, weights, "a row", signed=True)
    monkeypatch.setattr(_plotly, "LARGEST", 3)
    assert _plotly.make_frame("", scene, drawn)["data"][0]["customdata"]["shape"] == "3, 2"
    assert drawn.others.tolist() == [1, 4, 2, 5]


def test_wrong_arguments_of_rows(ring: gm.Topology) -> None:
    for options, name in (({"node": 12}, "node"), ({"head": 2}, "head")):
        with pytest.raises(ValueError, match=f"`{name}` must be below"):
            row(signed_mask(), ring, **options)
    with pytest.raises(TypeError, match="`source` must be a mask, an operator"):
        row("walk", ring)
    with pytest.raises(TypeError, match="the input of the layer"):
        row(gm.nn.TopologicalAttention(8, 2, gm.masks.GlobalMask()), ring)
    with pytest.raises(TypeError, match="`topology` must be a Topology, beside a mask"):
        MaskRows(gm.masks.GlobalMask())


def test_plots_of_coefficients() -> None:
    pytest.importorskip("matplotlib")
    mask = gm.masks.WalkMask(hops=4, heads=2, alpha=gm.masks.Diffusion)
    model = gm.nn.TopologicalTransformer(
        3, 8, 2, num_layers=2, heads=2, mask=mask + gm.masks.WalkMask(hops=2, heads=2)
    )
    learned = model.layers[1].attention.mask.masks[0].coefficients
    log_scale = torch.tensor([0.5, -1.0])
    with torch.no_grad():
        learned.log_scale.copy_(log_scale)
    figure = plot_hop_coefficients(model)
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert len(panels) == 4
    axes = panels["layers.1.attention.mask.masks.0.coefficients: Diffusion"]
    first, second, start, _ = (np.array(line.get_ydata()) for line in axes.get_lines())
    assert np.allclose(np.stack([first, second]), learned().detach(), atol=1e-6)
    assert np.allclose(start, gm.masks.Diffusion(4)()[0].detach(), atol=1e-6)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["head 0: scale 1.65", "head 1: scale 0.368", "start"]
    assert torch.allclose(learned.log_scale, log_scale)  # only a copy is reset
    with pytest.warns(DeprecationWarning, match="use `plot_hop_coefficients`"):
        assert len(alphas(model).axes) == 4
    with pytest.raises(ValueError, match="with a mask of learned coefficients"):
        plot_hop_coefficients(gm.nn.TopologicalAttention(8, 2, gm.masks.GlobalMask()))
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module"):
        plot_hop_coefficients("model")
