"""Sums over the past of sequences, with a decay: linear recurrences in chunks.

Letters: H heads (of the decay, or 1), G sequences of w nodes, K chunks of L nodes, m features, d
channels.

Only powers of the decay with non-negative exponents are ever formed: they are at most 1, and where
they underflow they are zero as they should be.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from graphmask._precision import full_precision
from graphmask.features.base import FeatureMap
from graphmask.kernels.products import in_one_type

from ._slices import run_slices

# Nodes of a chunk: products of triangles of this width cost about as much as the passes over memory
# that they save.
CHUNK = 32
LONGEST_CHUNK = 128

# Bytes of the scores within chunks that are formed at once.
SCORE_MEMORY = 2**28


def scan(x: Tensor, log_decay: Tensor | None) -> Tensor:
    """``y_i = sum_{j <= i} decay^(i - j) x_j`` along the nodes of ``x [H, G, w, C]``."""
    width = x.shape[2]
    if width <= CHUNK:
        return torch.einsum("hij,hgjc->hgic", _triangle(log_decay, width, x), x)
    inside = torch.einsum("hij,hgkjc->hgkic", _triangle(log_decay, CHUNK, x), _chunked(x, CHUNK))
    before = _before(inside[..., -1, :], log_decay, CHUNK).unsqueeze(3)
    since = _powers(log_decay, torch.arange(1, CHUNK + 1, device=x.device), x)
    return (inside + since[:, None, None, :, None] * before).flatten(2, 3)[:, :, :width]


def attend_causally(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None) -> Tensor:
    """``y_i = sum_{j <= i} decay^(i - j) (q_i . k_j) v_j``, as :func:`scan` sums.

    For ``q, k [H, G, w, m]`` and ``v [H, G, w, d]``. Within chunks by scores, across chunks by a
    state ``[m, d]`` per chunk.
    """
    width = q.shape[2]
    length = max(1, min(chunk_length(q.shape[-1], v.shape[-1]), width))
    q, k, v = (_chunked(x, length) for x in (q, k, v))
    inside = _attend_within(q, k, v, _triangle(log_decay, length, q).unsqueeze(1))
    if q.shape[2] > 1:
        step = torch.arange(length, device=q.device)
        until = _powers(log_decay, length - 1 - step, q)[:, None, None, :, None]
        since = _powers(log_decay, step + 1, q)[:, None, None, :, None]
        state = (until * k).mT @ v
        before = _before(state.flatten(3), log_decay, length).unflatten(3, state.shape[3:])
        inside = inside + since * (q @ before)
    return inside.flatten(2, 3)[:, :, :width]


def attend_in_parts(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    size: int,
    features: FeatureMap | None = None,
    append: bool = False,
) -> Tensor:
    """:func:`attend_causally` part after part of ``size`` nodes.

    For derivatives the state before each part is kept, and each part is computed again. With
    ``features``, of sequences without padding, these are those of a part, and with ``append`` a
    column of ones stands behind its values.
    """
    largest = None if features is None else _find_largest(features, k, size)
    attend = partial(
        _attend_part, log_decay=log_decay, features=features, largest=largest, append=append
    )
    state, outputs = None, []
    for part in zip(*(x.split(size, 2) for x in (q, k, v)), strict=True):
        if torch.is_grad_enabled():
            out, state = checkpoint(
                attend, *part, state, use_reentrant=False, preserve_rng_state=False
            )
        else:
            q, k, v = part
            out, state = attend(q, k, v, state)
        outputs.append(out)
    return torch.cat(outputs, 2)


@torch.no_grad()
def _find_largest(features: FeatureMap, k: Tensor, size: int) -> Tensor | None:
    """``[G, 1, H, m]``, the maxima over sequences that features read."""
    largest = None
    for part in k.split(size, 2):
        value = features.largest(_swap_heads(part))
        if value is None:
            return None
        value = value.amax(1, keepdim=True)
        largest = value if largest is None else torch.maximum(largest, value)
    return largest


def _swap_heads(x: Tensor) -> Tensor:
    """``[H, G, w, C]`` as ``[G, w, H, C]``, which feature maps read."""
    return x.permute(1, 2, 0, 3)


def _attend_part(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Tensor | None,
    log_decay: Tensor | None,
    features: FeatureMap | None,
    largest: Tensor | None,
    append: bool,
) -> tuple[Tensor, Tensor]:
    """Sums of the nodes ``[H, G, w, .]`` of a part, after a state, and the state after them."""
    if features is not None:
        pair = features.of_part(_swap_heads(q), _swap_heads(k), largest)
        q, k = (x.permute(2, 0, 1, 3) for x in pair)
    with full_precision(q.device):
        q, k, v = in_one_type(q, k, pad(v, (0, 1), value=1) if append else v)
        step = torch.arange(q.shape[2] + 1, device=q.device)
        power = _powers(log_decay, step, q)[:, None, :, None]
        out, after = attend_causally(q, k, v, log_decay), (power[:, :, :-1].flip(2) * k).mT @ v
        if state is None:
            return out, after
        return out + power[:, :, 1:] * (q @ state), power[:, :, -1:] * state + after


def chunk_length(m: int, d: int) -> int:
    """Nodes of a chunk whose scores cost about as much as its state, a power of two."""
    length = CHUNK
    while length < LONGEST_CHUNK and 1.5 * length < 2 * m * d / (m + d):
        length *= 2
    return length


def _attend_within(q: Tensor, k: Tensor, v: Tensor, triangle: Tensor) -> Tensor:
    """Sums within chunks ``[H, G, K, L, .]``, by scores of all pairs."""
    shape = q.shape[1:3]
    chunks = SCORE_MEMORY // (len(q) * q.shape[3] ** 2 * q.element_size())
    attend = partial(_attend_chunks, triangle=triangle)
    slices = run_slices(attend, chunks, *(x.flatten(1, 2) for x in (q, k, v)), dim=1)
    return torch.cat(slices, 1).unflatten(1, shape)


def _attend_chunks(q: Tensor, k: Tensor, v: Tensor, triangle: Tensor) -> Tensor:
    return (triangle * (q @ k.mT)) @ v


def _before(end: Tensor, log_decay: Tensor | None, length: int) -> Tensor:
    """The state before each chunk, from the sums of all chunks at their ends ``[H, G, K, C]``."""
    total = scan(end, None if log_decay is None else length * log_decay)
    return pad(total[:, :, :-1], (0, 0, 1, 0))


def _chunked(x: Tensor, length: int) -> Tensor:
    """``[H, G, w, C]`` as ``[H, G, K, L, C]``, zeros at the end."""
    chunks = -(-x.shape[2] // length)
    return pad(x, (0, 0, 0, chunks * length - x.shape[2])).unflatten(2, (chunks, length))


def _triangle(log_decay: Tensor | None, length: int, like: Tensor) -> Tensor:
    """``[H, L, L]``: ``decay^(i - j)`` for j <= i, else 0."""
    step = torch.arange(length, device=like.device)
    gap = step.unsqueeze(1) - step
    return _powers(log_decay, gap.clamp(min=0), like) * (gap >= 0)


def _powers(log_decay: Tensor | None, exponent: Tensor, like: Tensor) -> Tensor:
    """``[H, *exponent]`` in the dtype of ``like``."""
    if log_decay is None:
        return torch.ones_like(exponent, dtype=like.dtype).unsqueeze(0)
    return torch.exp(log_decay.to(like.dtype).reshape(-1, *[1] * exponent.dim()) * exponent)
