"""What is drawn are the rows of masks and of attention.

Pages carry them, and say what they leave out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

import graphmask as gm
from graphmask.view import MaskRows, attention_of, known_masks, load_model, make_mask, row
from graphmask.view.layout import lay_out
from graphmask.view.packed import Packed, choose, pack
from graphmask.view.scene import make_scene
from graphmask.view.shades import Shades
from graphmask.view.sources import AttentionRows, Source

RING = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
EDGES = torch.cat([RING, RING.flip(0)], 1)


@pytest.fixture
def ring() -> gm.Topology:
    return gm.Topology(EDGES, num_nodes=12)


def unpacked(rows: Packed, num_nodes: int) -> Tensor:
    """``[H, R, N]``, as the page's script reads them."""
    dense = torch.zeros(len(rows.own), len(rows.nodes), num_nodes, dtype=torch.double)
    for place, node in enumerate(rows.nodes):
        part = slice(rows.ptr[place], rows.ptr[place + 1])
        value = rows.value[:, part].astype(float) / 32767 * rows.scale[:, [place]]
        dense[:, place, rows.col[part].astype(int)] = torch.from_numpy(value)
        dense[:, place, node] = torch.from_numpy(rows.own[:, place]).double()
    return dense


def signed_mask() -> gm.masks.WalkMask:
    mask = gm.masks.WalkMask(hops=3, heads=2)
    mask.coefficients.value.data = torch.tensor([[9.0, 1, 0.5, 0.2], [1.0, -1, 0.5, -0.2]])
    return mask


@pytest.mark.parametrize(
    "mask", [signed_mask(), gm.masks.PowerSeriesMask(hops=3, heads=2), gm.masks.GlobalMask()]
)
def test_pages_carry_the_rows(ring: gm.Topology, mask: gm.masks.TopologicalMask) -> None:
    rows = pack(MaskRows(mask, ring), node=0)
    assert rows.nodes.tolist() == list(range(12))
    assert rows.share == pytest.approx(1)
    exact = mask(mask.prepare(ring)).to_dense().detach().double()
    # In units of the largest entry of a row, whatever the own entry is.
    largest = (exact * (1 - torch.eye(12))).abs().amax(-1, keepdim=True)
    assert float(((unpacked(rows, 12) - exact) / largest).abs().max()) < 1.01 / 32767
    assert rows.col.dtype == np.uint16


def test_few_rows_where_there_is_no_room(ring: gm.Topology) -> None:
    sparse = pack(MaskRows(signed_mask(), ring), node=7, budget=200)
    assert 7 in sparse.nodes
    assert 1 <= len(sparse.nodes) < 12
    dense = pack(MaskRows(gm.masks.GlobalMask(), ring), node=7, budget=200)
    assert 7 in dense.nodes
    assert len(dense.nodes) == 200 // (12 * 6)


