"""Layers on neighborhoods that PyG samples; its samplers need a compiled package."""

from __future__ import annotations

import cases
import pytest
import torch
import torch_geometric.typing
from torch.testing import assert_close
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader

from graphmask import Topology
from graphmask.masks import WalkMask
from graphmask.nn import TopologicalAttention, TopologicalTransformer
from graphmask.transforms import AddWalks, KNNGraph
from graphmask.walks import ResampledWalks

pytestmark = [
    pytest.mark.skipif(
        not (torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE),
        reason="needs pyg-lib or torch-sparse",
    ),
    pytest.mark.global_rng,  # samplers draw from it
    pytest.mark.usefixtures("single_by_default"),
    pytest.mark.filterwarnings("ignore:Using 'NeighborSampler' without a 'pyg-lib'"),
]


def cloud() -> Data:
    data = KNNGraph(6)(Data(pos=torch.rand(300, 2, generator=torch.Generator().manual_seed(0))))
    data.x, data.y, data.train_mask = data.pos, torch.arange(300), torch.arange(300) % 3 == 0
    return data


def test_a_model_trains_on_sampled_neighborhoods() -> None:
    data, sampler = cloud(), ResampledWalks(budget=16, hops=2)
    draw = AddWalks(sampler, torch.Generator().manual_seed(0))
    options = {"batch_size": 32, "input_nodes": data.train_mask, "transform": draw}
    loader = NeighborLoader(data, num_neighbors=[4, 4], **options)
    model = cases.seeded(lambda: TopologicalTransformer(2, 8, 2, 2, 2, WalkMask(2, 2)))
    nodes = []
    for batch in loader:
        out = model(batch.x, Topology.from_data(batch))[: batch.batch_size]
        assert batch.train_mask[: batch.batch_size].all()
        out.sum().backward()
        nodes.append(batch.y[: batch.batch_size])
    assert_close(torch.cat(nodes), data.train_mask.nonzero().flatten())
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_all_neighbors_within_the_hops_of_the_mask_stand_for_the_graph() -> None:
    """Without normalization, which depends on the degrees in the sample."""
    data = cloud()
    mask = WalkMask(2, 2, sampler=ResampledWalks(budget=300, hops=2, normalization=None))
    layer = cases.seeded(lambda: TopologicalAttention(2, 2, mask))
    expected = layer(data.x, data.edge_index)
    for batch in NeighborLoader(data, num_neighbors=[-1, -1], batch_size=64):
        out = layer(batch.x, batch.edge_index)[: batch.batch_size]
        assert_close(out, expected[batch.y[: batch.batch_size]], rtol=1e-4, atol=1e-5)
