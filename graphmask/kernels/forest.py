"""Two passes over rooted trees, each the adjoint of the other.

    ascend(x)_p  = x_p + sum over children c of p of  r_c ascend(x)_c          up: sums over subtrees
    descend(x)_c = x_c + r_c descend(x)_p  for the parent p of c               down: sums over ancestors

with a factor r_c for the edge above each node. By levels both would take as many steps as the
deepest tree has levels, 10,000 on a path. Nodes of every second depth are eliminated instead, those
of the parity that more nodes have, and r is multiplied
along the edges that are left: half of the nodes and half of the depth remain, so that all takes
O(N) in O(log depth) steps. Nothing is divided or subtracted. On CPU, with the extra `fast`, a
compiled body visits nodes one by one.

Letters: H heads, N nodes, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ._extra import HAS_NUMBA


@dataclass(frozen=True, eq=False)
class Forest:
    """Rooted trees.

    Args:
        parent: ``[N]``, a root being its own.
        order: ``[N]`` nodes, parents before their children.
        plan: ``[2, P]`` nodes and what stood above them when they were eliminated, or kept, step by
            step.
        sizes: numbers of nodes kept and eliminated in each step that have something above them.

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
        """From the parents ``[N]`` of nodes, roots being their own, and an order where one is known."""
        depth = _depths(parent)
        order = np.argsort(depth, kind="stable") if order is None else order
        plan, sizes = _plan(parent, depth)
        parents, places, steps = (
            torch.from_numpy(x.astype(np.int64)) for x in (parent, order, plan)
        )
        return cls(parents, places, steps, sizes)

    def to(self, device: torch.device) -> Forest:
        """The same on another device."""
        return Forest(
            self.parent.to(device), self.order.to(device), self.plan.to(device), self.sizes
        )

    @property
    def is_root(self) -> Tensor:
        """``[N]``."""
        return self.parent == torch.arange(len(self.parent), device=self.parent.device)


def _depths(parent: np.ndarray) -> np.ndarray:
    """Edges above each node, by looking twice as far up in each step."""
    above, depth = parent, (parent != np.arange(len(parent))).astype(np.int64)
    while True:
        more = depth[above]
        if not more.any():
            return depth
        depth, above = depth + more, above[above]


def _plan(parent: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, list[int]]:
    parent, depth, nodes = parent.copy(), depth.copy(), np.arange(len(parent))
    steps, sizes = [np.empty((2, 0), np.int64)], list[int]()
    while True:
        below = parent[nodes] != nodes
        if not below.any():
            return np.concatenate(steps, 1), sizes
        odd = depth[nodes] % 2 == 1
        keep = odd if 2 * odd.sum() <= len(nodes) else ~odd
        kept, gone = nodes[keep & below], nodes[~keep & below]
        steps += [np.stack([some, parent[some]]) for some in (kept, gone)]
        sizes += [len(kept), len(gone)]
        above = parent[parent[kept]]
        # Whose root was eliminated is a root now.
        rootless = above == parent[kept]
        parent[kept] = np.where(rootless, kept, above)
        depth[nodes] //= 2
        nodes = nodes[keep]


def ascend(forest: Forest, factor: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, each node plus what comes from its children.

    :math:`y_p = x_p + \sum_c r_c\, y_c`.

    Args:
        forest: the trees.
        factor: ``[H, N]``, r, 0 at roots.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type.

    Cost: O(N H C) time and memory.

    Example:
        >>> import numpy as np, torch
        >>> from graphmask.kernels.forest import Forest, ascend
        >>> star = Forest.of_parents(np.array([0, 0, 0]))
        >>> ascend(star, torch.tensor([[0.0, 1.0, 0.5]]), torch.tensor([[[1.0], [2.0], [4.0]]])).flatten()
        tensor([5., 2., 4.])
    """
    return _ascend(
        x.expand(len(factor), -1, -1),
        factor,
        forest.parent,
        forest.order,
        forest.plan,
        forest.sizes,
    )


def descend(forest: Forest, factor: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, each node plus what comes from its parent: :math:`y_c = x_c + r_c\, y_p`.

    Args:
        forest: the trees.
        factor: ``[H, N]``, r, 0 at roots.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type.

    Cost: O(N H C) time and memory.

    Example:
        >>> import numpy as np, torch
        >>> from graphmask.kernels.forest import Forest, descend
        >>> path = Forest.of_parents(np.array([0, 0, 1]))
        >>> descend(path, torch.tensor([[0.0, 1.0, 0.5]]), torch.tensor([[[1.0], [2.0], [4.0]]])).flatten()
        tensor([1.0000, 3.0000, 5.5000])
    """
    return _descend(
        x.expand(len(factor), -1, -1),
        factor,
        forest.parent,
        forest.order,
        forest.plan,
        forest.sizes,
    )


def _runs_compiled(x: Tensor) -> bool:
    return (
        HAS_NUMBA
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64, torch.int64)
    )


