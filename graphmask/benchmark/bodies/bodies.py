"""Possible bodies of the sparse primitives and of attention by pairs. To add one, extend BODIES.

Letters: H heads, N nodes, C channels, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask._console import find_named
from graphmask.kernels import Pattern, pair_attention, sddmm, spmm
from graphmask.kernels.bodies import sddmm_body, spmm_body


class Products(NamedTuple):
    """The three operations on one pattern; :obj:`None` where a body has none of its own.

    Args:
        sddmm: ``x [H, N, C], y [H, N, C] -> [H, P]``.
        spmm: ``value [H, P], x [H, N, C] -> [H, N, C]``.
        pairs: ``q, k, v, value -> numerator, normaliser``, for masks without negative entries.
    """

    sddmm: Callable[[Tensor, Tensor], Tensor] | None
    spmm: Callable[[Tensor, Tensor], Tensor]
    pairs: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Body:
    """A way to run the operations.

    Args:
        name: as in tables and on the command line.
        about: what runs, in one line.
        make: the operations, from a pattern.
        needs: a module without which it is left out. (default: nothing)
    """

    name: str
    about: str
    make: Callable[[Pattern], Products]
    needs: str = ""

    @property
    def installed(self) -> bool:
        """Whether it can run here."""
        return not self.needs or find_spec(self.needs) is not None


class Sides(NamedTuple):
    """A pattern and its transpose, as the primitives' bodies read them."""

    rowptr: Tensor
    col: Tensor
    colptr: Tensor
    row: Tensor
    order: Tensor

    @classmethod
    def of(cls, pattern: Pattern, index: torch.dtype) -> Sides:
        """With indices of a type."""
        flipped = pattern.mT
        return cls(
            *(
                x.to(index)
                for x in (
                    pattern.rowptr,
                    pattern.col,
                    flipped.rowptr,
                    flipped.col,
                    pattern.csc_perm,
                )
            )
        )

    @property
    def mT(self) -> Sides:  # noqa: N802
        """Of the transposed pattern."""
        back = torch.empty_like(self.order)
        back[self.order.long()] = torch.arange(len(back), dtype=back.dtype, device=back.device)
        return Sides(self.colptr, self.row, self.rowptr, self.col, back)


