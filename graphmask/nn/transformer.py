"""Graph transformers under topological masks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import groupby
from typing import Any, ClassVar

from torch import Tensor, nn
from torch_geometric.nn import MLP, JumpingKnowledge
from torch_geometric.nn.dense.linear import Linear as LazyLinear
from torch_geometric.nn.inits import reset

from graphmask._checks import check_integer, type_error, value_error
from graphmask.features import FeatureMap, UnitPlusCosine
from graphmask.masks import TopologicalMask
from graphmask.masks._drawing import join_demands
from graphmask.masks.base import draw_walks
from graphmask.normalizers import Normalizer, Unnormalized
from graphmask.topology import Topology
from graphmask.values import ValueMap

from ._jumping import SumKnowledge, jumping_knowledge
from ._node_order import find_order
from ._parts import check_module, check_output, check_precision
from .attention import TopologicalAttention
from .context_pool import ContextPool
from .layer import TopologicalTransformerLayer
from .multilevel_attention import MultilevelAttention
from .parameter_groups import parameter_groups
from .pretrained import PretrainedMixin
from .readout import Readout, pool_graphs
from .support_max import SupportMax


class TopologicalTransformer(PretrainedMixin, nn.Module):
    r"""A graph transformer: an encoder, ``num_layers`` blocks, and a head.

    For outputs per pair of nodes apply :class:`~graphmask.nn.EdgeHead` to the outputs per node.
    ``save_pretrained`` writes trained models to a folder, and ``from_pretrained`` reads them.

    Args:
        in_channels: channels of the input; -1 reads them from the first input.
        hidden_channels: C, of the blocks.
        out_channels: channels of the output.
        num_layers: number of blocks.
        heads: H, a divisor of C.
        mask: of the attention; every block learns its own copy, reset to what it starts from, as
            all parts of blocks are. A list has one mask per block, such as walks first and
            :class:`~graphmask.masks.GlobalMask` last. :obj:`None`, alone or in the list, leaves
            attention out. (default: :obj:`None`)
        pool: :obj:`None` for an output per node; a PyG pooling function such as
            ``global_mean_pool``, called as ``pool(x, batch, size)``, or an ``Aggregation``, for an
            output per graph. (default: :obj:`None`)
        conv: a local convolution from C to C channels, beside the attention or where
            :class:`~graphmask.nn.BeforeAttention` or :class:`~graphmask.nn.OnValues` place it;
            every block learns its own copy. (default: :obj:`None`)
        feature_map: phi. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of every block. (default: :obj:`0.0`)
        jk: jumping knowledge, the aggregation of all blocks that the head reads: ``"cat"``,
            ``"max"``, ``"lstm"``, ``"sum"``, or a ``torch_geometric.nn.JumpingKnowledge`` of C
            channels; with :obj:`None` the head reads the last block alone. (default: :obj:`None`)
        normalizer: of the attention; every block learns its own copy. (default: :obj:`None`,
            :class:`~graphmask.normalizers.RowSums`)
        norm: of every block, see :class:`TopologicalTransformerLayer`. (default:
            ``"batch_norm"``)
        skip: of every block, see :class:`TopologicalTransformerLayer`; every block learns its own
            copy. (default: :obj:`None`)
        encoder: a module from ``in_channels`` to C channels, such as ``torch_geometric.nn.MLP([3,
            C, C])``. (default: :obj:`None`, a linear map)
        head: a module from what ``pool`` gives to ``out_channels``, which brings its own
            normalisation; or a :class:`~graphmask.nn.Readout`, which pools by itself. (default:
            :obj:`None`, layer normalisation of the nodes, then ``pool``, then a linear map)
        values: map of values of the attention, such as
            :class:`~graphmask.values.RotaryValues`; every block learns its own copy. (default:
            :obj:`None`)
        gate: of the attention of every block, such as :class:`~graphmask.nn.OutputGate`; every
            block learns its own copy. (default: :obj:`None`)

    Shapes:
        - **input:** node features ``[N, in_channels]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``edge_weight [E]``, ``batch [N]`` in any order, ``edge_attr
          [E, D]`` for masks and convolutions that read it, ``u [B, D]`` for a readout of features
          of graphs
        - **output:** ``[N, out_channels]``, or ``[B, out_channels]`` with ``pool`` or a readout

    Raises:
        ValueError: as :class:`TopologicalTransformerLayer` does, where there is not one mask per
            block, where x has not ``in_channels`` channels, and where encoder or head give other
            shapes.

    Cost: linear in N for every mask of this library.

    Source: Xu et al., "Representation Learning on Graphs with Jumping Knowledge Networks" (ICML
    2018), for ``jk``; Deng et al., "Polynormer" (ICLR 2024), for sums of all blocks, and for local
    blocks before global ones.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import global_mean_pool
        >>> mask = gm.masks.WalkMask(hops=2, heads=2)
        >>> model = gm.nn.TopologicalTransformer(
        ...     -1, 8, 5, num_layers=2, heads=2, mask=mask, pool=global_mean_pool, jk="cat"
        ... )
        >>> x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> model(x, edge_index, batch=torch.tensor([0, 0, 1, 1])).shape
        torch.Size([2, 5])
        >>> model
        TopologicalTransformer(
          in_channels=3, hidden_channels=8, out_channels=5, num_layers=2, heads=2,
          mask=WalkMask(hops=2, heads=2, alpha=Free),
          pool=global_mean_pool,
          feature_map=ReLU(epsilon=0.001),
          jk=JumpingKnowledge(cat),
          normalizer=RowSums(),
          norm='batch_norm',
        )
    """

    _before: ClassVar[Mapping[str, Any]] = {"norm": None}

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int,
        heads: int,
        mask: TopologicalMask | Sequence[TopologicalMask | None] | None = None,
        pool: Callable[..., Tensor] | None = None,
        conv: nn.Module | None = None,
        feature_map: FeatureMap | None = None,
        dropout: float = 0.0,
        jk: str | JumpingKnowledge | None = None,
        normalizer: Normalizer | None = None,
        norm: str | None = "batch_norm",
        skip: nn.Module | None = None,
        encoder: nn.Module | None = None,
        head: nn.Module | None = None,
        values: ValueMap | None = None,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_integer("hidden_channels", hidden_channels, 1)
        check_integer("num_layers", num_layers, 1)
        if pool is not None and not callable(pool):
            raise type_error("pool", "a pooling function or an Aggregation", pool)
        self.hidden_channels, self.heads, self.dropout = hidden_channels, heads, dropout
        self.out_channels = check_integer("out_channels", out_channels, 1)
        self._given = encoder is not None, head is not None, isinstance(mask, (list, tuple))
        self._in_channels = _check_in_channels(in_channels)
        if encoder is None:
            encoder = _encoder(in_channels, hidden_channels)
        self.encoder = check_module("encoder", encoder)
        self.block_norm = norm
        self.layers = nn.ModuleList(
            TopologicalTransformerLayer(
                hidden_channels,
                heads,
                *deepcopy((block_mask, conv, feature_map)),
                dropout=dropout,
                normalizer=deepcopy(normalizer),
                norm=norm,
                skip=deepcopy(skip),
                values=deepcopy(values),
                gate=deepcopy(gate),
            )
            for block_mask in _masks_of_blocks(mask, num_layers)
        )
        self.jk = jumping_knowledge(jk, hidden_channels, num_layers)
        is_cat = self.jk is not None and self.jk.mode == "cat"
        channels = num_layers * hidden_channels if is_cat else hidden_channels
        _check_readout(head, channels, out_channels, pool)
        self.norm = nn.LayerNorm(channels) if head is None else nn.Identity()
        if head is None:
            head = nn.Linear(channels, out_channels)
        self.head, self.pool = check_module("head", head), pool
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    @classmethod
    def for_nodes(
        cls,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int,
        heads: int,
        mask: TopologicalMask | Sequence[TopologicalMask | None] | None,
        **options: Any,
    ) -> TopologicalTransformer:
        """Return a model for labels of nodes, whose blocks start as filters of the graph.

        Sums without normaliser keep degrees and counts, and scores start at 1 and stay bounded.
        Let the coefficients of the mask differ by head, as :class:`~graphmask.masks.OneHop` does.

        Args:
            in_channels: as of the class, and so are those that follow.
            hidden_channels: C.
            out_channels: channels of the output.
            num_layers: number of blocks.
            heads: H.
            mask: of the attention.
            **options: other arguments of the class, also in place of those chosen here.

        Example:
            >>> import graphmask as gm
            >>> mask = gm.masks.PowerSeriesMask(hops=1, heads=4, alpha=gm.masks.OneHop)
            >>> model = gm.nn.TopologicalTransformer.for_nodes(3, 16, 2, 12, 4, mask, dropout=0.4)
        """
        chosen: dict[str, Any] = {
            "feature_map": UnitPlusCosine(heads),
            "normalizer": Unnormalized(),
        }
        sizes = in_channels, hidden_channels, out_channels, num_layers, heads
        return cls(*sizes, mask, **{**chosen, **options})

    @classmethod
    def for_graphs(
        cls,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int,
        heads: int,
        mask: TopologicalMask | Sequence[TopologicalMask | None] | None,
        **options: Any,
    ) -> TopologicalTransformer:
        """Return a model for labels of graphs, with a readout of all blocks.

        The encoder has two layers; the :class:`~graphmask.nn.Readout` reads the outputs of all
        blocks, and takes mean and maximum over the nodes of a graph.

        Args:
            in_channels: as of the class, and so are those that follow.
            hidden_channels: C.
            out_channels: channels of the output.
            num_layers: number of blocks.
            heads: H.
            mask: of the attention.
            **options: other arguments of the class, also in place of those chosen here.

        Example:
            >>> import graphmask as gm
            >>> mask = gm.masks.WalkMask(hops=4, heads=4)
            >>> model = gm.nn.TopologicalTransformer.for_graphs(3, 48, 10, 3, 4, mask)
            >>> model.head.channels
            144
        """
        channels = num_layers * hidden_channels
        chosen: dict[str, Any] = {
            "encoder": MLP([in_channels, hidden_channels, hidden_channels]),
            "jk": "cat",
            "head": Readout(channels, out_channels, dropout=0.3, pooled_norm="batch_norm"),
        }
        sizes = in_channels, hidden_channels, out_channels, num_layers, heads
        return cls(*sizes, mask, **{**chosen, **options})

    @property
    def in_channels(self) -> int:
        """Channels of the input; -1 until the first input where they are read from it."""
        encoder: Any = self.encoder
        # It may have been given, or replaced since.
        if self._given[0] or not isinstance(encoder, (LazyLinear, nn.Linear)):
            return self._in_channels
        return encoder.in_channels if isinstance(encoder, LazyLinear) else encoder.in_features

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for module in (self.encoder, *self.layers, self.jk, self.norm, self.head, self.pool):
            reset(module)

    def parameter_groups(
        self, lr: float, mask_lr: float | None = None, weight_decay: float = 0.01
    ) -> list[dict[str, Any]]:
        """Parameters for an optimiser: :func:`~graphmask.nn.parameter_groups` of this model."""
        return parameter_groups(self, lr, mask_lr, weight_decay)

    def prepare(self, topology: Topology) -> Topology:
        """Return the topology with all that the blocks read, ready for ``torch.compile``.

        Walks are drawn where they are missing, once for all blocks; see
        :meth:`graphmask.masks.TopologicalMask.prepare`. On CPUs the blocks then compute in an order
        of the nodes in which neighbours are close, if a large graph comes in a bad one: its walks
        are kept in both orders. Outputs are those without, up to rounding.
        """
        topology = draw_walks(self._masks(), topology)
        is_ordered = any(getattr(module, "ordered", False) for module in self.modules())
        order = None if is_ordered else find_order(self._masks(), topology)
        if order is None:
            return self._complete(topology)
        return topology.with_permuted(self._complete(topology.permute(order)), order)

    def _complete(self, topology: Topology) -> Topology:
        """The topology with what the blocks derive from it."""
        for mask in self._masks():
            topology = mask.prepare(topology)
        for module in self.modules():
            if isinstance(module, (ContextPool, MultilevelAttention, SupportMax)):
                topology = module.prepare(topology)
        return topology

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
    ) -> Tensor:
        """Outputs of nodes or graphs: ``model(x, edge_index, ...)`` or ``model(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch, edge_attr)
        # All ranks of a graph find out together that x differs on one of them.
        topology.part.check_modules(self)
        topology.part.check_model(self, x)
        if self.in_channels != -1 and x.shape[1] != self.in_channels:
            expected = f"of shape [N, in_channels] with in_channels = {self.in_channels}"
            raise value_error("x", expected, x)
        if isinstance(self.encoder, (LazyLinear, nn.Linear)):
            check_precision(x, self.encoder)
        # Walks, if masks read them, are drawn once for all blocks.
        topology = draw_walks(self._masks(), topology)
        out = self.norm(self._encode(x, topology))
        if isinstance(self.head, Readout):
            return self.head(out, topology, u=u)
        if u is not None:
            raise value_error("u", "None, unless `head` is a Readout with graph_channels", u)
        if self.pool is not None:
            out = pool_graphs(self.pool, out, topology)
            self._check_pooled(out)
        return check_output("head", self.head(out), [len(out), self.out_channels])

    def _check_pooled(self, out: Tensor) -> None:
        """Features of graphs that the own head takes; a user's head tells by itself."""
        channels = getattr(self.head, "in_features", None)
        if isinstance(self.head, nn.Linear) and out.shape[1:] != (channels,):
            expected = f"a pool to {channels} channels, or a `head` that takes those of the pool"
            raise value_error("pool", expected, out)

    def _encode(self, x: Tensor, topology: Topology) -> Tensor:
        """The output of the last block, or the aggregation of those of all blocks."""
        x = check_output("encoder", self.encoder(x), [len(x), self.hidden_channels])
        permuted = topology.permuted
        if permuted is not None:
            x = self._run_blocks(x.index_select(0, permuted.order), permuted.graph)
            return x.index_select(0, permuted.rank)
        return self._run_blocks(x, topology)

    def _run_blocks(self, x: Tensor, topology: Topology) -> Tensor:
        outputs = []
        for layer in self.layers:
            x = topology.part.run(layer, x, topology)
            if self.jk is not None:
                outputs.append(x)
        return x if self.jk is None else self.jk(outputs)

    def _attentions(self) -> list[TopologicalAttention]:
        attentions = (layer.attention for layer in self.layers)
        return [each for each in attentions if isinstance(each, TopologicalAttention)]

    def _masks(self) -> list[TopologicalMask]:
        return [attention.mask for attention in self._attentions()]

    def arguments(self) -> dict[str, Any]:
        """The arguments of the constructor, by name."""
        first, attention = self.layers[0], next(iter(self._attentions()), None)
        masks = [getattr(layer.attention, "mask", None) for layer in self.layers]
        has_encoder, has_head, has_masks = self._given
        return {
            "in_channels": self.in_channels,
            "hidden_channels": self.hidden_channels,
            "out_channels": self.out_channels,
            "num_layers": len(self.layers),
            "heads": self.heads,
            "mask": masks if has_masks else masks[0],
            "pool": self.pool,
            "conv": first.placed_conv,
            "feature_map": getattr(attention, "feature_map", None),
            "dropout": self.dropout,
            "jk": "sum" if isinstance(self.jk, SumKnowledge) else self.jk,
            "normalizer": getattr(attention, "normalizer", None),
            "norm": self.block_norm,
            "skip": first.skip,
            "encoder": self.encoder if has_encoder else None,
            "head": self.head if has_head else None,
            "values": getattr(attention, "values", None),
            "gate": getattr(attention, "gate", None),
        }

    def __repr__(self) -> str:
        arguments = list(self.arguments().items())
        lines = [", ".join(f"{name}={size}" for name, size in arguments[:5])]
        for name, value in arguments[5:]:
            if value is not None and value != 0:
                text = _describe(value)
                lines.append(f"{name}={text}".replace("\n", "\n  "))
        return f"{type(self).__name__}(\n" + "".join(f"  {line},\n" for line in lines) + ")"


