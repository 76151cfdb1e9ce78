"""Repelling walks: walks of one node that meet leave by different edges."""

from __future__ import annotations

import torch
from torch import Tensor

from .paths import PathSampler, WalkState, sort_keys


class RepellingWalks(PathSampler):
    r"""Walks whose directions repel.

    Those of one start that meet on a node at one hop leave without replacement.

    Where m walks meet on a node of degree :math:`d \ge m`, walk j of them leaves by the entry
    :math:`\lfloor d \, ((j / m + u) \bmod 1) \rfloor`, with one uniform u for all: the entry of
    each walk is uniform, and no two are equal. More walks than entries leave in blocks of d, of
    which each takes every entry once, and a last block of the rest. Walks that halt take no part.

    So every walk by itself has the distribution of an independent one, and all stays unbiased with
    a lower variance. Walks of one path stand side by side: where every block is full, all paths are
    walked equally often, and the walks are exact.

    Args:
        num_walks: n. (default: :obj:`32`)
        p_halt: the halting probability, in [0, 1). (default: :obj:`None`, 0.1 unless a length law
            is given)
        hops: K, after which a walk is cut; the hops up to K stay unbiased. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)
        length_law: of the lengths of walks, instead of ``p_halt``. (default: :obj:`None`,
            ``Geometric(p_halt)``)

    Raises:
        ValueError: as for :class:`IIDWalks`.

    Cost: O(N n log n) per hop; at most n (K + 1) entries per node.

    Source: Reid et al., "Repelling Random Walks" (ICLR 2024).

    Example:
        >>> import torch, graphmask as gm
        >>> ring = torch.stack([torch.arange(5), (torch.arange(5) + 1) % 5])
        >>> ring = gm.Topology(torch.cat([ring, ring.flip(0)], 1), num_nodes=5)
        >>> law = gm.walks.FixedLength(2)
        >>> sampler = gm.walks.RepellingWalks(num_walks=4, hops=2, length_law=law)
        >>> sampler(ring).to_dense()[2, 0]  # 2 * 2 walks take all paths of 2 hops: exact
        tensor([0.5000, 0.0000, 0.2500, 0.2500, 0.0000])
    """

    def _order_walks(self, walks: WalkState, positions: Tensor) -> Tensor:
        """Order walks by start and node; walks of one path, side by side before, stay so."""
        start, node = (x.index_select(0, positions) for x in (walks.start, walks.node))
        return positions.index_select(0, sort_keys(_start_and_node(start, node))[1])

    def _choose_entries(self, walks: WalkState, degree: Tensor, draw: Tensor) -> Tensor:
        _, group, count = torch.unique_consecutive(
            _start_and_node(walks.start, walks.node), return_inverse=True, return_counts=True
        )
        position = torch.arange(len(degree), device=degree.device)
        rank = position - (count.cumsum(0) - count).index_select(0, group)
        in_full_blocks = (rank / degree).floor() * degree
        j = rank - in_full_blocks
        m = torch.minimum(degree, count.index_select(0, group) - in_full_blocks)
        shift, spread = draw.index_select(0, position - j.long()) * degree, j * degree / m
        # Integers and fractions apart, so that in a full block, where j d / m = j, rounding makes
        # no two equal.
        entry = shift.floor() + spread.floor() + (shift.frac() + spread.frac() >= 1)
        return torch.where(entry < degree, entry, entry - degree).long()


def _start_and_node(start: Tensor, node: Tensor) -> Tensor:
    """One number for each pair of start and node, in their order."""
    return (start << int(node.max()).bit_length()) | node