def test_the_largest_entries_of_wide_rows_are_kept(
    ring: gm.Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphmask.view.packed._TOP", 3)
    mask = gm.masks.PowerSeriesMask(
        hops=4, alpha=lambda hops, heads: gm.masks.Diffusion(hops, heads)
    )
    rows = pack(MaskRows(mask, ring), node=0)
    exact = mask(ring).to_dense().detach().double()
    found = unpacked(rows, 12)
    assert (np.diff(rows.ptr) == 2).all()  # beside the own entry
    assert torch.allclose(found[found != 0], exact[found != 0], rtol=1e-3)
    assert rows.share == pytest.approx(float((exact[found != 0]).sum() / exact.sum()), abs=1e-3)
    kept = exact[0].topk(3, dim=1).values.sum()
    assert rows.share == pytest.approx(float(kept / exact.sum()), abs=1e-3)


def test_chosen_nodes_hold_the_one_that_was_asked_for() -> None:
    assert choose(5, 9, 2).tolist() == [0, 1, 2, 3, 4]
    for node in (0, 57, 99):
        some = choose(100, 10, node)
        assert node in some
        assert 9 <= len(some) <= 10
        assert (np.diff(some) > 0).all()


@pytest.mark.parametrize("feature_map", [None, gm.features.SoftmaxScores()])
def test_attention_of_sparse_masks_is_that_of_the_layer(
    ring: gm.Topology, feature_map: gm.features.FeatureMap | None, generator: torch.Generator
) -> None:
    layer = gm.nn.TopologicalAttention(8, 2, signed_mask(), feature_map)
    with torch.no_grad():
        for parameter in layer.qkv.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(12, 8, generator=generator)
    source = AttentionRows(layer, x, ring)
    rows = source.rows(torch.arange(12))
    entries = source.entries()
    assert entries is not None
    assert torch.allclose(entries.pattern.to_dense(entries.value), rows, atol=1e-6)
    assert torch.allclose(rows, layer.attention_rows(torch.arange(12), x, ring).transpose(0, 1))
    assert torch.allclose(rows.abs().sum(-1), torch.ones(2, 12))


def test_the_input_of_a_layer_is_caught_inside_its_model() -> None:
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


def test_models_from_files_are_trusted_or_refused(tmp_path: Path) -> None:
    model = gm.nn.TopologicalTransformer(3, 8, 2, num_layers=1, heads=2, mask=gm.masks.GlobalMask())
    torch.save(model, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="--trust"):
        load_model(tmp_path / "model.pt")
    assert repr(load_model(tmp_path / "model.pt", trust=True)) == repr(model.eval())
    torch.save(model.state_dict(), tmp_path / "state.pt")
    with pytest.raises(ValueError, match="not its parameters alone, got OrderedDict"):
        load_model(tmp_path / "state.pt", trust=True)


def test_colours_are_shares_of_the_largest_other_entry() -> None:
    weights = np.array([0.0, 0.5, -1.0, 0.25])
    linear = Shades(1.0, signed=True, logarithmic=False)
    assert linear.levels(weights).tolist() == [0.0, 0.5, -1.0, 0.25]
    orders = Shades(1.0, signed=False, logarithmic=True)
    assert orders.levels(np.array([1.0, 1e-2, 1e-4, 1e-9, 0.0])).tolist() == [
        1.0,
        0.5,
        0.0,
        0.0,
        0.0,
    ]
    assert Shades.of(np.array([1.0, 0.01, 0.01]), False).logarithmic
    assert not Shades.of(np.array([1.0, 0.5]), False).logarithmic
    assert orders.ticks()[0] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert linear.ticks()[1][0] == "-1"


def test_layouts_separate_components_and_unfold_meshes() -> None:
    two = np.array([[0, 1, 3, 4], [1, 2, 4, 5]])
    pos = lay_out(two, 7)
    assert pos.shape == (7, 2)
    apart = np.linalg.norm(pos[:, None] - pos[None], axis=2)
    assert (apart[np.triu_indices(7, 1)] > 0.2).all()
    assert np.array_equal(lay_out(two, 7), pos)
    side = 24
    place = np.arange(side * side).reshape(side, side)
    grid = np.concatenate(
        [
            np.stack([place[1:].ravel(), place[:-1].ravel()]),
            np.stack([place[:, 1:].ravel(), place[:, :-1].ravel()]),
        ],
        1,
    )
    pos = lay_out(grid, side * side)
    assert pos.shape == (side * side, 3)
    # Near nodes lie near each other, and opposite corners far away.
    edge = np.linalg.norm(pos[grid[0]] - pos[grid[1]], axis=1)
    assert np.linalg.norm(pos[0] - pos[-1]) > 12 * np.median(edge)
    assert edge.max() < 6 * np.median(edge)


@pytest.mark.parametrize(("shape", "in_space"), [(1, False), (2, False), (3, True), (5, True)])
def test_scenes_have_two_or_three_axes(
    shape: int, in_space: bool, generator: torch.Generator
) -> None:
    scene = make_scene(Data(pos=torch.randn(12, shape, generator=generator), edge_index=EDGES))
    assert scene.in_space == in_space
    assert len(scene.edges) == 12


def test_masks_by_name() -> None:
    assert all(issubclass(kind, gm.masks.TopologicalMask) for kind in known_masks().values())
    mask = make_mask("walk:hops=3,budget=16,heads=2,alpha=Diffusion(2.5)")
    assert isinstance(mask, gm.masks.WalkMask)
    assert (mask.sampler.budget, mask.sampler.hops, mask.hops, mask.heads) == (16, 3, 3, 2)
    assert torch.allclose(mask.alpha.scale, torch.tensor(2.5))
    assert make_mask("toeplitz:shape=4x3,signed=True").shape == (4, 3)
    assert repr(make_mask("diffusion:kernel=resolvent")) == repr(
        gm.masks.DiffusionMask(kernel="resolvent")
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wlak", "one of causal"),
        ("walk:hopps=2", "some of the arguments hops, heads"),
        ("walk:hops", "name:argument=value"),
        ("walk:hops=-1", "`hops` must be at least 0"),
        ("walk:hops=many", "must be an integer"),
        ("toeplitz", "with its shape"),
        ("walk:alpha=Free(2)", "Free without a scale"),
    ],
)
def test_masks_by_wrong_names(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_mask(text)


def test_pictures_are_drawn(ring: gm.Topology, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    picture = row([signed_mask(), gm.masks.GlobalMask()], ring, node=3, head=1)
    assert len(picture.matplotlib().axes) == 2 * 3  # two heads and one, each with its colour bar
    figure = picture.plotly()
    drawn = next(trace for trace in figure.data if trace.name == "row")
    mask = signed_mask()
    exact = mask(mask.prepare(ring)).to_dense()[1, 3].detach()
    others = [node for node in range(12) if node != 3 and exact[node]]
    assert list(drawn.customdata) == others
    assert np.allclose(
        drawn.marker.color, (exact[others] / exact[others].abs().max()).numpy(), atol=1e-6
    )
    assert picture._repr_png_().startswith(b"\x89PNG")
    picture.write_png(tmp_path / "row.png")
    assert (tmp_path / "row.png").read_bytes().startswith(b"\x89PNG")
    for wrong, name in (({"node": 12}, "node"), ({"head": 2}, "head")):
        with pytest.raises(ValueError, match=f"`{name}` must be below"):
            row(signed_mask(), ring, **wrong)
    with pytest.raises(TypeError, match="`source` must be a mask, an operator"):
        row("walk", ring)
    with pytest.raises(TypeError, match="the input of the layer"):
        row(gm.nn.TopologicalAttention(8, 2, gm.masks.GlobalMask()), ring)


def test_sources_are_taken_as_they_are(ring: gm.Topology) -> None:
    source: Source = MaskRows(gm.masks.GlobalMask()(ring))
    assert row(source, ring).sources == [source]