def _describe(value: Any) -> str:
    """An argument as code; blocks in a row with masks that print alike as a multiple of one."""
    if isinstance(value, list):
        runs = [(text, len(list(run))) for text, run in groupby(map(repr, value))]
        return " + ".join(
            f"[{text}] * {count}" if count > 1 else f"[{text}]" for text, count in runs
        )
    return value.__name__ if inspect.isfunction(value) else repr(value)


def _check_in_channels(in_channels: int) -> int:
    is_lazy = in_channels == -1 and not isinstance(in_channels, bool)
    return in_channels if is_lazy else check_integer("in_channels", in_channels, 1)


def _encoder(in_channels: int, hidden_channels: int) -> nn.Linear | LazyLinear:
    linear = LazyLinear if in_channels == -1 else nn.Linear
    return linear(in_channels, hidden_channels)


def _masks_of_blocks(
    mask: TopologicalMask | Sequence[TopologicalMask | None] | None, num_layers: int
) -> list[TopologicalMask | None]:
    if mask is None or isinstance(mask, TopologicalMask):
        return [mask] * num_layers
    if not isinstance(mask, (list, tuple)):
        raise type_error("mask", "a TopologicalMask, a list of these or None", mask)
    if len(mask) != num_layers:
        raise value_error("mask", f"one mask, or num_layers = {num_layers} masks", f"{len(mask)}")
    readers = (each for each in mask if isinstance(each, TopologicalMask))
    join_demands("mask", (each.walk_demand for each in readers))  # raises for walks of two kinds
    return list(mask)


def _check_readout(head: nn.Module | None, channels: int, out_channels: int, pool: Any) -> None:
    """A readout that fits: it pools by itself."""
    if not isinstance(head, Readout):
        return
    if pool is not None:
        raise value_error("pool", "None beside a Readout, which pools by itself", repr(pool))
    if head.channels not in (-1, channels) or head.out_channels != out_channels:
        expected = f"a Readout from {channels} to out_channels = {out_channels} channels"
        raise value_error("head", expected, f"{head.channels} to {head.out_channels}")
