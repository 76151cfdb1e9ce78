"""Particles joined by springs, moved in double precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Springs:
    r"""A network of ideal springs between particles of mass 1.

    .. math:: \ddot x_i = -\sum_{s = (i, j)} k (|x_i - x_j| - L_s) (x_i - x_j) / |x_i - x_j|

    Args:
        pairs: The two ends of each spring, int64 of shape [S, 2].
        length: L, the length at which a spring is at rest, float64 of shape [S].
        held: Particles that never move, bool of shape [N].
        stiffness: k.
    """

    pairs: np.ndarray
    length: np.ndarray
    held: np.ndarray
    stiffness: float = 1.0

    def __post_init__(self) -> None:
        count, sides = len(self.pairs), np.repeat(np.array([[1.0, -1.0]]), len(self.pairs), axis=0)
        spring = np.repeat(np.arange(count), 2)
        ends = csr_matrix(
            (sides.ravel(), (spring, self.pairs.ravel())), shape=(count, len(self.held))
        )
        object.__setattr__(self, "_ends", ends)
        object.__setattr__(self, "_sums", ends.T.tocsr())

    def forces(self, pos: np.ndarray) -> np.ndarray:
        """The force on each particle [N, 3], zero on those that are held."""
        along = self._ends @ pos  # type: ignore[attr-defined]
        size = np.sqrt(np.einsum("ij,ij->i", along, along))
        pull = self.stiffness * (1 - self.length / np.maximum(size, 1e-12))
        force = -(self._sums @ (pull[:, None] * along))  # type: ignore[attr-defined]
        force[self.held] = 0
        return force

    def energy(self, pos: np.ndarray, velocity: np.ndarray) -> float:
        """Kinetic energy and energy of the springs, together."""
        size = np.linalg.norm(self._ends @ pos, axis=1)  # type: ignore[attr-defined]
        return float(
            0.5 * (velocity**2).sum() + 0.5 * self.stiffness * ((size - self.length) ** 2).sum()
        )

    def advance(
        self, pos: np.ndarray, velocity: np.ndarray, step: float, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The state after ``steps`` of size ``step`` by the velocity Verlet method.

        Energy does not drift.
        """
        force = self.forces(pos)
        for _ in range(steps):
            middle = velocity + 0.5 * step * force
            pos = pos + step * middle
            force = self.forces(pos)
            velocity = middle + 0.5 * step * force
        return pos, velocity
