"""Vectors in the registers of a compiled kernel.

Rows of channels, loaded, multiplied, summed per head and stored whole.

Numba unrolls short loops over channels and then does not vectorise them; these few operations say
what is meant. Sums may be taken in any order, NaN and infinities keep their meaning.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

_FREE_ORDER = ("reassoc", "contract", "nsz")

# Bytes of a line of the cache.
LINE = 64


class Vector(types.Type):
    """``length`` numbers of a type, side by side."""

    def __init__(self, dtype: types.Type, length: int) -> None:
        self.dtype, self.length = dtype, length
        super().__init__(name=f"Vector({dtype}, {length})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.length))


def _place(context, builder, kind, array, offset, vector):  # type: ignore[no-untyped-def]
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(
        builder.gep(start, [offset]), context.get_value_type(vector).as_pointer()
    )


def _pick(builder, x, lanes):  # type: ignore[no-untyped-def]
    """The vector of some lanes of x, in the order given."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), mask)


@intrinsic(prefer_literal=True)
def load(typing, array, offset, length):  # type: ignore[no-untyped-def]
    """``array[offset : offset + length]`` of a one-dimensional array; no bounds are checked."""
    vector = Vector(array.dtype, length.literal_value)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = _place(context, builder, signature.args[0], args[0], args[1], vector)
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp, length), generate


@intrinsic(prefer_literal=True)
def store(typing, array, offset, x):  # type: ignore[no-untyped-def]
    """``array[offset : offset + len(x)] = x``."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = _place(context, builder, signature.args[0], args[0], args[1], x)
        builder.store(args[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, x), generate


@intrinsic(prefer_literal=True)
def fill(typing, scalar, length):  # type: ignore[no-untyped-def]
    """One number in all lanes."""
    vector = Vector(scalar, length.literal_value)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        single = ir.Constant(ir.VectorType(args[0].type, 1), ir.Undefined)
        single = builder.insert_element(single, args[0], ir.Constant(ir.IntType(32), 0))
        return _pick(builder, single, [0] * vector.length)

    return vector(scalar, length), generate


@intrinsic(prefer_literal=True)
def zeros(typing, like, length):  # type: ignore[no-untyped-def]
    """Zeros of the type of an array."""
    vector = Vector(like.dtype, length.literal_value)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(vector)
        return ir.Constant(kind, [0.0] * vector.length)

    return vector(like, length), generate


@intrinsic
def add(typing, x, y):  # type: ignore[no-untyped-def]
    """``x + y``."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.fadd(*args, flags=_FREE_ORDER)

    return x(x, y), generate


@intrinsic
def multiply(typing, x, y):  # type: ignore[no-untyped-def]
    """``x * y``."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.fmul(*args, flags=_FREE_ORDER)

    return x(x, y), generate


@intrinsic
def spread(typing, x, like):  # type: ignore[no-untyped-def]
    """A number per head, repeated over the channels of each head of a vector like another."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _pick(
            builder, args[0], [lane * x.length // like.length for lane in range(like.length)]
        )

    return like(x, like), generate


@intrinsic(prefer_literal=True)
def sum_heads(typing, x, heads):  # type: ignore[no-untyped-def]
    """The sum over the channels of each head, in all heads at once.

    Parts of every head are added until one lane is left.
    """
    vector = Vector(x.dtype, heads.literal_value)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        total, channels = args[0], x.length // vector.length
        while channels > 1:
            parts = next(number for number in range(2, channels + 1) if channels % number == 0)
            left = channels // parts
            summands = [
                _pick(
                    builder,
                    total,
                    [
                        head * channels + part * left + c
                        for head in range(vector.length)
                        for c in range(left)
                    ],
                )
                for part in range(parts)
            ]
            total, channels = summands[0], left
            for summand in summands[1:]:
                total = builder.fadd(total, summand, flags=_FREE_ORDER)
        return total

    return vector(x, heads), generate


@intrinsic
def sum_lanes(typing, x):  # type: ignore[no-untyped-def]
    """The sum of all lanes."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        element = args[0].type.element
        name = f"llvm.vector.reduce.fadd.v{x.length}f{x.dtype.bitwidth}"
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(element, [element, args[0].type]), name
        )
        return builder.call(reduce, [ir.Constant(element, -0.0), args[0]], fastmath=_FREE_ORDER)

    return x.dtype(x), generate


@intrinsic
def with_sign_of(typing, x, y):  # type: ignore[no-untyped-def]
    """``x * sign(y)``, where the sign of 0 is 0."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        zero = ir.Constant(args[1].type, [0.0] * y.length)
        turned = builder.select(
            builder.fcmp_ordered("<", args[1], zero), builder.fneg(args[0]), args[0]
        )
        return builder.select(builder.fcmp_ordered("==", args[1], zero), zero, turned)

    return x(x, y), generate


@intrinsic(prefer_literal=True)
def prefetch(typing, array, offset, length):  # type: ignore[no-untyped-def]
    """Ask for ``array[offset : offset + length]``, which will be loaded soon.

    Nothing happens where there is no such memory.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        _ask(context, builder, signature.args[0], args, length.literal_value)
        return context.get_dummy_value()

    return types.void(array, types.intp, length), generate


@intrinsic
def prefetch_like(typing, array, offset, like):  # type: ignore[no-untyped-def]
    """Ask for as many numbers as another vector has."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        _ask(context, builder, signature.args[0], args, like.length)
        return context.get_dummy_value()

    return types.void(array, types.intp, like), generate


def _ask(context, builder, array, args, length):  # type: ignore[no-untyped-def]
    start = context.make_array(array)(context, builder, args[0]).data
    pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
    ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for line in range(0, length, max(1, LINE * 8 // array.dtype.bitwidth)):
        place = builder.gep(start, [builder.add(args[1], ir.Constant(args[1].type, line))])
        # To read, into the nearest cache, as data.
        builder.call(
            ask,
            [builder.bitcast(place, pointer), *(ir.Constant(number, fact) for fact in (0, 3, 1))],
        )
