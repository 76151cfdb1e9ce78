"""What masked attention costs beside its rivals.

Ratios of times taken in turn, and whether they meet their targets.

The command ``graphmask bench --compare`` prints and saves what :func:`run` finds.
"""

from .comparisons import COMPARISONS as COMPARISONS
from .comparisons import Comparison as Comparison
from .comparisons import find_comparisons as find_comparisons
from .results import Errors as Errors
from .results import Paired as Paired
from .sides import Estimate as Estimate
from .sides import Side as Side
from .sides import Timed as Timed
from .sides import attending as attending
from .study import Match as Match
from .study import run as run

__all__ = [
    "COMPARISONS",
    "Comparison",
    "Errors",
    "Estimate",
    "Match",
    "Paired",
    "Side",
    "Timed",
    "attending",
    "find_comparisons",
    "run",
]
