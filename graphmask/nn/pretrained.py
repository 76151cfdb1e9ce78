"""Models written to a folder and read back: safetensors weights and a readable config.json.

No network, no pickle.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn.dense.linear import is_uninitialized_parameter

from graphmask._checks import type_error, value_error
from graphmask.extras import require, version_of

from ._descriptions import CannotDescribeError, build, describe, public_name

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = 1

Model = TypeVar("Model", bound="PretrainedMixin")


class PretrainedMixin:
    """Gives a model ``save_pretrained(folder)`` and ``from_pretrained(folder)``, in the style of ``PyTorchModelHubMixin``.

    The folder holds ``model.safetensors`` and ``config.json``, which tells the constructor's
    arguments: numbers and strings as they are; masks, feature maps, samplers, PyG convolutions,
    aggregations and pools by public name and arguments of their own. Reading it runs no code but
    the constructors of public classes of graphmask, ``torch_geometric.nn`` and ``torch.nn``. What
    has no such description, such as a mask of your own, is left out by name and given again when
    the model is read.

    A model whose attributes do not hold its constructor's arguments under their names overrides
    :meth:`arguments`.

    Example:
        >>> import tempfile, torch, graphmask as gm
        >>> class Net(gm.nn.PretrainedMixin, torch.nn.Module):
        ...     def __init__(self, channels, mask):
        ...         super().__init__()
        ...         self.channels = channels
        ...         self.attention = gm.nn.TopologicalAttention(channels, heads=2, mask=mask)
        ...         self.mask = self.attention.mask
        >>> folder = tempfile.TemporaryDirectory()
        >>> Net(8, gm.masks.WalkMask(hops=3, heads=2)).save_pretrained(folder.name)
        >>> Net.from_pretrained(folder.name).mask
        WalkMask(hops=3, heads=2, alpha=Free)
        >>> folder.cleanup()
    """

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, by name, from which a model like this one is made.

        Here the attributes of their names.

        Raises:
            ValueError: where there is no such attribute.
        """
        names = [
            name for name in inspect.signature(type(self).__init__).parameters if name != "self"
        ]
        absent = [name for name in names if not hasattr(self, name)]
        if absent:
            raise value_error(
                "arguments",
                f"overridden by {type(self).__name__}",
                f"a model without attributes {absent}",
            )
        return {name: getattr(self, name) for name in names}

    def save_pretrained(self, folder: str | Path, leave_out: Iterable[str] = ()) -> None:
        """Write this model to a folder, which is made where it is absent.

        Tied parameters are written once, and are tied again when they are read; parameters that
        wait for their first input (``in_channels=-1``) go on waiting.

        Args:
            folder: its path.
            leave_out: arguments that are not described, but given to :meth:`from_pretrained` again.
                (default: none)

        Raises:
            ValueError: where an argument has no description, or the model that the description
                makes has other parameters. Nothing is written then.
            graphmask.extras.MissingExtraError: without the package safetensors (the extra
            ``pretrained``).
        """
        save_file = require("safetensors.torch", extra="pretrained").save_file
        module, folder = cast(nn.Module, self), Path(folder)
        given, left_out = (
            self.arguments(),
            [leave_out] if isinstance(leave_out, str) else list(leave_out),
        )
        unknown = [name for name in left_out if name not in given]
        if unknown:
            raise value_error("leave_out", f"of the arguments {list(given)}", unknown)
        config: dict[str, Any] = {
            "format": FORMAT,
            "graphmask": version_of("graphmask"),
            "class": _name(type(self)),
        }
        config["arguments"] = {
            name: _described(name, value) for name, value in given.items() if name not in left_out
        }
        config["left_out"] = {name: type(given[name]).__name__ for name in left_out}
        tensors, config["tied"], config["lazy"] = _weights(module)
        _check_rebuilt(type(self), config, tensors, {name: given[name] for name in left_out})
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls: type[Model], folder: str | Path, **given: Any) -> Model:
        """The model that was written to a folder, on the CPU and in evaluation mode.

        Call ``train()`` to train on.

        Args:
            folder: its path.
            **given: constructor arguments in the place of those written: all that were left out,
            and any other.

        Raises:
            FileNotFoundError: where a file is absent.
            ValueError: where a file is damaged, or was written for another class, or does not fit
                the arguments given.
            graphmask.extras.MissingExtraError: without the package safetensors (the extra
            ``pretrained``).
        """
        folder = Path(folder)
        config = _read_config(folder)
        if config["class"] != _name(cls):
            raise value_error(
                "folder", f"written by {_name(cls)}", f"{folder}, written by {config['class']}"
            )
        absent = [name for name in config["left_out"] if name not in given]
        if absent:
            kinds = ", ".join(f"{name} ({config['left_out'][name]})" for name in absent)
            raise value_error(
                ", ".join(absent), f"given, since {folder} was written without: {kinds}", "nothing"
            )
        return _rebuild(cls, config, _read_weights(folder), given, f"{folder}").eval()


