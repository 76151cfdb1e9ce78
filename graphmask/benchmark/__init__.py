"""Cost of masks, layers and their peers as nodes grow: time and peak memory, forward and backward.

The command ``graphmask bench`` prints, saves and plots what :func:`run` measures. Measuring needs
psutil (``graphmask[cli]``), as tables do; plots need ``graphmask[viz]``.
"""

from graphmask._deprecation import deprecated_attributes as _deprecated_attributes
from graphmask._machine import describe_machine
from graphmask.extras import MissingExtraError

from .graphs import Problem, sphere_graph
from .implementations import IMPLEMENTATIONS, Implementation, Workload, find_implementations
from .results import QUANTITIES, Measurement, Quantity, Status, fit_exponent, write_csv, write_json
from .scaling import run
from .worker import Settings

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
