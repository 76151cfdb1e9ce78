from __future__ import annotations

import cases
import pytest
import torch
from cases.graphs import edgeless
from torch import Tensor
from torch.testing import assert_close

from graphmask import attention
from graphmask.features import FeatureMap, Identity, LearnedFeatures, ReLU
from graphmask.masks import GlobalMask
from graphmask.testing import check_feature_map


def test_the_floor_keeps_scores_positive() -> None:
    x = torch.tensor([[-1.0, -2.0]])
    assert (ReLU().queries(x) * ReLU().keys(x)).sum() > 0
    assert ReLU(epsilon=0).queries(x).sum() == 0


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", cases.FEATURES, ids=str)
def test_features_have_the_type_of_their_input(case: cases.Case, half: torch.dtype) -> None:
    x = torch.tensor([[-1.0, 0.5, 0.25, -0.5, 2.0]], dtype=half)
    phi = case.make()
    expected = (case.key_reference or case.reference)(phi, x.double())
    # Learned maps are cast with their layer; random projections keep their precision.
    phi = phi.to(half) if list(phi.parameters()) else phi
    assert phi.queries(x).dtype == half
    assert_close(phi.keys(x).double(), expected, rtol=1e-2, atol=1e-2)


class Split(FeatureMap):
    """A user's map, different for queries and keys."""

    def queries(self, x: Tensor) -> Tensor:
        return torch.cat([x.exp(), (-x).exp()], -1)

    def keys(self, x: Tensor) -> Tensor:
        return torch.cat([(2 * x).exp(), torch.ones_like(x)], -1)


def test_users_can_write_feature_maps() -> None:
    check_feature_map(Split(), channels=3)


def test_signed_scores_need_pairs_or_blocks_and_divide_by_their_sizes() -> None:
    x = torch.ones(20_000, 1, 1, dtype=torch.float32)
    with pytest.raises(ValueError, match="for SignedInnerProducts"):
        attention(x, x, x, GlobalMask()(edgeless(20_000)), Identity())
    x = torch.tensor([1.0, -3.0]).reshape(2, 1, 1)
    out = attention(x, x, x, GlobalMask()(edgeless(2)), Identity())
    assert_close(out.flatten(), torch.tensor([10 / 4, -10 / 4]))


@pytest.mark.global_rng
def test_initial_learned_maps_keep_lengths() -> None:
    phi = LearnedFeatures(4, 8)
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert_close(phi.of_keys(x).norm(dim=-1), x.norm(dim=-1))
    assert_close(phi.keys(1e4 * x).sum(-1), torch.ones(3))
    before = phi.of_queries.weight.clone()
    phi.reset_parameters()
    assert not torch.equal(phi.of_queries.weight, before)
