"""Particles of a folded elastic net, whose next state depends on springs, not on distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch_geometric.data import Data
from typing_extensions import Unpack

from graphmask._checks import check_integer, check_number

from ._base import Folder, Options, SplitDataset
from ._springs import Springs

GAP = 0.25  # between layers, in distances between neighbours
TENSION = 0.5  # of a spring in the net at rest, in units of its stiffness times its length
STEP = 0.1  # of the integrator; the fastest oscillation takes 2.2
STEPS_PER_FRAME = 40
WARM_UP = 2  # frames before the first example


class ElasticBody(SplitDataset):
    r"""Motion of an elastic net, folded so that the nearest particles are not tied together.

    A net of ``layers * rows`` by ``columns`` particles of mass 1, each tied to the next in its row
    and its column by a spring of stiffness 1 that is stretched to twice its length, 1. The net is
    folded back and forth into layers that lie 0.25 above each other and are held at their borders,
    as cloth is on a frame. Springs pull; particles do not collide, and layers pass through each
    other. Waves run three to four springs in a frame, and are thrown back at the borders of their
    layer.

    Each sequence starts from a few random blows, of a width of some springs. It is integrated in
    double precision by the velocity Verlet method, 40 steps of 0.1 to a frame: no damping, energy
    is kept within a thousandth.

    Each example is a frame with what follows it, ``Data(pos, velocity, rest, held, edge_index,
    future_pos, future_velocity)``: ``pos``, ``velocity`` and ``rest``, the net in balance, float32
    of shape [N, 3]; ``held`` bool of shape [N], the particles that never move; ``edge_index`` of
    the springs, in both directions; ``future_pos`` and ``future_velocity`` float32 of shape [N,
    steps, 3], one to ``steps`` frames later. A frame lasts ``ElasticBody.frame``, 4 units of time,
    and ``pos + frame * velocity`` is the forecast at constant velocity. Example i is frame ``i %
    frames`` of sequence ``i // frames``. Particles are numbered along the net: ``N = layers * rows
    * columns``.

    A sequence depends on the seed, the split, the sizes and its number only: the splits come from
    disjoint random streams. The global random state is neither read nor changed. Generated data,
    same licence as the library.

    Args:
        root: folder of the cache; :obj:`None` simulates in memory (32,768 particles: a tenth of a
            second per frame) and writes nothing. (default: :obj:`None`)
        train: whether this is the training split. (default: :obj:`True`)
        layers: layers of the folded net. (default: :obj:`8`)
        rows: rows of a layer, at least 3: the first and the last are held. (default: :obj:`64`)
        columns: columns, at least 3: the first and the last are held. (default: :obj:`64`)
        num_sequences: sequences in this split. (default: :obj:`4`)
        frames: examples from each sequence. (default: :obj:`4`)
        steps: frames that follow in each example: 1 to train on, more to judge rollouts.
            (default: :obj:`1`)
        strength: root mean square of the particles' speeds after the blows. (default: :obj:`0.12`)
        seed: seed of the blows, a non-negative integer. (default: :obj:`0`)
        **options: see :class:`~graphmask.datasets.CachedDataset`.

    Raises:
        TypeError: if ``train`` is not a bool, or a number is not an integer.
        ValueError: if a number is out of range, or ``pre_filter`` keeps no example.

    Source: the task is that of the particle experiment of I. Reid et al., "Linear Transformer
    Topological Masking with Graph Random Features", ICLR 2025: the next state of 32,768 particles,
    judged by rollouts of six steps. Theirs is a robot seen through a renderer, and its graph joins
    near particles; here the graph is known and nearness misleads.

    Example:
        >>> from graphmask.datasets import ElasticBody
        >>> dataset = ElasticBody(layers=4, rows=8, columns=8, num_sequences=1, frames=2, steps=6)
        >>> dataset[0].pos.shape, dataset[0].future_pos.shape, dataset[0].num_edges
        (torch.Size([256, 3]), torch.Size([256, 6, 3]), 944)
        >>> bool((dataset[0].future_pos[:, 0] == dataset[1].pos).all())
        True
    """

    frame = STEP * STEPS_PER_FRAME

    def __init__(
        self,
        root: Folder | None = None,
        train: bool = True,
        layers: int = 8,
        rows: int = 64,
        columns: int = 64,
        num_sequences: int = 4,
        frames: int = 4,
        steps: int = 1,
        strength: float = 0.12,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        self.layers = check_integer("layers", layers, 1)
        self.rows = check_integer("rows", rows, 3)
        self.columns = check_integer("columns", columns, 3)
        self.num_sequences = check_integer("num_sequences", num_sequences, 1)
        self.frames = check_integer("frames", frames, 1)
        self.steps = check_integer("steps", steps, 1)
        # Stronger blows turn springs over.
        self.strength = check_number("strength", strength, 0, 0.5)
        self.seed = check_integer("seed", seed, 0)
        settings = f"{layers}x{rows}x{columns}_{num_sequences}x{frames}+{steps}"
        settings += f"_strength{self.strength}_seed{seed}"
        super().__init__(root, train, settings, **options)

    def build(self) -> Iterator[Data]:
        """Simulate the sequences."""
        rest, springs = folded_net(self.layers, self.rows, self.columns)
        edges = np.concatenate([springs.pairs, springs.pairs[:, ::-1]]).T
        shared = {
            "rest": _single(rest),
            "held": torch.from_numpy(springs.held),
            "edge_index": torch.from_numpy(np.ascontiguousarray(edges)),
        }
        for sequence in range(self.num_sequences):
            rng = np.random.default_rng([self.seed, int(self.train), sequence])
            states = self._sequence(rest, springs, rng)
            for start in range(self.frames):
                yield _example(states[start : start + self.steps + 1], shared)

    def _sequence(
        self, rest: np.ndarray, springs: Springs, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        velocity = blows((self.layers * self.rows, self.columns), rng)
        velocity[springs.held] = 0
        states = [(rest, velocity * (self.strength / np.sqrt((velocity**2).sum(1).mean())))]
        for _ in range(WARM_UP + self.frames + self.steps - 1):
            states.append(springs.advance(*states[-1], STEP, STEPS_PER_FRAME))
        return states[WARM_UP:]


def folded_net(layers: int, rows: int, columns: int) -> tuple[np.ndarray, Springs]:
    """Build the net in balance, float64 of shape [N, 3], and its springs."""
    layer, row, column = np.meshgrid(
        np.arange(layers), np.arange(rows), np.arange(columns), indexing="ij"
    )
    unfolded = np.where(layer % 2 == 0, row, rows - 1 - row)
    rest = np.stack([unfolded, column, GAP * layer], axis=-1).reshape(-1, 3).astype(np.float64)
    held = (row == 0) | (row == rows - 1) | (column == 0) | (column == columns - 1)
    node = np.arange(layers * rows * columns).reshape(layers * rows, columns)
    ends = (node[:, :-1], node[:, 1:]), (node[:-1], node[1:])
    pairs = np.concatenate([np.stack(pair, axis=-1).reshape(-1, 2) for pair in ends])
    spans = np.linalg.norm(rest[pairs[:, 0]] - rest[pairs[:, 1]], axis=1)
    return rest, Springs(pairs, TENSION * spans, held.ravel())


def blows(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw velocities [rows * columns, 3] of a flat net under random blows.

    One to about 100 particles, 2 to 5 springs wide.
    """
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
    velocity = np.zeros((*shape, 3))
    for _ in range(max(shape[0] * shape[1] // 100, 4)):
        row, column, width = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(2, 5)
        reach = int(np.ceil(4 * width))
        near = slice(max(int(row) - reach, 0), int(row) + reach + 1)
        bump = np.exp(
            -0.5 * (((rows[near] - row) / width) ** 2 + ((columns - column) / width) ** 2)
        )
        velocity[near] += bump[..., None] * rng.standard_normal(3)
    return velocity.reshape(-1, 3)


def _example(states: list[tuple[np.ndarray, np.ndarray]], shared: dict[str, torch.Tensor]) -> Data:
    (pos, velocity), *future = states
    future_pos, future_velocity = (np.stack(frames, axis=1) for frames in zip(*future, strict=True))
    return Data(
        pos=_single(pos),
        velocity=_single(velocity),
        future_pos=_single(future_pos),
        future_velocity=_single(future_velocity),
        **shared,
    )


def _single(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
