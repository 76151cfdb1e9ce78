"""WalkSampler: draws walks on a topology."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from graphmask._checks import check_integer, type_error, value_error
from graphmask._random import seed_from
from graphmask._walks import Walks
from graphmask.config import ConfigMixin
from graphmask.topology import Normalization, Topology, check_normalization

from ._rows import PairRows, ranges

Entries = tuple[Tensor, Tensor, Tensor, Tensor]


class WalkSampler(ConfigMixin, ABC):
    r"""Draws sparse :math:`S_0, \dots, S_K` with :math:`E[S_t] = W^t`.

    ``sampler(topology, generator) -> Walks``.

    A subclass defines ``_draw``. Every draw is a function of the seed and of the node's position in
    its own graph, so that a graph gets the same walks alone and inside any batch; equal generators
    give equal walks.

    A class whose draws are differentiable in the edge weights, and unbiased for the derivative too,
    sets ``differentiable``; one whose draws do not depend on the weights at all clears
    ``reads_weights``.

    Args:
        hops: K.
        normalization: of W. (default: :obj:`"sym"`)

    Attributes:
        differentiable: whether walks carry a gradient with respect to the edge weights.
        reads_weights: whether walks depend on the edge weights.
        unbiased: whether the expectation of every S_t is what it estimates, the power itself.
    """

    differentiable: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True

    def __init__(self, hops: int, normalization: Normalization = "sym") -> None:
        self.hops = check_integer("hops", hops, 0)
        self.normalization = check_normalization(normalization)

    @abstractmethod
    def _draw(self, topology: Topology, seed: int) -> Entries | Walks:
        """Walks, or entries (row, col, hop, weight) in any order."""

    def _rows(
        self, topology: Topology, nodes: Tensor, seed: int, shared: Tensor | None = None
    ) -> PairRows:
        """The walks from some nodes, as :meth:`_draw` gives them.

        Args:
            topology: a graph, or what lies up to K hops around the nodes.
            nodes: ids of the nodes.
            seed: of the draw.
            shared: what :meth:`_share` gave for the whole graph.
        """
        walks = self._as_walks(topology, self._draw(topology, seed))
        ptr = walks.pattern.rowptr.long()
        counts = ptr.diff()[nodes]
        _, entry = ranges(ptr[:-1][nodes], counts)
        return PairRows(counts, walks.pattern.col.long()[entry], walks.table[entry])

    def _pilots(self, counts: Tensor, graph: Tensor, sizes: Tensor) -> Tensor | None:
        """Nodes whose rows tell what the draws of all nodes share; :obj:`None` where they do not.

        Args:
            counts: ``[N]``, entries of the rows of W.
            graph: ``[N]``, the graph of each node.
            sizes: ``[B]``, nodes of each graph.
        """
        return None

    def _pilot_rows(self, topology: Topology, nodes: Tensor, seed: int) -> PairRows:
        """Rows from which :meth:`_share` learns."""
        raise NotImplementedError

    def _share(self, rows: PairRows, graph: Tensor, num_graphs: int) -> Tensor:
        """State that draws share, from the rows of pilots in these graphs."""
        raise NotImplementedError

    def _as_walks(self, topology: Topology, drawn: Entries | Walks) -> Walks:
        if isinstance(drawn, Walks):
            return drawn
        return Walks.from_entries(*drawn, topology.num_nodes, self.hops, self.normalization)

    def __call__(self, topology: Topology, generator: torch.Generator | None = None) -> Walks:
        """Draw walks.

        Args:
            topology: the graphs to walk on.
            generator: the source of randomness. (default: :obj:`None`, the operating system)

        Raises:
            TypeError: if the topology is no :class:`~graphmask.Topology`, or the generator no
                ``torch.Generator``.
            ValueError: if the edge weights require a gradient and the sampler is not
                differentiable.
        """
        if not isinstance(topology, Topology):
            raise type_error("topology", "a Topology", topology)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise type_error("generator", "a torch.Generator", generator)
        topology.part.check_hops("topology", type(self).__name__, None)
        wanted = topology.requires_grad and torch.is_grad_enabled()
        if wanted and self.reads_weights and not self.differentiable:
            raise value_error(
                "edge_weight",
                f"without gradient for {type(self).__name__}, whose choices depend on the weights: "
                "detach() it, or use what carries one: IIDWalks, AntitheticWalks, RepellingWalks "
                "or PowerSeriesMask",
                topology.edge_weight,
            )
        # Walks that are kept serve training too, also where they are drawn for inference.
        with torch.inference_mode(False), torch.set_grad_enabled(wanted):
            walks = self._as_walks(topology, self._draw(topology, seed_from(generator)))
            return walks.drawn_on(topology.as_origin(self.reads_weights))

    def __repr__(self) -> str:
        """Name all settings: PyG compares transforms of cached datasets by it."""
        settings = {name: value for name, value in vars(self).items() if name[0] != "_"}
        arguments = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"{type(self).__name__}({arguments})"
