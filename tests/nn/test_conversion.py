"""Trained GPS models under topological masks; on complete graphs they are the originals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from models import walk_mask
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GINEConv, GPSConv, SAGEConv, global_add_pool
from torch_geometric.transforms import AddRandomWalkPE

from graphmask import Topology
from graphmask.features import SoftmaxScores
from graphmask.masks import Free, GlobalMask, PowerSeriesMask, WalkMask
from graphmask.nn import TopologicalGPS, hop_coefficients, to_masked
from graphmask.transforms import AddWalks
from graphmask.walks import ResampledWalks


class Molecules(nn.Module):
    """The model of PyG's example of GPS on ZINC, smaller."""

    def __init__(self, **attention: Any) -> None:
        super().__init__()
        self.node_emb, self.edge_emb = nn.Embedding(28, 12), nn.Embedding(4, 16)
        self.pe_lin, self.pe_norm = nn.Linear(5, 4), nn.BatchNorm1d(5)
        self.convs = nn.ModuleList()
        for _ in range(2):
            network = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
            self.convs.append(GPSConv(16, GINEConv(network), heads=4, **attention))
        self.mlp = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, data: Data, edge_index: Any = None) -> Tensor:
        edge_index = data.edge_index if edge_index is None else edge_index
        pe, edge_attr = self.pe_lin(self.pe_norm(data.pe)), self.edge_emb(data.edge_attr)
        x = torch.cat([self.node_emb(data.x.squeeze(-1)), pe], 1)
        for conv in self.convs:
            x = conv(x, edge_index, data.batch, edge_attr=edge_attr)
        return self.mlp(global_add_pool(x, data.batch))


def molecule(atoms: int, generator: torch.Generator, complete: bool) -> Data:
    """A ring of atoms, or bonds between all pairs, self-loops included."""
    step = torch.arange(atoms)
    ring = torch.stack([step, (step + 1) % atoms])
    pairs = torch.cartesian_prod(step, step).mT.contiguous()
    edges = pairs if complete else torch.cat([ring, ring.flip(0)], 1)
    data = Data(
        x=torch.randint(28, (atoms, 1), generator=generator),
        edge_index=edges,
        edge_attr=torch.randint(4, (edges.shape[1],), generator=generator),
    )
    data = AddRandomWalkPE(5, attr_name="pe")(data)
    data.pe = data.pe.to(torch.get_default_dtype())
    return data