@torch.library.custom_op("graphmask::ascend", mutates_args=())
def _ascend(
    x: Tensor, factor: Tensor, parent: Tensor, order: Tensor, plan: Tensor, sizes: list[int]
) -> Tensor:
    y = x.clone(memory_format=torch.contiguous_format)
    if _runs_compiled(x):
        from ._forest_numba import ascend

        return ascend(y, factor, parent, order)
    steps = _steps(factor, plan, sizes)
    for node, above, weight in steps[1::2] + steps[-2::-2]:
        y.index_add_(1, above, weight * y[:, node])
    return y


@torch.library.custom_op("graphmask::descend", mutates_args=())
def _descend(
    x: Tensor, factor: Tensor, parent: Tensor, order: Tensor, plan: Tensor, sizes: list[int]
) -> Tensor:
    y = x.clone(memory_format=torch.contiguous_format)
    if _runs_compiled(x):
        from ._forest_numba import descend

        return descend(y, factor, parent, order)
    steps = _steps(factor, plan, sizes)
    for node, above, weight in steps[0::2] + steps[::-2]:
        y.index_add_(1, node, weight * y[:, above])
    return y


def _steps(factor: Tensor, plan: Tensor, sizes: list[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Nodes, what is above them and the factors in between, of those kept and those eliminated in each step by turns."""
    factor, steps = factor.clone(), []
    for number, (node, above) in enumerate(part.unbind(0) for part in plan.split(sizes, 1)):
        steps.append((node, above, factor[:, node].unsqueeze(-1)))
        if number % 2 == 0:
            factor[:, node] *= factor[:, above]
    return steps


@_ascend.register_fake
def _(
    x: Tensor, factor: Tensor, parent: Tensor, order: Tensor, plan: Tensor, sizes: list[int]
) -> Tensor:
    return x.new_empty(x.shape)


@_descend.register_fake
def _(
    x: Tensor, factor: Tensor, parent: Tensor, order: Tensor, plan: Tensor, sizes: list[int]
) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, factor, parent, order, plan, sizes = inputs
    ctx.sizes = sizes
    ctx.save_for_backward(output, factor, parent, order, plan)


def _ascend_backward(ctx, above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    y, factor, parent, order, plan = ctx.saved_tensors
    grad_x = _descend(above, factor, parent, order, plan, ctx.sizes)
    return (
        grad_x,
        _over_edges(y, grad_x, parent) if ctx.needs_input_grad[1] else None,
        None,
        None,
        None,
        None,
    )


def _descend_backward(ctx, above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    y, factor, parent, order, plan = ctx.saved_tensors
    grad_x = _ascend(above, factor, parent, order, plan, ctx.sizes)
    return (
        grad_x,
        _over_edges(grad_x, y, parent) if ctx.needs_input_grad[1] else None,
        None,
        None,
        None,
        None,
    )


def _over_edges(child: Tensor, parents: Tensor, parent: Tensor) -> Tensor:
    """``[H, N]`` inner products of each node with its parent.

    0 at roots, whose factor stands for no edge.
    """
    below = parent != torch.arange(len(parent), device=parent.device)
    return torch.einsum("hnc,hnc->hn", child, parents.index_select(1, parent)) * below


_ascend.register_autograd(_ascend_backward, setup_context=_keep)
_descend.register_autograd(_descend_backward, setup_context=_keep)
