"""How cost grows with nodes.

Time and peak memory, forward and backward, of masks, layers and their peers.

The command ``graphmask bench`` prints, saves and plots what :func:`run` measures. Measuring needs
nothing beyond the library's own dependencies; tables need ``graphmask[cli]`` and plots
``graphmask[viz]``.
"""

from graphmask._machine import describe_machine as describe_machine
from graphmask.extras import MissingExtraError as MissingExtraError

from .contenders import CONTENDERS as CONTENDERS
from .contenders import Contender as Contender
from .contenders import Workload as Workload
from .contenders import find_contenders as find_contenders
from .problem import Problem as Problem
from .problem import sphere_graph as sphere_graph
from .records import write_csv as write_csv
from .records import write_json as write_json
from .results import QUANTITIES as QUANTITIES
from .results import Measurement as Measurement
from .results import Quantity as Quantity
from .results import Status as Status
from .results import fit_exponent as fit_exponent
from .scaling import Settings as Settings
from .scaling import run as run

__all__ = [
    "CONTENDERS",
    "QUANTITIES",
    "Contender",
    "Measurement",
    "MissingExtraError",
    "Problem",
    "Quantity",
    "Settings",
    "Status",
    "Workload",
    "describe_machine",
    "find_contenders",
    "fit_exponent",
    "run",
    "sphere_graph",
    "write_csv",
    "write_json",
]
