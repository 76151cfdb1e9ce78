"""Trained GPS models under topological masks.

What they keep, and that on the whole graph they are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from torch import Tensor, nn
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
    """The model of PyG's example of GPS on ZINC, smaller.

    Embeddings of atoms and bonds, walk encodings, GINE.
    """

    def __init__(self, **attention: Any) -> None:
        super().__init__()
        self.node_emb, self.edge_emb = nn.Embedding(28, 12), nn.Embedding(4, 16)
        self.pe_lin, self.pe_norm = nn.Linear(5, 4), nn.BatchNorm1d(5)
        self.convs = nn.ModuleList()
        for _ in range(2):
            network = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
            self.convs.append(GPSConv(16, GINEConv(network), heads=4, **attention))
        self.mlp = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(
        self, x: Tensor, pe: Tensor, edge_index: Any, edge_attr: Tensor, batch: Tensor
    ) -> Tensor:
        x = torch.cat([self.node_emb(x.squeeze(-1)), self.pe_lin(self.pe_norm(pe))], 1)
        edge_attr = self.edge_emb(edge_attr)
        for conv in self.convs:
            x = conv(x, edge_index, batch, edge_attr=edge_attr)
        return self.mlp(global_add_pool(x, batch))


def molecule(atoms: int, generator: torch.Generator, complete: bool) -> Data:
    """A ring of atoms, or bonds between all pairs, each atom's with itself too."""
    step = torch.arange(atoms)
    ring = torch.stack([step, (step + 1) % atoms])
    edges = (
        torch.cartesian_prod(step, step).mT.contiguous()
        if complete
        else torch.cat([ring, ring.flip(0)], 1)
    )
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


def predict(model: nn.Module, data: Batch, edges: Any = None) -> Tensor:
    return model(
        data.x, data.pe, data.edge_index if edges is None else edges, data.edge_attr, data.batch
    )


def trained(**attention: Any) -> Molecules:
    """A model after a few steps, with other biases and running statistics than at the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Molecules(**attention)
        optimiser = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(3):
            optimiser.zero_grad()
            predict(model, molecules()).square().sum().backward()
            optimiser.step()
    return model.eval()


def all_ones() -> PowerSeriesMask:
    """I + A without normalisation, of which I counts nothing: 1 on every edge."""
    mask = PowerSeriesMask(hops=1, alpha=Free, normalization=None)
    mask.alpha.value.data.copy_(torch.tensor([[0.0, 1.0]]))
    return mask


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("training", [False, True])
def test_on_complete_graphs_exact_softmax_is_the_original(training: bool) -> None:
    original, data = trained(), molecules(complete=True)
    masked = to_masked(original, all_ones(), SoftmaxScores()).train(training)
    assert_close(
        predict(masked, data), predict(original.train(training), data), rtol=1e-5, atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_softmax_under_the_global_mask_is_the_original() -> None:
    """Graphs small enough for blocks: softmax between all pairs."""
    original, data = trained(), molecules()
    assert_close(
        predict(to_masked(original, GlobalMask(), SoftmaxScores()), data), predict(original, data)
    )


@pytest.mark.parametrize("kind", ["multihead", "performer"])
def test_what_was_trained_is_carried_over(kind: str) -> None:
    original = trained(attn_type=kind)
    masked, data = to_masked(original, WalkMask(hops=3, heads=4)), molecules()
    assert [type(conv) for conv in masked.convs] == [TopologicalGPS, TopologicalGPS]
    before, after = original.state_dict(), masked.state_dict()
    for name, value in before.items():
        if ".attn." not in name:
            assert_close(after[name], value, rtol=0, atol=0)
    attn, made = original.convs[1].attn, masked.convs[1].attn
    if kind == "performer":
        kept = (
            torch.cat([attn.q.weight, attn.k.weight, attn.v.weight]),
            attn.attn_out.weight,
            attn.attn_out.bias,
        )
    else:
        kept = attn.in_proj_weight, attn.out_proj.weight, attn.out_proj.bias
        assert_close(made.qkv.bias, attn.in_proj_bias, rtol=0, atol=0)
    assert_close((made.qkv.weight, made.out.weight, made.out.bias), kept, rtol=0, atol=0)
    assert predict(masked, data).shape == (3, 1)
    assert not masked.training


def test_the_original_is_left_alone() -> None:
    original, data = trained(), molecules()
    expected = predict(original, data)
    masked = to_masked(original, WalkMask(hops=2, heads=4)).train()
    predict(masked, data).sum().backward()
    with torch.no_grad():
        for parameter in masked.parameters():
            parameter.add_(1.0)
    assert all(
        parameter.grad is None or not parameter.grad.isnan().any()
        for parameter in original.parameters()
    )
    assert [type(conv) for conv in original.convs] == [GPSConv, GPSConv]
    assert_close(predict(original, data), expected, rtol=0, atol=0)


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
    """No walk is drawn: the mask's own sampler would give others."""
    masked = to_masked(trained(), cases.scrambled(WalkMask(2, 4, sampler=cases.random_walks(2))))
    graphs = [AddWalks(ResampledWalks(hops=2))(graph) for graph in molecules().to_data_list()]
    data = Batch.from_data_list(graphs)
    topology = Topology.from_data(data)
    found = predict(masked, data, topology)
    exact = to_masked(masked_back(masked), WalkMask(2, 4))
    for conv, other in zip(exact.convs, masked.convs, strict=True):
        conv.load_state_dict(other.state_dict())
    assert_close(found, predict(exact, data))
    assert (found != predict(masked, data)).any()


