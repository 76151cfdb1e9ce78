from __future__ import annotations

import copy
from collections.abc import Callable

import cases
import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric import nn as pyg
from torch_geometric import seed_everything
from torch_geometric.data import Data

from graphmask.masks import PowerSeriesMask
from graphmask.nn import EdgeHead, TopologicalTransformer
from graphmask.testing import assert_gradients

PAIRS = torch.tensor([[0, 2, 2, 1], [1, 1, 2, 2]])


def features(num_nodes: int = 3, channels: int = 4) -> Tensor:
    return torch.randn(num_nodes, channels, generator=torch.Generator().manual_seed(0))


def head(out_channels: int | None = None, **options: object) -> EdgeHead:
    return cases.seeded(lambda: EdgeHead(4, out_channels, **options)).eval()


@pytest.mark.parametrize("directed", [False, True])
def test_it_is_its_definition(directed: bool) -> None:
    made, x = head(2, hidden_channels=6, directed=directed), features()
    first, _, _, last = made.network
    for number, (j, i) in enumerate(PAIRS.mT.tolist()):
        pair = torch.cat([x[j], x[i]]) if directed else torch.cat([x[j] + x[i], x[j] * x[i]])
        assert_close(made(x, PAIRS)[number], last(nn.functional.gelu(first(pair))))


def test_a_number_or_a_vector_per_pair() -> None:
    assert head()(features(), PAIRS).shape == (4,)
    assert head(1)(features(), PAIRS).shape == (4, 1)
    assert head(5)(features(), PAIRS[:, :0]).shape == (0, 5)


@pytest.mark.parametrize("directed", [False, True])
def test_directions_count_where_they_are_to(directed: bool) -> None:
    made, x = head(directed=directed), features()
    assert torch.allclose(made(x, PAIRS[:, :2]), made(x, PAIRS[:, :2].flip(0))) != directed


def test_other_nodes_and_their_names_do_not_matter() -> None:
    made, x, order = head(), features(5), torch.tensor([3, 1, 4, 0, 2])
    assert_close(made(x[order], torch.argsort(order)[PAIRS]), made(x, PAIRS))
    assert_close(made(x[:3], PAIRS), made(x, PAIRS))


def test_derivatives() -> None:
    made = head(2).double()
    assert_gradients(lambda x: made(x, PAIRS), features().double(), module=made)


def test_dropout_copies_and_resets() -> None:
    made, x = head(dropout=0.5), features()
    assert_close(copy.deepcopy(made)(x, PAIRS), made(x, PAIRS), rtol=0, atol=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        assert not torch.equal(made.train()(x, PAIRS), made(x, PAIRS))
        made.reset_parameters()
    assert not torch.allclose(made.eval()(x, PAIRS), head(dropout=0.5)(x, PAIRS))
    assert repr(made) == "EdgeHead(4, None, directed=False)"


def link_prediction() -> tuple[pyg.Sequential, Data]:
    """A ring of 100 nodes that know where they are: the sort of links is learned in a few steps."""
    step = torch.arange(100)
    ring = torch.stack([torch.cat([step, (step + 1) % 100]), torch.cat([(step + 1) % 100, step])])
    angle = step * 2 * torch.pi / 100
    data = Data(x=torch.stack([angle.sin(), angle.cos()], 1), edge_index=ring)
    model = TopologicalTransformer(-1, 16, 16, num_layers=1, heads=2, mask=PowerSeriesMask(2, 2))
    layers = [
        (model, "x, edge_index -> x"),
        (EdgeHead(16, hidden_channels=32), "x, edge_label_index -> score"),
    ]
    return pyg.Sequential("x, edge_index, edge_label_index", layers), data


@pytest.mark.global_rng
def test_links_are_learned_from_a_split_of_pyg() -> None:
    with torch.random.fork_rng(devices=[]):
        seed_everything(0)
        model, data = link_prediction()
        train, _, test = T.RandomLinkSplit(num_val=0.0, num_test=0.2, is_undirected=True)(data)
        model(train.x, train.edge_index, train.edge_label_index)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            score = model(train.x, train.edge_index, train.edge_label_index)
            nn.functional.binary_cross_entropy_with_logits(
                score, train.edge_label.to(score.dtype)
            ).backward()
            optimizer.step()
        found = model.eval()(test.x, test.edge_index, test.edge_label_index) > 0
    assert (found == test.edge_label.bool()).double().mean() > 0.8


def test_it_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    made, x = head().double(), features().double()
    assert_close(torch.compile(made, fullgraph=True, backend="aot_eager")(x, PAIRS), made(x, PAIRS))


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: EdgeHead(0), ValueError, "`in_channels` must be at least 1"),
    (lambda: EdgeHead(-1), ValueError, "`in_channels`"),
    (lambda: EdgeHead(4, 0), ValueError, "`out_channels`"),
    (lambda: EdgeHead(4, 1, 0), ValueError, "`hidden_channels`"),
    (lambda: EdgeHead(4, dropout=1.0), ValueError, "`dropout`"),
    (
        lambda: head()(features(3, 5), PAIRS),
        ValueError,
        r"`x` must be of shape \[N, C\] with C = 4",
    ),
    (
        lambda: head()(features(), PAIRS.float()),
        TypeError,
        "`edge_label_index` must be an integer tensor",
    ),
    (
        lambda: head()(features(), PAIRS.mT),
        ValueError,
        r"`edge_label_index` must be of shape \[2, P\]",
    ),
    (
        lambda: head()(features(2), PAIRS),
        ValueError,
        "`edge_label_index` must be node ids from 0 to N - 1 = 1, got 0 to 2",
    ),
    (lambda: head()(features(), PAIRS - 1), ValueError, "`edge_label_index` must be node ids"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(error, match=expected):
        call()
