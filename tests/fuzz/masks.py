"""Random masks: every family, and combinations of them up to a depth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from cases.paths import separator_mask
from cases.trees import tree_mask

from graphmask import masks, walks

from .campaign import Draw
from .graphs import ANY, GRID, LENGTHS, SHAPES, TREE

Alpha = Callable[[int, int], masks.Coefficients]
_ALPHAS: tuple[Alpha, ...] = (
    masks.Free,
    masks.NonNegative,
    masks.Diffusion,
    partial(masks.RegularizedLaplacian, scale=2.0, power=1.5),
    masks.Cosine,
    masks.PageRank,
    partial(masks.PStepWalk, steps=2),
)
# Pairs per row that hold all nodes of these graphs: walks are then the powers themselves.
EXACT = 64
_ROOTED = (masks.Diffusion, masks.PageRank, partial(masks.RegularizedLaplacian, power=2))


class Masks:
    """Random masks of one case: all of them share heads, the normalisation of walks and a kind.

    Args:
        draw: the source of chance.
    """

    def __init__(self, draw: Draw) -> None:
        self.draw, self.kind = draw, draw.choice([ANY, ANY, ANY, LENGTHS, TREE, GRID])
        self.heads = draw.integer(1, 3)
        self.normalization = draw.choice(["sym", "sym", "rw", None])
        self.shape = draw.choice(SHAPES)
        self.size = int(torch.tensor(self.shape).prod()) if self.kind == GRID else None

    def mask(self, depth: int) -> masks.TopologicalMask:
        """Return a mask, nested up to a depth."""
        draw = self.draw
        if depth == 0 or draw.chance(0.4):
            leaf = draw.choice(self._leaves())()
            return draw.parameters(leaf) if draw.chance(0.8) else leaf
        kind = draw.choice(["sum", "minus", "scaled", "matmul", "times", "mT", "symmetrize"])
        a = self.mask(depth - 1)
        if kind in ("mT", "symmetrize"):
            return a.mT if kind == "mT" else masks.symmetrize(a)
        if kind == "scaled":
            scale = draw.normal(draw.choice([1, a.heads]), dtype=torch.get_default_dtype())
            return draw.choice([-0.7, 2, scale, torch.nn.Parameter(scale)]) * a
        b = self.mask(depth - 1)
        return {
            "sum": lambda: a + b,
            "minus": lambda: a - b,
            "matmul": lambda: a @ b,
            "times": lambda: a * b,
        }[kind]()

    def _leaves(self) -> list[Callable[[], masks.TopologicalMask]]:
        any_graph = [
            masks.GlobalMask, self._series, self._series, self._walk, self._walk, self._grf,
            self._stitched, self._degree, self._paths, self._diffusion, self._causal, self._rfd,
            self._fourier, *[self._kernel] * (self.normalization == "rw"),
        ]  # fmt: skip
        return {
            ANY: any_graph,
            LENGTHS: [*any_graph, *2 * [self._separator]],
            TREE: [*any_graph, *2 * [self._separator], *5 * [self._tree]],
            GRID: [*any_graph, *2 * [self._toeplitz, self._grid_heat, self._cube, self._kron]],
        }[self.kind]

    def _few(self) -> int:
        return self.draw.choice([1, self.heads])

    def _alpha(self) -> Alpha:
        return self.draw.choice(_ALPHAS)

    def _sampler(self, hops: int, normalization: Any = "shared") -> walks.WalkSampler:
        draw = self.draw
        options: dict[str, Any] = {"hops": hops + draw.integer(0, 1)}
        options["normalization"] = (
            self.normalization if normalization == "shared" else normalization
        )
        return draw.choice(
            [
                lambda: walks.ResampledWalks(EXACT, **options),
                lambda: walks.ResampledWalks(draw.choice([1, 2]), width=4, **options),
                lambda: walks.IIDWalks(draw.integer(1, 4), p_halt=0.3, **options),
                lambda: walks.RepellingWalks(3, p_halt=0.2, **options),
                lambda: walks.AntitheticWalks(3, p_halt=0.2, **options),
            ]
        )()

    def _series(self) -> masks.TopologicalMask:
        draw, dim = self.draw, self.draw.choice([None, None, 3])
        order, normalization = draw.integer(0, 4), draw.choice(["sym", "rw", None])
        return masks.PowerSeriesMask(
            order, self._few(), self._alpha(), normalization=normalization, edge_dim=dim
        )

    def _walk(self) -> masks.TopologicalMask:
        hops, symmetrize = self.draw.integer(0, 4), self.draw.chance(0.3)
        sampler = self._sampler(hops)
        return masks.WalkMask(
            hops, self._few(), self._alpha(), sampler=sampler, symmetrize=symmetrize
        )

    def _grf(self) -> masks.TopologicalMask:
        hops = self.draw.integer(0, 3)
        f: dict[str, Any] = self.draw.choice(
            [{}, {"f": masks.Free}, *({"alpha": alpha} for alpha in _ROOTED)]
        )
        shared = self.draw.chance(0.3)
        sampler = self._sampler(hops)
        return masks.GRFMask(hops, self._few(), sampler=sampler, shared_walks=shared, **f)

    def _stitched(self) -> masks.TopologicalMask:
        hops = self.draw.integer(0, 2)
        return masks.StitchedMask(2, hops, self._few(), sampler=self._sampler(hops))

    def _kernel(self) -> masks.TopologicalMask:
        hops, alpha = self.draw.integer(0, 3), self.draw.choice([None, masks.Free])
        heads = 1 if alpha is None else self._few()
        sampler = self._sampler(hops)
        return masks.RandomWalkKernelMask(hops, heads, alpha, sampler)

    def _degree(self) -> masks.TopologicalMask:
        return masks.DegreeMask(self._few())

    def _paths(self) -> masks.TopologicalMask:
        return masks.ShortestPathMask(self.draw.integer(0, 5), self._few(), self._alpha())

    def _diffusion(self) -> masks.TopologicalMask:
        return masks.DiffusionMask(
            self._few(),
            self.draw.choice(["heat", "resolvent"]),
            normalization=self.draw.choice(["sym", "rw"]),
            tolerance=1e-13,
        )

    def _causal(self) -> masks.TopologicalMask:
        return masks.CausalMask(self.draw.choice([None, 0.5, [0.9] * self.heads]))

    def _rfd(self) -> masks.TopologicalMask:
        edges = self.draw.choice([masks.BoxEdges, masks.GaussianEdges])
        return masks.RFDMask(self.draw.integer(1, 9), 0.5, self._few(), edges)

    def _fourier(self) -> masks.TopologicalMask:
        return masks.FourierMask(self._few(), 4, 3, self.draw.integer(1, 6), length=2.0)

    def _separator(self) -> masks.TopologicalMask:
        function = partial(masks.PolynomialExponentialDistance, 2, coefficients=masks.Free)
        return separator_mask(
            self.draw.choice([masks.ExponentialDistance, function]),
            heads=self._few(),
            leaf_size=self.draw.integer(1, 4),
            tolerance=self.draw.choice([0.0, 0.5]),
        )

    def _tree(self) -> masks.TopologicalMask:
        polynomial = partial(masks.PolynomialExponentialDistance, self.draw.integer(0, 3))
        return tree_mask(self.draw.choice([masks.ExponentialDistance, polynomial]), self._few())

    def _toeplitz(self) -> masks.TopologicalMask:
        shared, signed = self.draw.choice([None, "distance"]), self.draw.chance(0.5)
        return masks.ToeplitzMask(self.shape, self._few(), shared, signed=signed)

    def _grid_heat(self) -> masks.TopologicalMask:
        return masks.GridDiffusionMask(self.shape, self._few(), per_axis=self.draw.chance(0.5))

    def _cube(self) -> masks.TopologicalMask:
        return masks.HypercubeMask(self._few())

    def _kron(self) -> masks.TopologicalMask:
        assert self.size is not None
        n = self.draw.choice([k for k in range(1, self.size + 1) if self.size % k == 0])
        a, b = (
            masks.ToeplitzMask(k, self._few(), signed=self.draw.chance(0.3))
            if self.draw.chance(0.5)
            else masks.GridDiffusionMask(k, self._few())
            for k in (n, self.size // n)
        )
        return masks.KroneckerMask(a, b)
