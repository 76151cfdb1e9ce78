"""The laws of the library as functions: tests of new masks, samplers, feature maps and layers.

    check_mask(MyMask(heads=2))                 check_sampler(MyWalks())
    check_feature_map(MyMap(), channels=8)      check_layer(MyLayer(8), channels=8)
    check_value_map(MyValues(), channels=8)

Each law is also a function of its own. All raise ``AssertionError`` with the law that is violated
and by how much, and none changes the global random state.
"""

from graphmask._deprecation import deprecated_attributes as _deprecated_attributes

from .checks import (
    check_feature_map,
    check_layer,
    check_mask,
    check_operator,
    check_sampler,
    check_value_map,
)
from .graphs import batch_topologies, example_topologies, permute
from .laws import (
    assert_adjoint,
    assert_batch_independent,
    assert_edge_order_invariant,
    assert_entries,
    assert_executions_agree,
    assert_gradients,
    assert_matmul,
    assert_permutation_equivariant,
    assert_rotation_equivariant,
    assert_round_trip,
    assert_translation_invariant,
    assert_unbiased,
    global_rng_untouched,
)

__all__ = [
    "assert_adjoint",
    "assert_batch_independent",
    "assert_edge_order_invariant",
    "assert_entries",
    "assert_executions_agree",
    "assert_gradients",
    "assert_matmul",
    "assert_permutation_equivariant",
    "assert_rotation_equivariant",
    "assert_round_trip",
    "assert_translation_invariant",
    "assert_unbiased",
    "batch_topologies",
    "check_feature_map",
    "check_layer",
    "check_mask",
    "check_operator",
    "check_sampler",
    "check_value_map",
    "example_topologies",
    "global_rng_untouched",
    "permute",
]


__getattr__ = _deprecated_attributes(__name__, join="batch_topologies")