class _Spmm(torch.autograd.Function):
    """torch's CSR product, head by head."""

    @staticmethod
    def forward(ctx, value: Tensor, x: Tensor, sides: Sides) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.sides = sides
        ctx.save_for_backward(value, x)
        return spmm_body(value, x, sides.rowptr, sides.col)

    @staticmethod
    def backward(ctx, above: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        (value, x), sides = ctx.saved_tensors, ctx.sides
        grad_x = spmm_body(value.index_select(1, sides.order), above, sides.colptr, sides.row)
        return sddmm_body(above, x, sides.rowptr, sides.col), grad_x, None


class _Sddmm(torch.autograd.Function):
    """torch's sampled product, head by head."""

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, sides: Sides) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.sides = sides
        ctx.save_for_backward(x, y)
        return sddmm_body(x, y, sides.rowptr, sides.col)

    @staticmethod
    def backward(ctx, above: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        (x, y), sides = ctx.saved_tensors, ctx.sides
        grad_y = spmm_body(above.index_select(1, sides.order), x, sides.colptr, sides.row)
        return spmm_body(above, y, sides.rowptr, sides.col), grad_y, None


def compose(
    sddmm: Callable[[Tensor, Tensor], Tensor], spmm: Callable[[Tensor, Tensor], Tensor]
) -> Products:
    """Attention by pairs from both primitives: the normaliser is one more column of the product."""

    def pairs(q: Tensor, k: Tensor, v: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        total = spmm(sddmm(q, k) * value, torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1))
        return total[..., :-1], total[..., -1]

    return Products(sddmm, spmm, pairs)


def _in_use(pattern: Pattern) -> Products:
    return Products(
        lambda x, y: sddmm(pattern, x, y),
        lambda value, x: spmm(pattern, value, x),
        lambda q, k, v, value: pair_attention(pattern, q, k, v, value, signed=False),
    )


def _torch_csr(pattern: Pattern, index: torch.dtype) -> Products:
    sides = Sides.of(pattern, index)
    return compose(
        lambda x, y: _Sddmm.apply(x, y, sides), lambda value, x: _Spmm.apply(value, x, sides)
    )


def _torch_csr_int32(pattern: Pattern) -> Products:
    return _torch_csr(pattern, torch.int32)


def _torch_csr_int64(pattern: Pattern) -> Products:
    return _torch_csr(pattern, torch.int64)


def _sample_gathered(row: Tensor, col: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Scores of gathered channels."""
    return lambda x, y: (x.index_select(1, row) * y.index_select(1, col)).sum(-1)


def _gather(pattern: Pattern, index: torch.dtype) -> Products:
    row, col = pattern.row.to(index), pattern.col.to(index)

    def multiply(value: Tensor, x: Tensor) -> Tensor:
        out = x.new_zeros(x.shape[0], pattern.shape[0], x.shape[2])
        return out.index_add(1, row, value.unsqueeze(-1) * x.index_select(1, col))

    return compose(_sample_gathered(row, col), multiply)


def _gather_int32(pattern: Pattern) -> Products:
    return _gather(pattern, torch.int32)


def _gather_int64(pattern: Pattern) -> Products:
    return _gather(pattern, torch.int64)


def _torch_scatter(pattern: Pattern) -> Products:
    from torch_scatter import segment_csr

    row, col, rowptr = pattern.row.long(), pattern.col.long(), pattern.rowptr.long().unsqueeze(0)

    def multiply(value: Tensor, x: Tensor) -> Tensor:
        return segment_csr(
            value.unsqueeze(-1) * x.index_select(1, col),
            rowptr.expand(x.shape[0], -1),
            reduce="sum",
        )

    products = compose(_sample_gathered(row, col), multiply)
    return products._replace(sddmm=None)


def _torch_sparse(pattern: Pattern) -> Products:
    from torch_sparse import SparseTensor, matmul

    row, col, rowptr = pattern.row.long(), pattern.col.long(), pattern.rowptr.long()
    structure = SparseTensor(
        rowptr=rowptr, row=row, col=col, sparse_sizes=pattern.shape, is_sorted=True, trust_data=True
    )
    # Made once, as the other bodies' are.
    structure.storage.csr2csc()
    structure.storage.colptr()

    def multiply(value: Tensor, x: Tensor) -> Tensor:
        return torch.stack(
            [matmul(structure.set_value(v, layout="coo"), y) for v, y in zip(value, x, strict=True)]
        )

    products = compose(_sample_gathered(row, col), multiply)
    return products._replace(sddmm=None)


IN_USE = Body(
    "in use", "what masks run on: sddmm, spmm and pair_attention of graphmask.kernels", _in_use
)

BODIES: tuple[Body, ...] = (
    IN_USE,
    Body("torch-int32", "torch's sampled_addmm and CSR product, int32 indices", _torch_csr_int32),
    Body("torch-int64", "torch's sampled_addmm and CSR product, int64 indices", _torch_csr_int64),
    Body("gather-int32", "torch's index_select and index_add, int32 indices", _gather_int32),
    Body("gather-int64", "torch's index_select and index_add, int64 indices", _gather_int64),
    Body(
        "torch-scatter",
        "index_select and torch_scatter's segment_csr",
        _torch_scatter,
        needs="torch_scatter",
    ),
    Body(
        "torch-sparse",
        "torch_sparse's matmul of a SparseTensor, and index_select",
        _torch_sparse,
        needs="torch_sparse",
    ),
)


def find_bodies(names: Sequence[str]) -> tuple[Body, ...]:
    """Bodies by name, in the order asked for, after the one in use, which ratios are taken to.

    Raises:
        ValueError: for an unknown name; it lists the known ones.

    Example:
        >>> [body.name for body in find_bodies(["torch-int64"])]
        ['in use', 'torch-int64']
    """
    found = find_named("only", names, BODIES)
    return found if IN_USE in found else (IN_USE, *found)
