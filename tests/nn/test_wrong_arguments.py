"""Wrong arguments raise an error that names the argument."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from models import PATH, attention, block, features, gps, model
from torch import nn
from torch_geometric.nn import (
    GCNConv,
    GPSConv,
    JumpingKnowledge,
    MeanAggregation,
    MultiAggregation,
    global_mean_pool,
)

from graphmask import Topology
from graphmask.masks import GlobalMask, HeadwiseMask, PowerSeriesMask, WalkMask
from graphmask.nn import (
    BeforeAttention,
    EdgeHead,
    ExplainableEdges,
    GatedAttentionUnit,
    OnValues,
    OutputGate,
    Readout,
    TopologicalAttention,
    TopologicalGPS,
    TopologicalTransformer,
    TopologicalTransformerLayer,
    hop_coefficients,
    parameter_groups,
    to_masked,
)
from graphmask.walks import ResampledWalks

ALL, PAIRS = GlobalMask(), torch.tensor([[0, 2, 2, 1], [1, 1, 2, 2]])
TWO = MultiAggregation(["mean", "max"])
ZERO_ATTENTION = {"add_zero_attn": True}


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape)


def transformer(*sizes: object) -> TopologicalTransformer:
    return TopologicalTransformer(*sizes, 1, 2, ALL)


def head_of(x: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    return EdgeHead(4)(x, pairs)


VALUES: list[tuple[Callable[[], object], str]] = [
    # TopologicalAttention
    (lambda: attention(channels=0), "`channels` must be at least 1"),
    (lambda: attention(channels=5), "`channels` must be a multiple of heads = 2, got 5"),
    (lambda: TopologicalAttention(4, 0, ALL), "`heads` must be at least 1"),
    (lambda: attention(PowerSeriesMask(heads=3)), "`mask` must be of one head or 2"),
    (lambda: attention(HeadwiseMask([ALL] * 3)), "`mask` must be of one head or 2"),
    (lambda: HeadwiseMask([]), "`masks` must be at least one, got none"),
    (lambda: attention(dropout=1.0), "`dropout`"),
    (lambda: attention()(ones(3, 5), PATH), r"`x` must be of shape \[N, C\] with C = 6"),
    (lambda: attention()(ones(3), PATH), "`x`"),
    (lambda: attention()(ones(2, 6), PATH), "`edge_index` must be .* from 0 to N - 1 = 1, got 2"),
    (lambda: attention()(ones(3, 6), PATH, ones(3)), "`edge_weight`"),
    (lambda: attention()(ones(3, 6), PATH, None, ones(2).long()), "`batch`"),
    (lambda: attention()(ones(3, 6), PATH, None, torch.tensor([0, 1, 1])), "must be within"),
    (lambda: attention()(ones(4, 6), Topology(PATH, 3)), "`x` must be of shape.*N = 3"),
    (lambda: attention()(ones(3, 6), Topology(PATH, 3), ones(4)), "`edge_weight, batch`"),
    (lambda: attention().attention_rows(torch.tensor([3]), ones(3, 6), PATH), "`nodes`"),
    (lambda: attention().attention_rows(1, ones(3, 6), PATH), "`nodes`"),
    # TopologicalTransformerLayer and TopologicalTransformer
    (lambda: block(), "`mask, conv` must be given, one of them at least"),
    (lambda: block(mask=ALL, expansion=0), "`expansion`"),
    (lambda: TopologicalTransformerLayer(-1, 2, ALL), "`channels` must be at least 1"),
    (lambda: block(mask=ALL)(ones(3, 5), PATH), "`x`"),
    (lambda: model(mask=ALL, num_layers=0), "`num_layers` must be at least 1"),
    (lambda: transformer(-2, 4, 5), "`in_channels`"),
    (lambda: transformer(3, 4, 0), "`out_channels`"),
    (lambda: model(mask=ALL)(ones(3, 4), PATH), r"`x` must be of shape \[N, in_channels\]"),
    (lambda: model(mask=ALL, jk="mean"), "`jk` must be 'cat', .* 'sum' or None, got mean"),
    (lambda: model(mask=[ALL] * 3), "`mask` must be one mask, or num_layers = 2 masks, got 3"),
    (lambda: model(mask=[ALL, None]), "`mask, conv` must be given, one of them at least"),
    (
        lambda: model(mask=[WalkMask(2), WalkMask(2, sampler=ResampledWalks(normalization="rw"))]),
        "`mask` must be on walks of the same normalisation",
    ),
    (lambda: model(mask=ALL, skip=nn.Linear(4, 1))(ones(3, 3), PATH), "`skip` must be a module wh"),
    (lambda: model(mask=ALL, encoder=nn.Linear(3, 5))(ones(3, 3), PATH), "`encoder` must be a mod"),
    (lambda: model(mask=ALL, head=nn.Linear(4, 4))(ones(3, 3), PATH), "`head` must be a module wh"),
    (lambda: model(mask=ALL, head=Readout(8, 5)), "`head` must be a Readout from 4 to .* = 5"),
    (lambda: model(mask=ALL, head=Readout(4, 5), pool=MeanAggregation()), "`pool` must be None"),
    (lambda: model(mask=ALL)(ones(3, 3), PATH, u=ones(1, 2)), "`u` must be None, unless"),
    (lambda: model(mask=ALL, pool=TWO)(ones(3, 3), PATH), "`pool` must be a pool to 4 channels"),
    (lambda: block(mask=ALL, norm="diff_group_norm"), "`norm` must be a normalisation of C"),
    (lambda: block(mask=ALL, norm="nothing"), "`norm` must be a normalisation of C channels"),
    # Readout and parameter_groups
    (lambda: Readout(4, 5, hidden=()), "`hidden` must be at least one width"),
    (lambda: Readout(4, 5, "average"), "`aggr` must be names of PyG's aggregations"),
    (lambda: Readout(4, 5, dropout=1.0), "`dropout`"),
    (lambda: Readout(4, 5, norm="graph_norm"), "`norm` must be a normalisation that reads no"),
    (lambda: Readout(4, 5)(ones(3, 3)), r"`x` must be of shape \[N, C\] with C = 4"),
    (lambda: Readout(4, 5)(ones(3, 4), ones(2).long()), "`batch` must be of shape .* N = 3"),
    (lambda: Readout(4, 5)(ones(3, 4), u=ones(1, 2)), "`u` must be None"),
    (lambda: Readout(4, 5, graph_channels=2)(ones(3, 4)), r"`u` must be .* of shape \[1, 2\]"),
    (lambda: Readout(4, 5, graph_channels=2)(ones(3, 4), u=ones(3, 2)), "`u` must be floating"),
    (lambda: parameter_groups(model(-1, mask=ALL), 0.1), "`model` must be called once, so that `e"),
    (lambda: parameter_groups(block(mask=ALL), -0.1), "`lr`"),
    (lambda: model(mask=ALL, jk=JumpingKnowledge("lstm", 4, 3)), "`jk` must be of hidden_channels"),
    (lambda: model(mask=PowerSeriesMask(2, edge_dim=2))(ones(3, 3), PATH), "`edge_attr` must be"),
    (
        lambda: model(mask=ALL)(ones(2, 3, 3), PATH),
        r"`x` must be of shape \[N, C\], the nodes of all",
    ),
    (lambda: block(conv=GCNConv(4, 1))(ones(3, 4), PATH), "`conv` must be from C to C channels"),
    # OutputGate and placed convolutions
    (lambda: OutputGate(4, 0), "`out_channels` must be at least 1"),
    (lambda: attention(gate=OutputGate(6, 3))(ones(3, 6), PATH), "`gate` must be a module whose o"),
    (lambda: attention(gate=nn.Linear(6, 1))(ones(3, 6), PATH), "`gate` must be a module whose o"),
    (lambda: attention(conv=GCNConv(6, 1))(ones(3, 6), PATH), "`conv` must be from C to C"),
    (lambda: block(conv=BeforeAttention(GCNConv(4, 4))), "`mask` must be given beside BeforeAtt"),
    (lambda: block(conv=OnValues(GCNConv(4, 4))), "`mask` must be given beside OnValues"),
    # TopologicalGPS
    (lambda: gps(conv=GCNConv(6, 1))(ones(3, 6), PATH), "`conv` must be from C to C channels"),
    (lambda: TopologicalGPS(4, None, dropout=1.0), "`dropout`"),
    (lambda: gps()(ones(2, 6), PATH), "`edge_index` must be node ids"),
    # EdgeHead
    (lambda: EdgeHead(0), "`in_channels` must be at least 1"),
    (lambda: EdgeHead(4, 1, 0), "`hidden_channels`"),
    (lambda: EdgeHead(4, dropout=1.0), "`dropout`"),
    (lambda: head_of(ones(3, 5), PAIRS), r"`x` must be of shape \[N, C\] with C = 4"),
    (lambda: head_of(ones(3, 4), PAIRS.mT), r"`edge_label_index` must be of shape \[2, P\]"),
    (lambda: head_of(ones(2, 4), PAIRS), "`edge_label_index` must be .* N - 1 = 1, got 0 to 2"),
    (lambda: head_of(ones(3, 4), PAIRS - 1), "`edge_label_index` must be node ids"),
    # to_masked and ExplainableEdges
    (lambda: to_masked(nn.Linear(2, 2), ALL), "`model` must be .*GPSConv.*Linear without"),
    (
        lambda: to_masked(nn.ModuleList([GPSConv(4, None)]), WalkMask(heads=2)),
        "`mask` must be of one head or 1, as `0`",
    ),
    (lambda: to_masked(GPSConv(4, None, attn_kwargs=ZERO_ATTENTION), ALL), "add_zero_attn"),
    (lambda: ExplainableEdges(nn.Linear(2, 2)), "`model` must be .* forward takes edge_weight"),
]

TYPES: list[tuple[Callable[[], object], str]] = [
    (lambda: TopologicalAttention(4, 2, None), "`mask` must be a TopologicalMask"),
    (lambda: HeadwiseMask(ALL), "`masks` must be a list of TopologicalMasks, got GlobalMask"),
    (lambda: HeadwiseMask([ALL, None]), "`masks` must be TopologicalMasks"),
    (lambda: attention(feature_map=torch.relu), "`feature_map`"),
    (lambda: attention()(ones(3, 6).long(), PATH), "`x` must be a floating-point tensor"),
    (lambda: attention()(ones(3, 6), PATH.double()), "`edge_index`"),
    (lambda: transformer(3, 4, 5.0), "`out_channels`"),
    (lambda: model(mask=ALL, pool="mean"), "`pool`"),
    (lambda: model(mask="walk"), "`mask` must be a TopologicalMask, a list of these or None"),
    (lambda: model(mask=ALL, skip="linear"), "`skip` must be a module"),
    (lambda: model(mask=ALL, encoder=nn.ReLU), "`encoder` must be a module"),
    (lambda: model(mask=ALL, head=global_mean_pool), "`head` must be a module"),
    (lambda: Readout(4, 5, aggr=3), "`aggr` must be names of aggregations"),
    (lambda: parameter_groups("model", 0.1), "`model` must be a torch.nn.Module"),
    (lambda: model(mask=ALL, jk=nn.Identity()), "`jk` must be a string or a JumpingKnowledge"),
    (lambda: attention(gate="sigmoid"), "`gate` must be a module"),
    (lambda: OnValues(GCNConv), "`conv` must be a convolution, such as GCNConv"),
    (lambda: OnValues(BeforeAttention(GCNConv(4, 4))), "`conv` must be a convolution"),
    (lambda: Readout(4, 5, hidden=16), "`hidden` must be a list of integers"),
    (lambda: block(conv=GCNConv), "`conv` must be a module, such as GCNConv"),
    (lambda: TopologicalGPS(4, None, mask="walk"), "`mask` must be a TopologicalMask"),
    (lambda: head_of(features(3, 4), PAIRS.float()), "`edge_label_index` must be an integer"),
    (lambda: head_of(features(3, 4), PAIRS > 0), "`edge_label_index` must be .* dtype torch.bool"),
    (lambda: head_of(features(3, 4).float(), PAIRS), "`x` must be torch.float64, as the param"),
    *(
        (lambda layer=layer: layer.float()(features(3, 4), PATH), "`x` must be torch.float32, as")
        for layer in (
            TopologicalAttention(4, 2, ALL),
            TopologicalTransformerLayer(4, 2, ALL),
            TopologicalGPS(4, None, 2, mask=ALL),
            GatedAttentionUnit(4, ALL),
            TopologicalTransformer(4, 4, 5, 1, 2, ALL),
        )
    ),
    (lambda: Readout(4, 5).float()(features(3, 4)), "`x` must be torch.float32, as the param"),
    (lambda: to_masked("model", ALL), "`model` must be a torch.nn.Module"),
    (lambda: to_masked(GPSConv(4, None), ALL, "relu"), "`feature_map`"),
    (lambda: hop_coefficients(3), "`model`"),
    (lambda: ExplainableEdges("model"), "`model` must be a torch.nn.Module"),
]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (call, error, message)
        for rows, error in ((VALUES, ValueError), (TYPES, TypeError))
        for call, message in rows
    ],
)
def test_the_error_names_the_argument(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(error, match=message):
        call()
