from __future__ import annotations

import copy

import cases
import pytest
import torch
import torch_geometric.transforms as T
from models import features
from torch import nn
from torch.testing import assert_close
from torch_geometric import nn as pyg
from torch_geometric.data import Data

from graphmask.masks import PowerSeriesMask
from graphmask.nn import EdgeHead, TopologicalTransformer
from graphmask.testing import assert_gradients

PAIRS = torch.tensor([[0, 2, 2, 1], [1, 1, 2, 2]])


def edge_head(out_channels: int | None = None, **options: object) -> EdgeHead:
    return cases.seeded(lambda: EdgeHead(4, out_channels, **options)).eval()


@pytest.mark.parametrize("directed", [False, True])
def test_the_head_is_its_definition(directed: bool) -> None:
    head, x = edge_head(2, hidden_channels=6, directed=directed), features(3, 4)
    first, _, _, last = head.network
    for index, (j, i) in enumerate(PAIRS.mT.tolist()):
        pair = torch.cat([x[j], x[i]]) if directed else torch.cat([x[j] + x[i], x[j] * x[i]])
        assert_close(head(x, PAIRS)[index], last(nn.functional.gelu(first(pair))))


def test_the_output_is_a_scalar_or_a_vector_per_pair() -> None:
    assert edge_head()(features(3, 4), PAIRS).shape == (4,)
    assert edge_head(1)(features(3, 4), PAIRS).shape == (4, 1)
    assert edge_head(5)(features(3, 4), PAIRS[:, :0]).shape == (0, 5)


def test_derivatives() -> None:
    head = edge_head(2)
    assert_gradients(lambda x: head(x, PAIRS), features(3, 4), module=head)


def test_dropout_copies_and_resets() -> None:
    head, x = edge_head(dropout=0.5), features(3, 4)
    assert_close(copy.deepcopy(head)(x, PAIRS), head(x, PAIRS), rtol=0, atol=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        assert not torch.equal(head.train()(x, PAIRS), head(x, PAIRS))
        head.reset_parameters()
    assert not torch.allclose(head.eval()(x, PAIRS), edge_head(dropout=0.5)(x, PAIRS))
    assert repr(head) == "EdgeHead(4, None, directed=False)"


def ring_with_positions() -> Data:
    step = torch.arange(100)
    edges = torch.stack([step, step.roll(-1)])
    angle = step * 2 * torch.pi / 100
    x = torch.stack([angle.sin(), angle.cos()], 1)
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1))


@pytest.mark.global_rng
def test_links_are_learned_from_a_split_of_pyg() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer = TopologicalTransformer(-1, 16, 16, 1, 2, mask=PowerSeriesMask(2, 2))
        layers = [
            (transformer, "x, edge_index -> x"),
            (EdgeHead(16, hidden_channels=32), "x, edge_label_index -> score"),
        ]
        model = pyg.Sequential("x, edge_index, edge_label_index", layers)
        data = ring_with_positions()
        train, _, test = T.RandomLinkSplit(num_val=0.0, num_test=0.2, is_undirected=True)(data)
        model(train.x, train.edge_index, train.edge_label_index)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            score = model(train.x, train.edge_index, train.edge_label_index)
            label = train.edge_label.to(score.dtype)
            nn.functional.binary_cross_entropy_with_logits(score, label).backward()
            optimizer.step()
        predicted = model.eval()(test.x, test.edge_index, test.edge_label_index) > 0
    assert (predicted == test.edge_label.bool()).double().mean() > 0.8
