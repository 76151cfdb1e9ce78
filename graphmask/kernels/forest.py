"""Two sweeps over rooted trees, each the adjoint of the other.

    up_sweep(x)_p   = x_p + sum over children c of p of  r_c up_sweep(x)_c      sums over subtrees
    down_sweep(x)_c = x_c + r_c down_sweep(x)_p  for the parent p of c          sums over ancestors

with a factor r_c for the edge from each node to its parent. Level by level both would take as many
steps as the deepest tree has levels, 10,000 on a path. Instead the nodes of every second depth are
eliminated, those of the parity that more nodes have, and r is multiplied along the remaining edges
(tree contraction): half of the nodes and half of the depth remain, so the whole takes O(N) work in
O(log depth) steps, without division or subtraction. On CPU, with the extra `fast`, a compiled body
visits the nodes one by one.

Letters: H heads, N nodes, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._autograd import Grads, operator
from ._extra import HAS_NUMBA, load_bodies


@dataclass(frozen=True, eq=False)
class Forest:
    """Rooted trees.

    Args:
        parent: ``[N]``, the parent of each node; a root is its own parent.
        order: ``[N]``, the nodes, parents before their children.
        plan: ``[2, P]``, nodes and their parents at the time, for each step of the contraction
            first those that remain, then those that are eliminated.
        sizes: the number of remaining and of eliminated nodes with a parent, step by step.

    Example:
        >>> import numpy as np
        >>> from graphmask.kernels.forest import Forest
        >>> Forest.of_parents(np.array([0, 0, 1, 2])).sizes
        [2, 1, 1, 0]
    """

    parent: Tensor
    order: Tensor
    plan: Tensor
    sizes: list[int]

    @classmethod
    def of_parents(cls, parent: np.ndarray, order: np.ndarray | None = None) -> Forest:
        """The trees of parents ``[N]``; ``order`` may be given where it is known."""
        depth = _depths(parent)
        order = np.argsort(depth, kind="stable") if order is None else order
        plan, sizes = _plan(parent, depth)
        parents, nodes, steps = (
            torch.from_numpy(x.astype(np.int64)) for x in (parent, order, plan)
        )
        return cls(parents, nodes, steps, sizes)

    def to(self, device: torch.device) -> Forest:
        """The same forest on another device."""
        parent, order, plan = (x.to(device) for x in (self.parent, self.order, self.plan))
        return Forest(parent, order, plan, self.sizes)

    @property
    def is_root(self) -> Tensor:
        """``[N]``."""
        return self.parent == torch.arange(len(self.parent), device=self.parent.device)


def _depths(parent: np.ndarray) -> np.ndarray:
    """``[N]``, by pointer jumping: each step looks twice as far up."""
    ancestor, depth = parent, (parent != np.arange(len(parent))).astype(np.int64)
    while True:
        further = depth[ancestor]
        if not further.any():
            return depth
        depth, ancestor = depth + further, ancestor[ancestor]


def _plan(parent: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, list[int]]:
    parent, depth, nodes = parent.copy(), depth.copy(), np.arange(len(parent))
    steps, sizes = [np.empty((2, 0), np.int64)], list[int]()
    while True:
        has_parent = parent[nodes] != nodes
        if not has_parent.any():
            return np.concatenate(steps, 1), sizes
        odd = depth[nodes] % 2 == 1
        keep = odd if 2 * odd.sum() <= len(nodes) else ~odd
        kept, eliminated = nodes[keep & has_parent], nodes[~keep & has_parent]
        steps += [np.stack([part, parent[part]]) for part in (kept, eliminated)]
        sizes += [len(kept), len(eliminated)]
        grandparent = parent[parent[kept]]
        # A node whose parent was an eliminated root becomes a root.
        parent[kept] = np.where(grandparent == parent[kept], kept, grandparent)
        depth[nodes] //= 2
        nodes = nodes[keep]


def up_sweep(forest: Forest, factor: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, sums over subtrees, :math:`y_p = x_p + \sum_c r_c\, y_c` over children c.

    Args:
        forest: the trees.
        factor: ``[H, N]``, r, 0 at roots.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type.

    Cost: O(N H C) time and memory.

    Example:
        >>> import numpy as np, torch
        >>> from graphmask.kernels.forest import Forest, up_sweep
        >>> star = Forest.of_parents(np.array([0, 0, 0]))
        >>> r, x = torch.tensor([[0.0, 1.0, 0.5]]), torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> up_sweep(star, r, x).flatten()
        tensor([5., 2., 4.])
    """
    return _run(forest, factor, x, down=False)


