"""Twelve parametric surfaces: functions of (u, v) and three shape numbers to points [M, 3].

The coordinates u and v run over the unit square, shape numbers over [0, 1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Surface = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
TAU = 2 * np.pi
STEP = 1e-4  # step of the finite differences that measure area
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)


def ellipsoid(u: np.ndarray, v: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Longitude u, colatitude v."""
    return _revolve(u, np.sin(np.pi * v), np.cos(np.pi * v))


def torus(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A ring of radius 1 and thickness 0.25 to 0.55."""
    thickness = 0.25 + 0.3 * shape[0]
    return _revolve(u, 1 + thickness * np.cos(TAU * v), thickness * np.sin(TAU * v))


def cylinder(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """An open tube, at most a quarter of it missing lengthwise."""
    return _revolve((0.75 + 0.25 * shape[0]) * u, np.ones_like(v), 2 * v)


def cone(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """An open cone, whole or with its tip cut off."""
    return _revolve(u, 1 - (0.7 + 0.3 * shape[0]) * v, 2 * v)


def box(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The directions of a sphere, pushed out to a cube."""
    direction = ellipsoid(u, v, shape)
    return direction / np.abs(direction).max(axis=1, keepdims=True)


def tetrahedron(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The directions of a sphere, pushed out to a tetrahedron."""
    direction = ellipsoid(u, v, shape)
    return direction / (direction @ TETRAHEDRON.T).max(axis=1, keepdims=True)


def helix(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A tube round a helix of 2 to 3.5 turns."""
    angle = (2 + 1.5 * shape[0]) * TAU

    def curve(t: np.ndarray) -> np.ndarray:
        return _revolve(t * angle / TAU, np.ones_like(t), 2.5 * t)

    return _tube(curve, u, v, 0.15 + 0.1 * shape[1])


def moebius(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A band with half a twist."""
    across = (0.7 + 0.5 * shape[0]) * (v - 0.5)
    return _revolve(u, 1 + across * np.cos(np.pi * u), across * np.sin(np.pi * u))


def saddle(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The graph of x^2 - y^2 over a disc."""
    radius = np.sqrt(v + 0.01 * shape[0])
    return _revolve(u, radius, radius**2 * np.cos(2 * TAU * u))


def hyperboloid(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """One sheet, with a waist of 0.2 to 0.5 of its rim."""
    waist, height = 0.2 + 0.3 * shape[0], 2 * v - 1
    return _revolve(u, np.sqrt(waist**2 + (1 - waist**2) * height**2), height)


def spiral(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A rolled sheet of 1.5 to 2.25 turns."""
    turns = 1.5 + 0.75 * shape[0]
    return _revolve(turns * u, 0.3 + 0.7 * u, 1.5 * v)


def trefoil(u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A tube round a trefoil knot."""
    return _tube(_trefoil_curve, u, v, 0.25 + 0.25 * shape[0])


SURFACES: dict[str, Surface] = {
    surface.__name__: surface
    for surface in (
        ellipsoid, torus, cylinder, cone, box, tetrahedron, helix, moebius, saddle, hyperboloid,
        spiral, trefoil,
    )
}  # fmt: skip


def area_element(surface: Surface, u: np.ndarray, v: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Compute the area of the surface per unit of the (u, v) square, [M].

    Its mean over the square is the area of the surface.
    """
    origin = surface(u, v, shape)
    along_u = surface(u + STEP, v, shape) - origin
    along_v = surface(u, v + STEP, shape) - origin
    return np.linalg.norm(np.cross(along_u, along_v), axis=1) / STEP**2


def _revolve(turn: np.ndarray, radius: np.ndarray, height: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(TAU * turn), radius * np.sin(TAU * turn), height], axis=1)


def _trefoil_curve(t: np.ndarray) -> np.ndarray:
    x = np.sin(TAU * t) + 2 * np.sin(2 * TAU * t)
    y = np.cos(TAU * t) - 2 * np.cos(2 * TAU * t)
    return np.stack([x, y, -np.sin(3 * TAU * t)], axis=1)


def _tube(
    curve: Callable[[np.ndarray], np.ndarray], u: np.ndarray, v: np.ndarray, radius: float
) -> np.ndarray:
    # Neither curve is ever vertical, so the vertical spans a frame with the tangent.
    tangent = _unit(curve(u + 1e-5) - curve(u - 1e-5))
    side = _unit(np.cross(tangent, [0.0, 0.0, 1.0]))
    around = np.cos(TAU * v)[:, None] * side + np.sin(TAU * v)[:, None] * np.cross(tangent, side)
    return curve(u) + radius * around


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)