def masked_back(masked: nn.Module) -> nn.Module:
    """The model it came from, for its other modules."""
    original = trained()
    original.load_state_dict(masked.state_dict(), strict=False)
    return original


def test_a_layer_alone_and_layers_that_are_shared() -> None:
    layer = cases.seeded(lambda: GPSConv(4, SAGEConv(4, 4), heads=2))
    assert isinstance(to_masked(layer, GlobalMask()), TopologicalGPS)
    shared = to_masked(nn.ModuleList([layer, layer]), GlobalMask())
    assert shared[0] is shared[1]


def test_frozen_parameters_stay_frozen() -> None:
    layer = cases.seeded(lambda: GPSConv(4, None, heads=2)).requires_grad_(False)
    made = to_masked(layer, GlobalMask())
    assert not any(parameter.requires_grad for parameter in made.parameters())


def test_types_and_dropout_of_attention_follow() -> None:
    layer = cases.seeded(
        lambda: GPSConv(4, None, heads=2, attn_kwargs={"dropout": 0.3, "bias": False})
    ).bfloat16()
    made = to_masked(layer, WalkMask(heads=2))
    assert made.attn.dropout.p == 0.3
    assert made.attn.qkv.bias is None
    assert {parameter.dtype for parameter in made.parameters()} == {torch.bfloat16}


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: to_masked(nn.Linear(2, 2), GlobalMask()),
        ValueError,
        "`model` must be a model with .*GPSConv.*Linear without",
    ),
    (lambda: to_masked("model", GlobalMask()), TypeError, "`model` must be a torch.nn.Module"),
    (lambda: to_masked(GPSConv(4, None), "walk"), TypeError, "`mask`"),
    (
        lambda: to_masked(nn.ModuleList([GPSConv(4, None)]), WalkMask(heads=2)),
        ValueError,
        "`mask` must be of one head or 1, as `0`",
    ),
    (lambda: to_masked(GPSConv(4, None), GlobalMask(), "relu"), TypeError, "`feature_map`"),
    (
        lambda: to_masked(GPSConv(4, None, attn_kwargs={"add_zero_attn": True}), GlobalMask()),
        ValueError,
        "add_zero_attn",
    ),
    (lambda: hop_coefficients(3), TypeError, "`model`"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(error, match=expected):
        call()
