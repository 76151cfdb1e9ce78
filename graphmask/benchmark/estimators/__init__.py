r"""How accurate the estimators of a mask are, at equal stored entries and at equal time.

The command ``graphmask bench estimators`` prints, saves and plots what :func:`run` measures. Errors
are relative Frobenius errors, :math:`\|\hat M - M\|_F / \|M\|_F`; papers on graph random features
print their squares.
"""

from .comparison import Comparison as Comparison
from .comparison import Curve as Curve
from .comparison import compare as compare
from .contenders import ESTIMATORS as ESTIMATORS
from .contenders import Estimator as Estimator
from .contenders import Family as Family
from .contenders import make_estimators as make_estimators
from .exact import Errors as Errors
from .files import read_graph as read_graph
from .graphs import GRAPHS as GRAPHS
from .graphs import Graph as Graph
from .graphs import undirected as undirected
from .kernels import KERNELS as KERNELS
from .kernels import Kernel as Kernel
from .results import Mean as Mean
from .results import Point as Point
from .results import Sample as Sample
from .results import summarize as summarize
from .study import Study as Study
from .study import run as run

__all__ = [
    "ESTIMATORS",
    "GRAPHS",
    "KERNELS",
    "Comparison",
    "Curve",
    "Errors",
    "Estimator",
    "Family",
    "Graph",
    "Kernel",
    "Mean",
    "Point",
    "Sample",
    "Study",
    "compare",
    "make_estimators",
    "read_graph",
    "run",
    "summarize",
    "undirected",
]