def molecules(complete: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch.from_data_list([molecule(atoms, generator, complete) for atoms in (5, 9, 7)])


def trained(**attention: Any) -> Molecules:
    """A model after a few steps, with other biases and running statistics than at the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Molecules(**attention)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(3):
            optimizer.zero_grad()
            model(molecules()).square().sum().backward()
            optimizer.step()
    return model.eval()


def adjacency_mask() -> PowerSeriesMask:
    """I + A without normalization, where I has the coefficient 0: 1 on every edge."""
    mask = PowerSeriesMask(hops=1, alpha=Free, normalization=None)
    mask.alpha.value.data.copy_(torch.tensor([[0.0, 1.0]]))
    return mask


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("complete", [False, True])
def test_softmax_between_all_pairs_is_the_original(complete: bool, training: bool) -> None:
    """Under the global mask, or on all edges of complete graphs."""
    original, data = trained().train(training), molecules(complete)
    mask = adjacency_mask() if complete else GlobalMask()
    masked = to_masked(original, mask, SoftmaxScores())
    assert_close(masked(data), original(data), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attn_type", ["multihead", "performer"])
def test_trained_parameters_are_kept(attn_type: str) -> None:
    original = trained(attn_type=attn_type)
    masked = to_masked(original, WalkMask(hops=3, heads=4))
    assert [type(conv) for conv in masked.convs] == [TopologicalGPS, TopologicalGPS]
    before, after = original.state_dict(), masked.state_dict()
    for name, value in before.items():
        if ".attn." not in name:
            assert_close(after[name], value, rtol=0, atol=0)
    theirs, ours = original.convs[1].attn, masked.convs[1].attn
    if attn_type == "performer":
        qkv = torch.cat([theirs.q.weight, theirs.k.weight, theirs.v.weight])
        expected = qkv, theirs.attn_out.weight, theirs.attn_out.bias
    else:
        expected = theirs.in_proj_weight, theirs.out_proj.weight, theirs.out_proj.bias
        assert_close(ours.qkv.bias, theirs.in_proj_bias, rtol=0, atol=0)
    assert_close((ours.qkv.weight, ours.out.weight, ours.out.bias), expected, rtol=0, atol=0)
    assert masked(molecules()).shape == (3, 1)
    assert not masked.training


def test_the_original_does_not_change() -> None:
    original, data = trained(), molecules()
    expected = original(data)
    masked = to_masked(original, WalkMask(hops=2, heads=4)).train()
    masked(data)
    for parameter in masked.parameters():
        parameter.data.add_(1.0)
    assert [type(conv) for conv in original.convs] == [GPSConv, GPSConv]
    assert_close(original(data), expected, rtol=0, atol=0)


def test_every_layer_learns_its_own_mask() -> None:
    mask = WalkMask(hops=2, heads=4)
    masked = to_masked(trained(), mask)
    masked.convs[0].attn.mask.coefficients.value.data.zero_()
    alphas = hop_coefficients(masked)
    assert list(alphas) == ["convs.0.attn.mask.coefficients", "convs.1.attn.mask.coefficients"]
    first, second = alphas.values()
    assert (first == 0).all()
    assert_close(second, mask.alpha(), rtol=0, atol=0)
    assert not second.requires_grad


def test_stored_walks_are_read_through_a_topology() -> None:
    """Stored walks are exact, those of the mask's own sampler are not."""
    masked, exact = to_masked(trained(), walk_mask(4)), to_masked(trained(), WalkMask(2, 4))
    exact.load_state_dict(masked.state_dict())
    graphs = [AddWalks(ResampledWalks(hops=2))(graph) for graph in molecules().to_data_list()]
    data = Batch.from_data_list(graphs)
    out = masked(data, Topology.from_data(data))
    assert_close(out, exact(data))
    assert (out != masked(data)).any()


def test_a_single_layer_and_layers_that_are_shared() -> None:
    layer = cases.seeded(lambda: GPSConv(4, SAGEConv(4, 4), heads=2))
    assert isinstance(to_masked(layer, GlobalMask()), TopologicalGPS)
    shared = to_masked(nn.ModuleList([layer, layer]), GlobalMask())
    assert shared[0] is shared[1]


def test_dtype_dropout_bias_and_frozen_parameters_are_kept() -> None:
    options = {"attn_kwargs": {"dropout": 0.3, "bias": False}}
    layer = cases.seeded(lambda: GPSConv(4, None, heads=2, **options))
    masked = to_masked(layer.bfloat16().requires_grad_(False), WalkMask(heads=2))
    assert masked.attn.dropout.p == 0.3
    assert masked.attn.qkv.bias is None
    assert {parameter.dtype for parameter in masked.parameters()} == {torch.bfloat16}
    frozen = to_masked(layer, GlobalMask())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


class Scaled(GPSConv):
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return 2 * super().forward(*args, **kwargs)


def hook(*_: object) -> None:
    pass


PERFORMER = {"attn_type": "performer"}

LOSSES: list[tuple[str, dict[str, Any], Callable[[GPSConv], object]]] = [
    ("forward_hooks", {}, lambda layer: layer.register_forward_hook(hook)),
    ("forward_pre_hooks", {}, lambda layer: layer.attn.register_forward_pre_hook(hook)),
    ("state_dict_hooks", {}, lambda layer: layer.register_state_dict_post_hook(hook)),
    ("backward_hooks", PERFORMER, lambda layer: layer.attn.q.register_full_backward_hook(hook)),
    ("class derived", {}, lambda layer: weight_norm(layer.attn, "in_proj_weight")),
    ("class derived", PERFORMER, lambda layer: weight_norm(layer.attn.k)),
    ("weight_mask", {}, lambda layer: prune.l1_unstructured(layer.attn.out_proj, "weight", 0.5)),
    ("in_proj_weight_mask", {}, lambda layer: prune.identity(layer.attn, "in_proj_weight")),
    ("model that can be copied", {}, lambda layer: prune.identity(layer.mlp[0], "weight")),
    ("'forward'", {}, lambda layer: setattr(layer, "forward", print)),
    ("'scale'", {}, lambda layer: layer.register_buffer("scale", torch.ones(1))),
    ("'scale'", {}, lambda layer: layer.register_parameter("scale", nn.Parameter(torch.ones(1)))),
    ("'gate'", {}, lambda layer: layer.add_module("gate", nn.Linear(4, 4))),
    ("frozen, together", PERFORMER, lambda layer: layer.attn.q.requires_grad_(False)),
]


@pytest.mark.parametrize(("message", "options", "change"), LOSSES)
def test_what_a_conversion_would_lose_is_refused(
    message: str, options: dict[str, Any], change: Callable[[GPSConv], object]
) -> None:
    layer = cases.seeded(lambda: GPSConv(4, SAGEConv(4, 4), heads=2, **options))
    cases.seeded(lambda: change(layer))
    with pytest.raises((TypeError, ValueError), match=f"`0.*{message}|`model` .*{message}"):
        to_masked(nn.ModuleList([layer]), GlobalMask())


@pytest.mark.parametrize(
    "hold",
    [
        lambda layer: [layer],
        lambda layer: {"a": layer},
        lambda layer: (1, layer.forward),
        lambda layer: layer.forward,
    ],
    ids=["list", "dictionary", "tuple", "method"],
)
def test_layers_that_a_conversion_would_not_reach_are_refused(hold: Callable[..., Any]) -> None:
    holder = nn.Module()
    holder.layer = cases.seeded(lambda: GPSConv(4, None, heads=2))
    holder.others = hold(holder.layer)
    with pytest.raises(ValueError, match=r"`0` must be .* got a GPSConv.* in `others`"):
        to_masked(nn.ModuleList([holder]), GlobalMask())


def test_classes_derived_from_the_layer_are_refused() -> None:
    layer = cases.seeded(lambda: Scaled(4, None, heads=2))
    with pytest.raises(TypeError, match=r"`model` must be a GPSConv, .* got Scaled"):
        to_masked(layer, GlobalMask())


def test_parts_that_stay_keep_hooks_modes_and_ties() -> None:
    first, second = (cases.seeded(lambda: GPSConv(4, SAGEConv(4, 4), heads=2)) for _ in range(2))
    second.attn = first.attn
    first.attn.eval()
    first.attn.in_proj_weight.requires_grad_(False)
    first.mlp.register_forward_hook(lambda _, __, out: out * 0)
    masked = to_masked(nn.ModuleList([first, second]), GlobalMask())
    assert [masked[0].training, masked[0].attn.training] == [True, False]
    assert [x.requires_grad for x in masked[0].attn.qkv.parameters()] == [False, True]
    assert masked[0].attn.qkv.weight is masked[1].attn.qkv.weight
    assert not masked[0].mlp(torch.ones(1, 4)).any()
