"""Trained models from files, and what their layers attend to."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error
from graphmask.nn import TopologicalTransformer
from graphmask.topology import Topology

from .sources import AttentionRows, layers_of


def load_model(path: str | Path, trust: bool = False) -> nn.Module:
    """A model from a folder that ``save_pretrained`` wrote, or from a file that ``torch.save(model, path)`` wrote.

    Args:
        path: of the folder or file.
        trust: whether a file may run code of its own: unpickling a whole module does. Folders hold
            tensors and settings alone and need no trust. (default: :obj:`False`)

    Raises:
        OSError: where there is no such file.
        ValueError: for a file that is not trusted, or that holds no module.
    """
    path = Path(path)
    if path.is_dir():
        return TopologicalTransformer.from_pretrained(path).eval()
    if not trust:
        raise value_error(
            "model",
            "a folder of `save_pretrained`; or trusted, since a pickled module runs code (--trust)",
            str(path),
        )
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, RuntimeError) as error:
        raise value_error(
            "model", "a module saved by torch.save", f"{path.name}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise value_error(
            "model",
            "a module saved by torch.save(model, path), not its parameters alone",
            type(model).__name__,
        )
    return model.eval()


def attention_of(
    model: nn.Module, data: Data, layer: int = 0, x: Tensor | None = None
) -> AttentionRows:
    """The attention of one layer of a model on a graph, with the input that reaches it there.

    The model is called once, ``model(x, topology)``, without dropout; the layer's input is caught
    on its way.

    Args:
        model: any model with :class:`~graphmask.nn.TopologicalAttention` in it that is called like
            this library's.
        data: the graph.
        layer: which of its masked attentions, in the order of its modules. (default: :obj:`0`)
        x: its input. (default: :obj:`None`, ``data.x``, or ``data.pos`` where that has as many
            columns as the model takes)

    Raises:
        ValueError: where there is no such layer, or the graph has no features that fit.

    Cost: a call of the model.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> from graphmask.view import attention_of
        >>> model = gm.nn.TopologicalTransformer(3, 8, 2, num_layers=2, heads=2, mask=gm.masks.GlobalMask())
        >>> graph = Data(x=torch.randn(4, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> attention_of(model, graph, layer=1).rows(torch.tensor([0])).shape
        torch.Size([2, 1, 4])
    """
    layers = layers_of(model)
    if check_integer("layer", layer, 0) >= len(layers):
        raise value_error(
            "layer", f"below {len(layers)}, the masked attentions of the model", layer
        )
    topology, caught = Topology.from_data(data), {}

    def catch(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        caught["x"], caught["topology"] = arguments[0], arguments[1]

    handle = layers[layer].register_forward_pre_hook(catch)
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(_features_of(model, data) if x is None else x, topology)
    finally:
        handle.remove()
        model.train(training)
    name = f"attention of layer {layer} under {layers[layer].mask!r}"
    inside = caught["topology"]
    return AttentionRows(
        layers[layer], caught["x"], inside if isinstance(inside, Topology) else topology, name
    )


def _features_of(model: nn.Module, data: Data) -> Tensor:
    wanted = getattr(model, "in_channels", None)
    for name in ("x", "pos"):
        found = data.get(name)
        if found is not None and wanted in (None, -1, found.shape[1]):
            return found.float()
    shapes = {name: list(data[name].shape) for name in ("x", "pos") if data.get(name) is not None}
    raise value_error(
        "data", f"with `x` or `pos` of {wanted} columns, as the model takes", shapes or "neither"
    )
