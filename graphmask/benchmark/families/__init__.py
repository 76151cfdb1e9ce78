"""What every family of masks costs, each on a graph that suits it.

Measured exponents beside those of the definitions.

The command ``graphmask bench families`` prints, saves and plots it.
"""

from .families import FAMILIES as FAMILIES
from .families import Family as Family
from .families import find_families as find_families
from .grounds import GROUNDS as GROUNDS
from .grounds import Ground as Ground
from .results import FamilyCosts as FamilyCosts
from .results import summarize as summarize

__all__ = ["FAMILIES", "GROUNDS", "Family", "FamilyCosts", "Ground", "find_families", "summarize"]
