"""Vectors in the registers of a compiled body: channels loaded, multiplied, summed, stored whole.

Numba unrolls short loops over channels and then does not vectorise them; these operations are
LLVM's own. Pair attention forward and backward at 32,768 nodes of 64 pairs, 4 heads of 16
channels, takes 0.34 s with them and 2.1 s with plain loops over channels (one thread, medians of 8
interleaved runs); the sparse product of 64 channels 37 ms, with plain loops 580 ms, by MKL 240 ms.
Sums may be computed in any order; NaN and infinities keep their meaning. The type of a vector
carries its length: :func:`zeros` reads it from a literal, the others from a vector ``like``.
Channels are filled up to a power of 2 with zeros, which memory does not hold: vectors of other
lengths take three to five times as long.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import math
import struct
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

_FREE_ORDER = ("reassoc", "contract", "nsz")
_INT32 = ir.IntType(32)

# Bytes of a line of the cache.
LINE = 64


class Vector(types.Type):
    """Numbers of a type, side by side: of some heads, each with zeros behind its channels.

    Args:
        dtype: their type.
        heads: a power of 2, or 1.
        channels: of a head, in memory.
        width: of a head, in the vector.
    """

    def __init__(self, dtype: types.Type, heads: int, channels: int, width: int) -> None:
        self.dtype, self.heads, self.channels, self.width = dtype, heads, channels, width
        self.length = heads * width
        super().__init__(name=f"Vector({dtype}, {heads}, {channels}, {width})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.length))


def _pointer(context, builder, array_type, array, offset, kind):
    start = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [offset]), kind.as_pointer())


def _lanes(numbers):
    return ir.Constant(ir.VectorType(_INT32, len(numbers)), list(numbers))


def _shuffle(builder, x, lanes):
    """The vector of some lanes of x."""
    return builder.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), _lanes(lanes))


@intrinsic(prefer_literal=True)
def zeros(typing, array, length):
    """Zeros of the type of an array."""
    vector = Vector(array.dtype, 1, length.literal_value, length.literal_value)

    def generate(context, builder, signature, args):
        zero = 0 if isinstance(vector.dtype, types.Integer) else 0.0
        return ir.Constant(context.get_value_type(vector), [zero] * vector.length)

    return vector(array, length), generate


def power_of_2(number: int) -> int:
    """The least power of 2 that is not smaller."""
    return 1 << (number - 1).bit_length()


@intrinsic(prefer_literal=True)
def zeros_of(typing, array, heads, channels):
    """Zeros of the type of an array, for some heads of some channels."""
    channels_of = channels.literal_value
    vector = Vector(array.dtype, heads.literal_value, channels_of, power_of_2(channels_of))

    def generate(context, builder, signature, args):
        return ir.Constant(context.get_value_type(vector), [0.0] * vector.length)

    return vector(array, heads, channels), generate


def _pieces(context, builder, array_type, array, offset, vector):
    """Pointers to what lies side by side in memory, and its lanes in a vector."""
    whole = vector.channels == vector.width
    count, size = (1, vector.length) if whole else (vector.heads, vector.channels)
    kind = ir.VectorType(context.get_value_type(vector.dtype), size)
    for piece in range(count):
        start = builder.add(offset, offset.type(piece * size))
        lanes = range(piece * vector.width, piece * vector.width + size)
        yield _pointer(context, builder, array_type, array, start, kind), list(lanes)


@intrinsic
def load(typing, array, offset, like):
    """The numbers of ``like`` from a place of a one-dimensional array, without bounds checks."""

    def generate(context, builder, signature, args):
        parts = []
        for pointer, lanes in _pieces(context, builder, array, args[0], args[1], like):
            part = builder.load(pointer, align=array.dtype.bitwidth // 8)
            if like.channels < like.width:
                # Lanes behind those of the part are those of zeros.
                zero = ir.Constant(part.type, [0.0] * len(lanes))
                wide = [min(lane, len(lanes)) for lane in range(like.width)]
                part = builder.shuffle_vector(part, zero, _lanes(wide))
            parts.append(part)
        while len(parts) > 1:
            both = _lanes(range(2 * parts[0].type.count))
            parts = [
                builder.shuffle_vector(parts[i], parts[i + 1], both)
                for i in range(0, len(parts), 2)
            ]
        return parts[0]

    return like(array, types.intp, like), generate


@intrinsic
def store(typing, array, offset, x):
    """The numbers of x to a place of a one-dimensional array."""

    def generate(context, builder, signature, args):
        for pointer, lanes in _pieces(context, builder, array, args[0], args[1], x):
            part = args[2] if len(lanes) == x.length else _shuffle(builder, args[2], lanes)
            builder.store(part, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, x), generate


@intrinsic
def prefetch(typing, array, offset, like):
    """Prefetches ``array[offset : offset + len(like)]``; offsets past the array are harmless."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _INT32, _INT32, _INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # To read, into the nearest cache, as data.
        hints = [_INT32(hint) for hint in (0, 3, 1)]
        for line in range(0, like.length, max(1, LINE * 8 // array.dtype.bitwidth)):
            offset = builder.add(args[1], args[1].type(line))
            pointer = _pointer(context, builder, array, args[0], offset, byte)
            builder.call(function, [pointer, *hints])
        return context.get_dummy_value()

    return types.void(array, types.intp, like), generate


@intrinsic
def fill(typing, scalar, like):
    """One number in all lanes."""

    def generate(context, builder, signature, args):
        single = ir.Constant(ir.VectorType(args[0].type, 1), ir.Undefined)
        single = builder.insert_element(single, args[0], _INT32(0))
        return _shuffle(builder, single, [0] * like.length)

    return like(scalar, like), generate


def _arithmetic(method: str) -> Any:
    def operation(typing, x, y):
        def generate(context, builder, signature, args):
            return getattr(builder, method)(*args, flags=_FREE_ORDER)

        return x(x, y), generate

    return intrinsic(operation)


add = _arithmetic("fadd")
subtract = _arithmetic("fsub")
multiply = _arithmetic("fmul")


@intrinsic
def spread(typing, x, like):
    """One number per head, repeated over the channels of each head."""

    def generate(context, builder, signature, args):
        lanes = [lane * x.length // like.length for lane in range(like.length)]
        return _shuffle(builder, args[0], lanes)

    return like(x, like), generate


@intrinsic
def sum_heads(typing, x, like):
    """Sums over the channels of each head, as many as ``like`` has lanes."""

    def generate(context, builder, signature, args):
        total, channels = args[0], x.length // like.length
        while channels > 1:
            # Equal parts of every head are added, until one lane per head remains.
            parts = next(count for count in range(2, channels + 1) if channels % count == 0)
            width = channels // parts
            summands = []
            for part in range(parts):
                starts = [head * channels + part * width for head in range(like.length)]
                lanes = [start + lane for start in starts for lane in range(width)]
                summands.append(_shuffle(builder, total, lanes))
            total, channels = summands[0], width
            for summand in summands[1:]:
                total = builder.fadd(total, summand, flags=_FREE_ORDER)
        return total

    return like(x, like), generate


@intrinsic
def sum_lanes(typing, x):
    """The sum of all lanes."""

    def generate(context, builder, signature, args):
        element = args[0].type.element
        name = f"llvm.vector.reduce.fadd.v{x.length}f{x.dtype.bitwidth}"
        kind = ir.FunctionType(element, [element, args[0].type])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [ir.Constant(element, -0.0), args[0]], fastmath=_FREE_ORDER)

    return x.dtype(x), generate


@intrinsic
def take_larger(typing, x, y, a, b):
    """``a`` where ``x > y`` or x alone is NaN, ``b`` elsewhere."""

    def generate(context, builder, signature, args):
        above = builder.fcmp_unordered(">", args[0], args[1])
        is_number = builder.fcmp_ordered("==", args[1], args[1])
        return builder.select(builder.and_(above, is_number), args[2], args[3])

    return a(x, y, a, b), generate


@intrinsic
def with_sign_of(typing, x, y):
    """``x * sign(y)``, where the sign of 0 is 0."""

    def generate(context, builder, signature, args):
        zero = ir.Constant(args[1].type, [0.0] * y.length)
        negative = builder.fcmp_ordered("<", args[1], zero)
        signed = builder.select(negative, builder.fneg(args[0]), args[0])
        return builder.select(builder.fcmp_ordered("==", args[1], zero), zero, signed)

    return x(x, y), generate


@intrinsic
def least(typing, like):
    """The smallest finite number in all lanes."""

    def generate(context, builder, signature, args):
        mantissa, exponent, _ = _FORMATS[like.dtype.bitwidth]
        smallest = -(2.0 - 2.0**-mantissa) * 2.0**exponent
        return ir.Constant(args[0].type, [smallest] * like.length)

    return like(like), generate


@intrinsic
def one(typing, like):
    """1 in all lanes."""

    def generate(context, builder, signature, args):
        return ir.Constant(args[0].type, [1.0] * like.length)

    return like(like), generate


@intrinsic
def where_nonzero(typing, x, y):
    """``x`` where y is not 0, elsewhere minus infinity."""

    def generate(context, builder, signature, args):
        zero, absent = (ir.Constant(args[0].type, [c] * x.length) for c in (0.0, -math.inf))
        return builder.select(builder.fcmp_ordered("==", args[1], zero), absent, args[0])

    return x(x, y), generate


@intrinsic
def larger(typing, x, y):
    """The larger number of each lane; y where x is NaN."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return x(x, y), generate


@intrinsic
def any_larger(typing, x, y):
    """True if x is larger than y in any lane."""

    def generate(context, builder, signature, args):
        bits = builder.bitcast(builder.fcmp_ordered(">", *args), ir.IntType(x.length))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return types.boolean(x, y), generate


# Bits of the mantissa, the largest exponent, and the degree from which on the terms of exp(r), for
# |r| < log(2) / 2, are below half a unit in the last place; of numbers of so many bits.
_FORMATS = {32: (23, 127, 7), 64: (52, 1023, 13)}

# log(2) less its nearest number in double precision.
_LOG_2_ERROR = 2.3190468138462996e-17


@intrinsic
def exponential(typing, x):
    """``exp(x)``, for x of at most about 1; 0 where it is below the smallest normal number.

    exp(x) = 2^n exp(r), with n the integer nearest to x / log(2).
    """

    def generate(context, builder, signature, args):
        mantissa, exponent, degree = _FORMATS[x.dtype.bitwidth]
        kind, integers = args[0].type, ir.VectorType(ir.IntType(x.dtype.bitwidth), x.length)

        def constant(number, kind=kind):
            return ir.Constant(kind, [number] * x.length)

        def multiply_add(a, b, c):
            # Never in another order: differences of large numbers are exact.
            flags = ("contract",)
            return builder.fadd(builder.fmul(a, b, flags=flags), c, flags=flags)

        # The last bits of a number of this size are those of an integer: nothing is converted,
        # which NaN would leave undefined.
        large = 1.5 * 2.0**mantissa
        rounded = multiply_add(args[0], constant(1 / math.log(2)), constant(large))
        n = builder.fsub(rounded, constant(large))
        # log(2) in two parts, of which the first has few bits, so that n times it is exact.
        high = math.floor(math.log(2) * 2.0 ** (mantissa // 2)) / 2.0 ** (mantissa // 2)
        r = multiply_add(n, constant(-high), args[0])
        r = multiply_add(n, constant(high - math.log(2) - _LOG_2_ERROR), r)
        total = constant(1 / math.factorial(degree))
        for power in reversed(range(degree)):
            total = multiply_add(total, r, constant(1 / math.factorial(power)))
        bits = builder.sub(
            builder.bitcast(rounded, integers), constant(_bits_of(large, x) - exponent, integers)
        )
        power_of_two = builder.bitcast(builder.shl(bits, constant(mantissa, integers)), kind)
        small = builder.fcmp_ordered("<", args[0], constant((1 - exponent) * math.log(2)))
        return builder.select(small, constant(0.0), builder.fmul(total, power_of_two))

    return x(x), generate


def _bits_of(number, vector):
    """The bits of a number in the format of a vector, as an integer."""
    letters = {32: "fi", 64: "dq"}[vector.dtype.bitwidth]
    return struct.unpack(letters[1], struct.pack(letters[0], number))[0]
