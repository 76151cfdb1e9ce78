"""Encodings of nodes that belong to a graph, stored with its identity.

Beside the attribute ``name`` stands ``encoded_graph_name [N, 2]``, the identity of the weighted
graph that was encoded, so that held-out edges which an encoding has seen are noticed.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch_geometric.data import Data

from ._checks import DeferredChecks
from ._identity import check_identity

ENCODED_GRAPH = "encoded_graph_"


def check_encodings(
    data: Data,
    edge_index: Tensor,
    edge_weight: Tensor | None,
    num_nodes: int,
    checks: DeferredChecks,
    keys: Sequence[str] | None = None,
) -> None:
    """Check, with other deferred values, that encodings on ``data`` are those of this graph.

    All of them, or those whose identities have the names ``keys``.

    Raises:
        ValueError: at once for another number of nodes, when the checks run for other edges.
    """
    for key in encoding_keys(data) if keys is None else keys:
        name = key.removeprefix(ENCODED_GRAPH)
        if data.get(name) is not None:
            remedy = (
                "apply its transform once more, or after the one that changed the graph (such as "
                f"RandomLinkSplit, ToUndirected or new edge weights); delete `{key}` to keep it"
            )
            label = f"{name} (an encoding)"
            check_identity(label, data[key], edge_index, edge_weight, num_nodes, remedy, checks)


def encoding_keys(data: Data) -> list[str]:
    """Names of the attributes that hold identities of encoded graphs."""
    return [key for key in data.keys() if key.startswith(ENCODED_GRAPH)]  # noqa: SIM118
