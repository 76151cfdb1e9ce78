"""The laws of the library as functions: tests of new masks, samplers, feature maps and layers.

    check_mask(MyMask(heads=2))                 check_sampler(MyWalks())
    check_feature_map(MyMap(), channels=8)      check_layer(MyLayer(8), channels=8)

Each law is also a function of its own. All raise ``AssertionError`` with the law that is violated
and by how much, and none changes the global random state.
"""

import warnings

from .checks import check_feature_map as check_feature_map
from .checks import check_layer as check_layer
from .checks import check_mask as check_mask
from .checks import check_operator as check_operator
from .checks import check_sampler as check_sampler
from .graphs import batch_topologies as batch_topologies
from .graphs import example_topologies as example_topologies
from .graphs import permute as permute
from .laws import assert_adjoint as assert_adjoint
from .laws import assert_batch_independent as assert_batch_independent
from .laws import assert_edge_order_invariant as assert_edge_order_invariant
from .laws import assert_entries as assert_entries
from .laws import assert_executions_agree as assert_executions_agree
from .laws import assert_gradients as assert_gradients
from .laws import assert_matmul as assert_matmul
from .laws import assert_permutation_equivariant as assert_permutation_equivariant
from .laws import assert_round_trip as assert_round_trip
from .laws import assert_unbiased as assert_unbiased
from .laws import global_rng_untouched as global_rng_untouched

__all__ = [
    "assert_adjoint",
    "assert_batch_independent",
    "assert_edge_order_invariant",
    "assert_entries",
    "assert_executions_agree",
    "assert_gradients",
    "assert_matmul",
    "assert_permutation_equivariant",
    "assert_round_trip",
    "assert_unbiased",
    "batch_topologies",
    "check_feature_map",
    "check_layer",
    "check_mask",
    "check_operator",
    "check_sampler",
    "example_topologies",
    "global_rng_untouched",
    "permute",
]


def __getattr__(name: str) -> object:
    """The former name of a function, for one release."""
    if name == "join":
        message = "`graphmask.testing.join` is now called `batch_topologies`"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return batch_topologies
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
