"""Matrices whose rows are drawn: masks on a graph, and the attention of layers."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphmask._checks import check_integer, type_error, value_error
from graphmask.masks import TopologicalMask
from graphmask.nn import TopologicalAttention, TopologicalTransformer
from graphmask.operators import MaskOperator
from graphmask.topology import Topology


class Source(ABC):
    """A matrix ``[H, N, N]`` whose rows are drawn: its name in titles, its graph and its heads."""

    def __init__(self, name: str, topology: Topology, heads: int) -> None:
        self.name, self.topology, self.heads = name, topology, heads

    @abstractmethod
    def rows(self, nodes: Tensor) -> Tensor:
        """``[H, len(nodes), N]``."""


class MaskRows(Source):
    """Rows of a mask, which is prepared here, or of its operator, which has its own topology.

    Raises:
        ValueError: where the mask does not apply to this graph.
    """

    def __init__(
        self, mask: TopologicalMask | MaskOperator, topology: Topology | None = None, name: str = ""
    ) -> None:
        if isinstance(mask, MaskOperator):
            self.operator = mask
        elif topology is None:
            raise type_error("topology", "a Topology, beside a mask", topology)
        else:
            with torch.no_grad():
                self.operator = mask(mask.prepare(topology))
        super().__init__(name or repr(mask), self.operator.topology, self.operator.heads)

    def rows(self, nodes: Tensor) -> Tensor:
        with torch.no_grad():
            return self.operator.rows(nodes)


class AttentionRows(Source):
    """Rows of the attention of a layer, with its input ``x [N, C]``.

    See :meth:`graphmask.nn.TopologicalAttention.attention_rows`.
    """

    def __init__(
        self, attention: TopologicalAttention, x: Tensor, topology: Topology, name: str = ""
    ) -> None:
        name = name or f"attention under {attention.mask!r}"
        super().__init__(name, attention.mask.prepare(topology), attention.heads)
        self.attention, self.x = attention, x

    def rows(self, nodes: Tensor) -> Tensor:
        with torch.no_grad():
            return self.attention.attention_rows(nodes, self.x, self.topology).transpose(0, 1)


def make_source(source: Any, topology: Topology, x: Tensor | None = None) -> Source:
    """Rows of a mask, of an operator, or of a layer with its input; a TypeError for others."""
    if isinstance(source, Source):
        return source
    if isinstance(source, (TopologicalMask, MaskOperator)):
        return MaskRows(source, topology)
    if not isinstance(source, TopologicalAttention):
        raise type_error("source", "a mask, an operator or a TopologicalAttention", source)
    if not isinstance(x, Tensor):
        raise type_error("x", f"a tensor [N, {source.channels}], the input of the layer", x)
    return AttentionRows(source, x, topology)


def load_model(path: str | Path, trust: bool = False) -> nn.Module:
    """Load a model that ``save_pretrained`` or ``torch.save(model, path)`` wrote, in eval mode.

    Args:
        path: of a folder of ``save_pretrained``, or of a file of ``torch.save``; ``~`` expands.
        trust: whether the file may run code, as unpickling a module does. A folder holds tensors
            and settings alone and needs no trust. (default: :obj:`False`)

    Raises:
        OSError: where there is no such file.
        ValueError: for a file that is not trusted, or that holds no module.
    """
    path, expected = Path(path).expanduser(), "a module saved by torch.save(model, path)"
    if path.is_dir():
        return TopologicalTransformer.from_pretrained(path).eval()
    if not trust:
        folder = "a folder of `save_pretrained`; or trusted, since a pickled module runs code"
        raise value_error("model", f"{folder} (--trust)", str(path))
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, RuntimeError) as error:
        raise value_error("model", expected, f"{path.name}: {error}") from error
    if not isinstance(model, nn.Module):
        raise value_error("model", f"{expected}, not its parameters alone", type(model).__name__)
    return model.eval()


def attention_of(
    model: nn.Module, data: Data, layer: int = 0, x: Tensor | None = None
) -> AttentionRows:
    """The attention of one layer of a model on a graph, under the input that reaches it there.

    The model is called once, ``model(x, topology)``, without dropout.

    Args:
        model: any model with :class:`~graphmask.nn.TopologicalAttention` in it that is called like
            those of this library.
        data: the graph.
        layer: index among its masked attentions, in the order of its modules. (default: :obj:`0`)
        x: input of the model. (default: :obj:`None`, ``data.x``, or ``data.pos`` where that has as
            many columns as the model takes)

    Raises:
        ValueError: where there is no such layer, or the graph has no features that fit.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> from graphmask.view import attention_of
        >>> mask = gm.masks.GlobalMask()
        >>> model = gm.nn.TopologicalTransformer(3, 8, 2, num_layers=2, heads=2, mask=mask)
        >>> graph = Data(x=torch.randn(4, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> attention_of(model, graph, layer=1).rows(torch.tensor([0])).shape
        torch.Size([2, 1, 4])
    """
    layers = [module for module in model.modules() if isinstance(module, TopologicalAttention)]
    if check_integer("layer", layer, 0) >= len(layers):
        expected = f"below {len(layers)}, the masked attentions of the model"
        raise value_error("layer", expected, layer)
    attention, topology, inputs = layers[layer], Topology.from_data(data), []
    handle = attention.register_forward_pre_hook(lambda _, arguments: inputs.extend(arguments))
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(_features_of(model, data) if x is None else x, topology)
    finally:
        handle.remove()
        model.train(training)
    name = f"attention of layer {layer} under {attention.mask!r}"
    layer_topology = inputs[1] if isinstance(inputs[1], Topology) else topology
    return AttentionRows(attention, inputs[0], layer_topology, name)


def _features_of(model: nn.Module, data: Data) -> Tensor:
    channels = getattr(model, "in_channels", None)
    features = {name: data[name] for name in ("x", "pos") if data.get(name) is not None}
    for value in features.values():
        if channels in (None, -1, value.shape[1]):
            return value.float()
    shapes = {name: list(value.shape) for name, value in features.items()}
    expected = f"with `x` or `pos` of {channels} columns, as the model takes"
    raise value_error("data", expected, shapes or "neither")
