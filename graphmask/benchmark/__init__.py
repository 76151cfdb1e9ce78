"""Cost of masks, layers and their peers as nodes grow: time and peak memory, forward and backward.

The command ``graphmask bench`` prints, saves and plots what :func:`run` measures. Measuring needs
psutil (``graphmask[cli]``), as tables do; plots need ``graphmask[viz]``.
"""

from graphmask._deprecation import deprecated_attributes as _deprecated_attributes
from graphmask._machine import describe_machine as describe_machine
from graphmask.extras import MissingExtraError as MissingExtraError

from .graphs import Problem as Problem
from .graphs import sphere_graph as sphere_graph
from .implementations import IMPLEMENTATIONS as IMPLEMENTATIONS
from .implementations import Implementation as Implementation
from .implementations import Workload as Workload
from .implementations import find_implementations as find_implementations
from .results import QUANTITIES as QUANTITIES
from .results import Measurement as Measurement
from .results import Quantity as Quantity
from .results import Status as Status
from .results import fit_exponent as fit_exponent
from .results import write_csv as write_csv
from .results import write_json as write_json
from .scaling import run as run
from .settings import Settings as Settings

__all__ = [
    "IMPLEMENTATIONS",
    "QUANTITIES",
    "Implementation",
    "Measurement",
    "MissingExtraError",
    "Problem",
    "Quantity",
    "Settings",
    "Status",
    "Workload",
    "describe_machine",
    "find_implementations",
    "fit_exponent",
    "run",
    "sphere_graph",
    "write_csv",
    "write_json",
]

__getattr__ = _deprecated_attributes(
    __name__,
    CONTENDERS="IMPLEMENTATIONS",
    Contender="Implementation",
    find_contenders="find_implementations",
)