def down_sweep(forest: Forest, factor: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, sums over ancestors, :math:`y_c = x_c + r_c\, y_p` for the parent p.

    Args:
        forest: the trees.
        factor: ``[H, N]``, r, 0 at roots.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type.

    Cost: O(N H C) time and memory.

    Example:
        >>> import numpy as np, torch
        >>> from graphmask.kernels.forest import Forest, down_sweep
        >>> path = Forest.of_parents(np.array([0, 0, 1]))
        >>> r, x = torch.tensor([[0.0, 1.0, 0.5]]), torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> down_sweep(path, r, x).flatten()
        tensor([1.0000, 3.0000, 5.5000])
    """
    return _run(forest, factor, x, down=True)


def _run(forest: Forest, factor: Tensor, x: Tensor, down: bool) -> Tensor:
    x, structure = x.expand(len(factor), -1, -1), (forest.parent, forest.order, forest.plan)
    return _sweep(x, factor, *structure, forest.sizes, down)


@operator(
    "tree_sweep",
    "(Tensor x, Tensor factor, Tensor parent, Tensor order, Tensor plan, int[] sizes, bool down) "
    "-> Tensor",
    lambda x, *_: x.new_empty(x.shape),
)
def _sweep(
    x: Tensor,
    factor: Tensor,
    parent: Tensor,
    order: Tensor,
    plan: Tensor,
    sizes: list[int],
    down: bool,
) -> Tensor:
    y = x.clone(memory_format=torch.contiguous_format)
    if _runs_numba(x):
        return load_bodies("_forest_numba").sweep(y, factor, parent, order, down)
    steps = _steps(factor, plan, sizes)
    # The eliminated (up) or remaining nodes (down) on the way in, the other ones on the way out.
    steps = steps[::2] + steps[::-2] if down else steps[1::2] + steps[-2::-2]
    for node, parents, weight in steps:
        source, target = (parents, node) if down else (node, parents)
        y.index_add_(1, target, weight * y[:, source])
    return y


def _runs_numba(x: Tensor) -> bool:
    dtypes = torch.float32, torch.float64, torch.int64
    return HAS_NUMBA and x.device.type == "cpu" and x.dtype in dtypes


def _steps(factor: Tensor, plan: Tensor, sizes: list[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Nodes, parents and factors between them: by turns of the remaining and of the eliminated."""
    factor, steps = factor.clone(), []
    for index, (node, parent) in enumerate(part.unbind(0) for part in plan.split(sizes, 1)):
        steps.append((node, parent, factor[:, node].unsqueeze(-1)))
        if index % 2 == 0:
            factor[:, node] *= factor[:, parent]
    return steps


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *tensors, sizes, down = inputs
    ctx.options = sizes, down
    ctx.save_for_backward(output, *tensors)


def _backward(ctx: Any, grad_output: Tensor) -> Grads:
    y, factor, parent, *structure = ctx.saved_tensors
    sizes, down = ctx.options
    grad_x = _sweep(grad_output, factor, parent, *structure, sizes, not down)
    grad_factor = None
    if ctx.needs_input_grad[1]:
        # Inner products of the ends of each edge; a root has no edge, and itself as its parent.
        child, parents = (grad_x, y) if down else (y, grad_x)
        has_edge = parent != torch.arange(len(parent), device=parent.device)
        parents = parents.index_select(1, parent)
        grad_factor = torch.einsum("hnc,hnc->hn", child, parents) * has_edge
    return grad_x, grad_factor, None, None, None, None, None


_sweep.register_autograd(_backward, setup_context=_save)
