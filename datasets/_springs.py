"""Particles joined by springs, moved in double precision."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix


class Springs:
    r"""A network of ideal springs between particles of mass 1.

    .. math:: \ddot x_i = -\sum_{s = (i, j)} k (|x_i - x_j| - L_s) (x_i - x_j) / |x_i - x_j|

    Args:
        pairs: the two ends of each spring, int64 of shape [S, 2].
        length: L, the length at which a spring is at rest, float64 of shape [S].
        held: whether a particle never moves, bool of shape [N].
        stiffness: k.
    """

    def __init__(
        self, pairs: np.ndarray, length: np.ndarray, held: np.ndarray, stiffness: float = 1.0
    ) -> None:
        self.pairs, self.length, self.held, self.stiffness = pairs, length, held, stiffness
        num_springs = len(pairs)
        signs = np.tile([1.0, -1.0], num_springs)
        spring = np.repeat(np.arange(num_springs), 2)
        self._incidence = csr_matrix((signs, (spring, pairs.ravel())), (num_springs, len(held)))
        self._transposed = self._incidence.T.tocsr()

    def forces(self, pos: np.ndarray) -> np.ndarray:
        """Compute the force on each particle [N, 3], zero on those that are held."""
        along = self._incidence @ pos
        size = np.sqrt(np.einsum("ij,ij->i", along, along))
        pull = self.stiffness * (1 - self.length / np.maximum(size, 1e-12))
        force = -(self._transposed @ (pull[:, None] * along))
        force[self.held] = 0
        return force

    def energy(self, pos: np.ndarray, velocity: np.ndarray) -> float:
        """Compute the kinetic energy plus the energy of the springs."""
        stretch = np.linalg.norm(self._incidence @ pos, axis=1) - self.length
        return float(0.5 * (velocity**2).sum() + 0.5 * self.stiffness * (stretch**2).sum())

    def advance(
        self, pos: np.ndarray, velocity: np.ndarray, step: float, num_steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Advance the state by the velocity Verlet method, whose energy does not drift."""
        force = self.forces(pos)
        for _ in range(num_steps):
            middle = velocity + 0.5 * step * force
            pos = pos + step * middle
            force = self.forces(pos)
            velocity = middle + 0.5 * step * force
        return pos, velocity
