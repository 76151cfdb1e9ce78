"""Masked attention: out_i = sum_j M_ij k(q_i, k_j) v_j, divided by sum_j |M_ij| k(q_i, k_j)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._checks import type_error, value_error
from ._precision import full_precision
from .features import FeatureMap, ReLU, Scores
from .features.base import check_feature_map
from .kernels.products import accumulator, in_one_type
from .normalizers import Normalizer, RowSums
from .normalizers.base import Rows, check_normalizer
from .operators import Execution, MaskOperator, attend
from .operators.base import Attended, check_nodes
from .values import Encoded, ValueMap
from .values.base import check_value_map


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: MaskOperator,
    feature_map: FeatureMap | None = None,
    execution: Execution | None = None,
    normalizer: Normalizer | None = None,
    values: ValueMap | None = None,
) -> Tensor:
    r"""Linear attention modulated by a topological mask.

    .. math::
        \text{out}_i = \frac{\sum_j M_{ij}\, \phi(q_i) \cdot \phi(k_j)\, v_j}{\sum_j |M_{ij}|\,
        \phi(q_i) \cdot \phi(k_j)}

    :math:`\phi(q) \cdot \phi(k)` are the scores of the feature map; some maps have other scores.
    Where they, or M, have any sign, the denominator sums absolute values; it sums estimates of
    non-negative numbers as they are.

    A node whose denominator is zero (no mask entry in its row) gets zeros. Sums over half-precision
    input are taken in float32; the result has the dtype of v.

    Args:
        q: ``[N, H, dq]`` queries.
        k: ``[N, H, dq]`` keys.
        v: ``[N, H, dv]`` values.
        mask: the operator M, ``[H, N, N]`` or ``[1, N, N]``.
        feature_map: phi. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        execution: how to sum; all executions give the same result. (default: :obj:`None`, the
            cheapest that can)
        normalizer: of the sums, in the place of the division by row sums. (default: :obj:`None`,
            :class:`~graphmask.normalizers.RowSums`)
        values: map of values before they are summed, and of the sums before they are normalized,
            such as :class:`~graphmask.values.RotaryValues`. (default: :obj:`None`, none)

    Returns:
        ``[N, H, dv]``, or as many channels as the map of values has.

    Raises:
        TypeError: where q, k or v is no floating-point tensor, or the mask no operator.
        ValueError: for shapes that do not fit, for a signed mask whose entries are not known under
            a normalizer that needs row sums, for scores that are known up to a factor under a
            normalizer that reads their size, and for a topology without what the map of values
            reads.

    Cost: linear in N for every mask whose product is; see :mod:`graphmask.operators`.

    Source: Reid et al., "Linear Transformer Topological Masking with Graph Random Features" (ICLR
    2025), eqs. 2, 3 and 7; Choromanski et al., "From block-Toeplitz matrices to differential
    equations on graphs" (ICML 2022), algorithm 1.

    Example:
        >>> import torch, graphmask as gm
        >>> edge_index = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])
        >>> triangle = gm.Topology(edge_index, num_nodes=3)
        >>> q = k = torch.rand(3, 2, 4)
        >>> v = torch.ones(3, 2, 5)
        >>> out = gm.attention(q, k, v, gm.masks.GlobalMask()(triangle))
        >>> bool(torch.allclose(out, v))
        True
    """
    _check(q, k, v, mask)
    feature_map = ReLU() if feature_map is None else check_feature_map(feature_map)
    if execution is not None and not isinstance(execution, Execution):
        raise type_error("execution", "an Execution, such as Pairs()", execution)
    normalizer = RowSums() if normalizer is None else check_normalizer(normalizer)
    scores, encoded = _scores(feature_map, normalizer), _encode(v, mask, feature_map, values)
    inputs = q, k, encoded.values
    numerator, denominator, shift = _sum(inputs, mask, feature_map, scores, execution)
    with full_precision(q.device):
        rows = Rows(mask.topology, shift=_by_nodes(shift))
        sums, ratios = encoded.decode(numerator.transpose(0, 1))
        out = normalizer(sums, _by_nodes(denominator), rows)
        return (out if ratios is None else torch.cat([out, ratios], -1)).to(v.dtype)


def attention_rows(
    q: Tensor,
    k: Tensor,
    mask: MaskOperator,
    nodes: Tensor,
    feature_map: FeatureMap,
    normalizer: Normalizer | None = None,
) -> Tensor:
    """Rows ``[len(nodes), H, N]`` of the matrix by which :func:`attention` multiplies v.

    Under a map of values it multiplies the encoded values, and the result is then decoded.

    Args:
        q: ``[N, H, dq]`` queries.
        k: ``[N, H, dq]`` keys.
        mask: the operator M.
        nodes: node ids.
        feature_map: phi.
        normalizer: as in :func:`attention`. (default: :obj:`None`)

    Raises:
        ValueError: for nodes that are not a vector of node ids, and a normalizer that is not linear
            in v.

    Cost: O(N) per row, and a product with the transpose of M.
    """
    normalizer = RowSums() if normalizer is None else check_normalizer(normalizer)
    if not normalizer.is_linear:
        raise value_error("normalizer", "linear in the values, for rows of attention", normalizer)
    check_nodes(nodes, mask.num_nodes)
    if not len(nodes):
        return q.new_zeros(0, q.shape[1], len(q))
    topology, scores = mask.topology, _scores(feature_map, normalizer)
    queries, keys = feature_map(q, k, topology.batch, topology.num_graphs)
    with full_precision(q.device):
        queries, keys, rows = in_one_type(queries[nodes], keys, mask.rows(nodes))
        present = rows != 0
        score, *shifts = scores.block(queries.transpose(0, 1), keys.transpose(0, 1), present)
        # Nothing is read of other graphs, whose features may be NaN.
        score = score.masked_fill(~present, 0)
        # Parts of the heads may have denominators of their own sign.
        parts = mask._parts()
        heads = [part.heads for part in parts] if len(parts) > 1 else [len(score)]
        groups = zip(parts, rows.expand_as(score).split(heads), score.split(heads), strict=True)
        pairs = [scores.terms(row, s, part.sums_itself) for part, row, s in groups]
        terms, sizes = (torch.cat(values) for values in zip(*pairs, strict=True))
        terms, sizes, *shifts = (
            x.transpose(0, 1) for x in (terms, sizes.sum(-1, keepdim=True), *shifts)
        )
        return normalizer(terms, sizes, Rows(topology, nodes, *shifts)).to(q.dtype)


def _sum(
    inputs: Sequence[Tensor],
    mask: MaskOperator,
    feature_map: FeatureMap,
    scores: Scores,
    execution: Execution | None,
) -> Attended:
    """Both sums of attention, from queries, keys and values ``[N, H, .]``."""
    q, k, v = (x.transpose(0, 1) for x in inputs)
    if execution is None and mask.heads in (1, len(q)):
        sums = mask._attend_by_parts(feature_map, q, k, v, scores)
        if sums is not None:
            return sums
    topology = mask.topology
    part = () if topology.part.is_whole else (topology.part,)
    pair = feature_map(*inputs[:2], topology.batch, topology.num_graphs, *part)
    queries, keys = (x.transpose(0, 1) for x in pair)
    return attend(mask, queries, keys, v, execution, scores)


def _scores(feature_map: FeatureMap, normalizer: Normalizer) -> Scores:
    """The scores of a feature map, with a denominator where it is needed."""
    scores = feature_map.scores
    shifted = normalizer.reads_shift and scores.shifted
    if normalizer.reads_size and not (feature_map.sized or shifted):
        raise value_error(
            "normalizer",
            f"one that divides by row sums, such as RowSums(), for {feature_map!r}, whose scores "
            "are known up to a factor",
            repr(normalizer),
        )
    return scores if normalizer.needs_denominator else scores.unnormalized()


def _by_nodes(x: Tensor | None) -> Tensor | None:
    """``[N, H, 1]`` of ``[H, N]``, if there is one."""
    return None if x is None else x.unsqueeze(-1).transpose(0, 1)


def _encode(
    v: Tensor, mask: MaskOperator, feature_map: FeatureMap, values: ValueMap | None
) -> Encoded:
    if values is None:
        return Encoded(v)
    is_nonnegative = mask.nonnegative and feature_map.nonnegative_scores
    if check_value_map(values).needs_nonnegative and not is_nonnegative:
        expected = f"non-negative, and so must scores, for {values!r}"
        raise value_error("mask", expected, f"{mask!r}, and scores of {feature_map!r}")
    with full_precision(v.device):
        return values(v.to(accumulator(v)), mask.topology)


def _check(q: Tensor, k: Tensor, v: Tensor, mask: MaskOperator) -> None:
    if not isinstance(mask, MaskOperator):
        raise type_error("mask", "an operator, as made by mask(topology)", mask)
    for name, x in (("q", q), ("k", k), ("v", v)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise type_error(name, "a floating-point tensor", x)
        if x.dim() != 3 or x.shape[:2] != q.shape[:2] or x.shape[0] != mask.num_nodes:
            raise value_error(
                name,
                f"of shape [N, H, C] with N = {mask.num_nodes} (nodes of the mask) and H as q",
                x,
            )
