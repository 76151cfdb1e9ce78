"""What the sparse primitives and attention by pairs would cost with other bodies.

Times taken in turn.

The command ``graphmask bench --bodies`` prints and saves what :func:`run` finds.
"""

from .bodies import BODIES as BODIES
from .bodies import IN_USE as IN_USE
from .bodies import Body as Body
from .bodies import Products as Products
from .bodies import compose as compose
from .bodies import find_bodies as find_bodies
from .study import BodyTimes as BodyTimes
from .study import Race as Race
from .study import run as run

__all__ = [
    "BODIES",
    "IN_USE",
    "Body",
    "BodyTimes",
    "Products",
    "Race",
    "compose",
    "find_bodies",
    "run",
]