def _name(kind: type) -> str:
    try:
        return public_name(kind)
    except CannotDescribeError:
        return f"{kind.__module__}.{kind.__qualname__}"


def _described(name: str, value: Any) -> Any:
    try:
        return describe(value)
    except CannotDescribeError as error:
        way_out = f'use save_pretrained(folder, leave_out=["{name}"]), and from_pretrained(folder, {name}=...)'
        raise ValueError(f"`{name}` cannot be written down: {error}; {way_out}") from error


def _weights(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Tensors by name, each once; other names of the same.

    And names of those that have no shape yet.
    """
    kept: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    lazy: list[str] = []
    first: dict[Any, str] = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            raise type_error(f"state_dict()[{name!r}]", "a tensor", value)
        if is_uninitialized_parameter(value):
            lazy.append(name)
            continue
        where = (
            (value.data_ptr(), value.shape, value.stride(), value.dtype) if value.numel() else name
        )
        same = first.setdefault(where, name)
        if same == name:
            kept[name] = value.detach().cpu().contiguous().clone()
        else:
            tied[name] = same
    return kept, tied, lazy


def _check_rebuilt(
    kind: type, config: dict[str, Any], tensors: dict[str, Tensor], given: dict[str, Any]
) -> None:
    """A folder that could not be read back is not written."""
    copies = {name: value.clone() for name, value in tensors.items()}
    _rebuild(kind, config, copies, deepcopy(given), "the description of this model")


def _rebuild(
    kind: type,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    given: dict[str, Any],
    where: str,
) -> Any:
    try:
        with torch.random.fork_rng(devices=[]):
            written = {
                name: build(value)
                for name, value in config["arguments"].items()
                if name not in given
            }
            model = kind(**written, **given)
        found = model.load_state_dict(
            {**tensors, **{a: tensors[b] for a, b in config["tied"].items()}}, False, assign=True
        )
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{where} does not make a {kind.__name__}: {error}") from error
    missing = sorted(set(found.missing_keys) - set(config["lazy"]))
    if missing or found.unexpected_keys:
        raise ValueError(
            f"{where} does not fit {kind.__name__}: without {missing or 'nothing'}, "
            f"with {found.unexpected_keys or 'nothing'} that it has not"
        )
    for alias, name in config["tied"].items():
        _tie(model, alias, name)
    return model


def _tie(model: nn.Module, alias: str, name: str) -> None:
    path, _, last = name.rpartition(".")
    shared = getattr(model.get_submodule(path), last)
    path, _, last = alias.rpartition(".")
    setattr(model.get_submodule(path), last, shared)


def _read_config(folder: Path) -> dict[str, Any]:
    text = _existing(folder, CONFIG).read_text(encoding="utf-8", errors="replace")
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error}") from error
    wanted = {
        "format": int,
        "class": str,
        "arguments": dict,
        "left_out": dict,
        "tied": dict,
        "lazy": list,
    }
    wrong = [
        name
        for name, kind in wanted.items()
        if not isinstance(config, dict) or not isinstance(config.get(name), kind)
    ]
    if wrong:
        raise ValueError(
            f"{folder / CONFIG} was not written by save_pretrained: it has no {', '.join(wrong)}"
        )
    if config["format"] != FORMAT:
        raise ValueError(
            f"{folder / CONFIG} has format {config['format']}, this version of graphmask reads {FORMAT}"
        )
    return config


def _read_weights(folder: Path) -> dict[str, Tensor]:
    library = require("safetensors.torch", extra="pretrained")
    path = _existing(folder, WEIGHTS)
    try:
        # Copied to memory of its own: in the file's tensors are not aligned, which products round
        # differently for.
        return {name: value.clone() for name, value in library.load_file(path).items()}
    except require("safetensors", extra="pretrained").SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is absent: `folder` must be one that save_pretrained wrote"
        )
    return path
