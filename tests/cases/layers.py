"""Layers and models."""

from __future__ import annotations

from typing import Any

from torch.nn import Linear
from torch_geometric.nn import MLP, GraphConv, MeanAggregation, SAGEConv, global_add_pool

from graphmask import features, masks, nn, normalizers, values, walks
from graphmask.masks import TopologicalMask

from .adaptive import adaptive
from .base import Case, parameter, random_walks, scrambled
from .series import power_series, walk_mask


def _attention(mask: TopologicalMask, **options: Any) -> nn.TopologicalAttention:
    return nn.TopologicalAttention(4, 2, mask, **options)


def _gau(mask: TopologicalMask, base: int = 3, **options: Any) -> nn.GatedAttentionUnit:
    return nn.GatedAttentionUnit(4, mask, base=base, **options)


def _grf_mask() -> masks.GRFMask:
    return scrambled(masks.GRFMask(2, 2, sampler=random_walks(2)))


def _model(layers: int, mask: Any, **options: Any) -> nn.TopologicalTransformer:
    return nn.TopologicalTransformer(3, 4, 2, layers, 2, mask, **options)


def _add_pool(layers: int, **options: Any) -> nn.TopologicalTransformer:
    return _model(layers, walk_mask(), pool=global_add_pool, **options)


def _mean_pool() -> nn.TopologicalTransformer:
    return _model(1, _grf_mask(), pool=MeanAggregation())


def _parts() -> nn.TopologicalTransformer:
    """Local blocks before a global one, and parts of the user."""
    return _model(
        2,
        [None, masks.HeadwiseMask([walk_mask(heads=1), masks.GlobalMask()])],
        conv=GraphConv(4, 4),
        jk="sum",
        skip=Linear(4, 4),
        encoder=MLP([3, 5, 4]),
        head=MLP([4, 5, 2], norm=None),
    )


def _readout() -> nn.TopologicalTransformer:
    readout = nn.Readout(4, 2, ("sum", "max"), hidden=(4, 3), pooled_norm="batch_norm")
    return _model(1, walk_mask(), jk="cat", head=readout)


LAYERS = (
    Case("attention-global", lambda: _attention(masks.GlobalMask(), dropout=0.5)),
    Case(
        "attention-power-series",
        lambda: _attention(power_series(2), feature_map=features.EluPlusOne()),
    ),
    Case("attention-walk", lambda: _attention(walk_mask())),
    Case(
        "attention-walk-iid",
        lambda: _attention(masks.WalkMask(2, sampler=walks.IIDWalks(num_walks=3, hops=2))),
    ),
    Case("attention-grf", lambda: _attention(_grf_mask())),
    Case(
        "attention-sum", lambda: _attention(parameter(0.2, -0.1) * masks.GlobalMask() + walk_mask())
    ),
    Case(
        "attention-positive",
        lambda: _attention(masks.GlobalMask(), feature_map=features.PositiveRandomFeatures(2, 6)),
    ),
    Case(
        "attention-learned",
        lambda: _attention(walk_mask(), feature_map=features.LearnedFeatures(2, 4)),
    ),
    Case(
        "attention-softmax", lambda: _attention(walk_mask(), feature_map=features.SoftmaxScores())
    ),
    Case(
        "attention-signed-scores",
        lambda: _attention(walk_mask(masks.PageRank), feature_map=features.Identity()),
    ),
    Case(
        "attention-sums",
        lambda: _attention(
            walk_mask(masks.OneHop),
            feature_map=scrambled(features.UnitPlusCosine(2)),
            normalizer=normalizers.Unnormalized(),
            values=values.RelativeValues(),
        ),
    ),
    Case(
        "attention-sink",
        lambda: _attention(
            walk_mask(),
            feature_map=features.SoftmaxScores(),
            normalizer=scrambled(normalizers.Sink(2)),
        ),
    ),
    Case(
        "attention-degrees",
        lambda: _attention(
            power_series(2),
            feature_map=scrambled(features.Normalized(features.Focused(), 2)),
            normalizer=scrambled(normalizers.DegreeScaled(2, normalizers.Sink(2))),
        ),
    ),
    Case("attention-adaptive", lambda: _attention(adaptive(channels=4))),
    Case(
        "attention-adaptive-keys",
        lambda: _attention(adaptive(masks.Diffusion, channels=4, of_keys=True)),
    ),
    Case("block", lambda: nn.TopologicalTransformerLayer(4, 2, walk_mask(), dropout=0.5)),
    Case(
        "block-both",
        lambda: nn.TopologicalTransformerLayer(4, 2, walk_mask(masks.PageRank), GraphConv(4, 4)),
    ),
    Case("block-local", lambda: nn.TopologicalTransformerLayer(4, 2, conv=SAGEConv(4, 4))),
    Case(
        "block-max",
        lambda: nn.TopologicalTransformerLayer(4, 2, conv=nn.SupportMax(4, 4, hops=(1, 2))),
    ),
    Case(
        "block-before",
        lambda: nn.TopologicalTransformerLayer(
            4, 2, masks.GlobalMask(), nn.BeforeAttention(GraphConv(4, 4)), dropout=0.5
        ),
    ),
    Case(
        "block-on-values",
        lambda: nn.TopologicalTransformerLayer(
            4,
            2,
            masks.GlobalMask(),
            nn.OnValues(SAGEConv(4, 4)),
            gate=scrambled(nn.OutputGate(4)),
        ),
    ),
    Case("context-pool", lambda: scrambled(nn.ContextPool(4, 2, sampler=random_walks(2)))),
    Case("multilevel", lambda: nn.MultilevelAttention(4, 2, size=2, blocks=1, dropout=0.5)),
    Case(
        "block-multilevel",
        lambda: nn.TopologicalTransformerLayer(
            4, 2, conv=nn.MultilevelAttention(4, 2, size=(2, 6), blocks=2)
        ),
    ),
    Case("gau", lambda: _gau(walk_mask(heads=1))),
    Case("gau-adaptive", lambda: _gau(adaptive(channels=4, heads=1), base=2, dropout=0.5)),
    Case("flash", lambda: _gau(masks.ChunkMask(3), linear_mask=masks.GlobalMask())),
    Case("model", lambda: _model(2, walk_mask(), dropout=0.1), channels=3),
    Case("model-add-pool", lambda: _add_pool(1, conv=GraphConv(4, 4)), channels=3, per_graph=True),
    Case("model-mean-pool", _mean_pool, channels=3, per_graph=True),
    Case(
        "model-sums",
        lambda: _model(
            2,
            power_series(2, masks.Spread),
            feature_map=features.UnitPlusCosine(),
            normalizer=normalizers.RMSNormalizer(2),
            norm="batch_norm",
        ),
        channels=3,
    ),
    Case("model-parts", _parts, channels=3),
    Case("model-readout", _readout, channels=3, per_graph=True),
    Case("model-jumping", lambda: _add_pool(2, jk="cat"), channels=3, per_graph=True),
    Case(
        "gps", lambda: nn.TopologicalGPS(4, GraphConv(4, 4), 2, norm="layer_norm", mask=walk_mask())
    ),
    Case("gps-batch-norm", lambda: nn.TopologicalGPS(4, SAGEConv(4, 4), 2, mask=_grf_mask())),
    Case(
        "gps-attention-alone",
        lambda: nn.TopologicalGPS(4, None, 2, norm=None, mask=masks.GlobalMask()),
    ),
    Case("explainable-edges", lambda: nn.ExplainableEdges(_attention(power_series(2)))),
)

# Parts of layers and models (tests/nn has their laws), and classes without instances.
PARTS = (
    lambda: nn.EdgeHead(4),
    lambda: nn.MomentFeatures(masks.GlobalMask()),
    lambda: nn.Readout(4, 2),
    lambda: nn.OutputGate(4),
    lambda: nn.SNNKLinear(4, 3, 8),
    *(
        lambda kernel=kernel: nn.SNNKLinear(4, 3, 8, kernel)
        for kernel in (nn.ExponentialKernel(), nn.CosineKernel(0.5), nn.SineKernel())
    ),
    lambda: nn.BeforeAttention(SAGEConv(4, 4)),
    lambda: nn.OnValues(SAGEConv(4, 4)),
)
MIXINS = (nn.PretrainedMixin,)
