"""Models in a folder: safetensors weights and a readable config.json; no network, no pickle."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import BatchNorm
from torch_geometric.nn.dense.linear import is_uninitialized_parameter

from graphmask._allocation import Bound
from graphmask._atomic import replacing, write_text
from graphmask._checks import type_error, value_error
from graphmask._module_arguments import settings_of
from graphmask.config import ConfigError, from_config, public_name, to_config
from graphmask.extras import require, version_of

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = 1
_NOT_HASHED = ("fingerprint", "former")

# Packages whose modules are what their settings say, and settings that matter in training alone.
_PUBLIC = ("graphmask.", "torch.nn.", "torch_geometric.")
_OF_TRAINING: dict[type, tuple[str, ...]] = {nn.Dropout: ("p",), nn.BatchNorm1d: ("momentum",)}

_FIELDS = {
    "format": int,
    "class": str,
    "arguments": dict,
    "left_out": dict,
    "tied": dict,
    "lazy": list,
}

Model = TypeVar("Model", bound="PretrainedMixin")


class PretrainedMixin:
    """Adds ``save_pretrained(folder)`` and ``from_pretrained(folder)`` to a model.

    The folder holds ``model.safetensors`` and ``config.json``, the arguments of the constructor:
    numbers and strings as they are; masks, feature maps, samplers, PyG convolutions, aggregations
    and pools by public name and arguments of their own. Reading it runs no code but the
    constructors of public classes of graphmask, ``torch_geometric.nn`` and ``torch.nn``, and these
    may allocate no more than a model of such weights needs. An argument that no config describes,
    such as a mask of your own, is left out by name, and passed again when the model is read.

    Both files carry one fingerprint, so that files of two models are an error. A save that is
    stopped at any point leaves the former model or the new one, whole.

    A model whose attributes do not hold the arguments of its constructor under their names
    overrides :meth:`arguments`.

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

    # Arguments that files of earlier versions do not name, as their models had them.
    _before: ClassVar[Mapping[str, Any]] = {}

    def arguments(self) -> dict[str, Any]:
        """The arguments of the constructor by name: the attributes of the same names.

        Raises:
            ValueError: where there is no such attribute.
        """
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        absent = [name for name in names if not hasattr(self, name)]
        if absent:
            expected = f"overridden by {type(self).__name__}"
            raise value_error("arguments", expected, f"a model without attributes {absent}")
        return {name: getattr(self, name) for name in names}

    def save_pretrained(self, folder: str | Path, leave_out: Iterable[str] = ()) -> None:
        """Write this model to a folder, which is created where it is absent.

        Tied parameters are written once, and tied again when they are read; lazy parameters that
        have seen no input (``in_channels=-1``) stay lazy.

        Args:
            folder: its path; ``~`` expands.
            leave_out: arguments that are not written, but passed to :meth:`from_pretrained` again.
                (default: none)

        Raises:
            OSError: where the folder cannot be written to.
            ValueError: where no config describes an argument, or the model made from the config has
                other parameters. Nothing is written then.
            graphmask.extras.MissingExtraError: without the package safetensors (the extra
                ``pretrained``).
        """
        # As bytes: its own function for files leaves hidden ones where the process is killed.
        save = require("safetensors.torch", extra="pretrained").save
        folder, arguments = Path(folder).expanduser(), self.arguments()
        omitted = [leave_out] if isinstance(leave_out, str) else list(leave_out)
        unknown = [name for name in omitted if name not in arguments]
        if unknown:
            raise value_error("leave_out", f"of the arguments {list(arguments)}", unknown)
        tensors, tied, lazy = _weights(cast(nn.Module, self))
        config = {
            "format": FORMAT,
            "graphmask": version_of("graphmask"),
            "class": _class_name(type(self)),
            "arguments": {
                name: _argument_config(name, value)
                for name, value in arguments.items()
                if name not in omitted
            },
            "left_out": {name: type(arguments[name]).__name__ for name in omitted},
            "tied": tied,
            "lazy": lazy,
        }
        # A folder that could not be read back is not written.
        copies = {name: value.clone() for name, value in tensors.items()}
        values = deepcopy({name: arguments[name] for name in omitted})
        made = _rebuild(type(self), config, copies, values, "the config of this model")
        _check_settings(_as_made(self), made)
        config["fingerprint"] = _fingerprint(config, tensors)
        folder.mkdir(parents=True, exist_ok=True)
        path, former = folder / CONFIG, _former_config(folder)
        metadata = {"format": "pt", "fingerprint": config["fingerprint"]}
        with replacing(folder / WEIGHTS) as aside:
            aside.write_bytes(save(tensors, metadata))
            if former is not None:
                # Until the weights are replaced, those of before need their config.
                write_text(path, _to_json({**config, "former": former}))
        write_text(path, _to_json(config))

    @classmethod
    def from_pretrained(cls: type[Model], folder: str | Path, **arguments: Any) -> Model:
        """Read the model in a folder, on the CPU and in evaluation mode.

        Call ``train()`` to train on.

        Args:
            folder: its path; ``~`` expands.
            **arguments: of the constructor, in place of those written: all that were left out, and
                any other.

        Raises:
            FileNotFoundError: where a file is absent.
            ValueError: where a file is damaged or changed, or was written for another class or
                beside another file, or does not fit the arguments, or asks for more than its
                weights hold.
            graphmask.extras.MissingExtraError: without the package safetensors (the extra
                ``pretrained``).
        """
        folder = Path(folder).expanduser()
        config, weights = _read(folder)
        if config["class"] != _class_name(cls):
            got = f"{folder}, written by {config['class']}"
            raise value_error("folder", f"written by {_class_name(cls)}", got)
        absent = [name for name in config["left_out"] if name not in arguments]
        if absent:
            omitted = ", ".join(f"{name} ({config['left_out'][name]})" for name in absent)
            expected = f"given, since {folder} was written without: {omitted}"
            raise value_error(", ".join(absent), expected, "nothing")
        # Copied, since tensors in the file are not aligned, and products of unaligned tensors are
        # rounded differently.
        tensors = {name: weights.get_tensor(name).clone() for name in weights.keys()}  # noqa: SIM118
        saved = {name: value for name, value in config.items() if name not in _NOT_HASHED}
        is_changed = config.get("fingerprint", digest := _fingerprint(saved, tensors)) != digest
        model = _rebuild(cls, config, tensors, arguments, f"{folder}").eval()
        if is_changed:
            raise ValueError(
                f"{folder} was changed after it was saved, its fingerprint differs: restore it, "
                "and pass other arguments to from_pretrained"
            )
        return model


def _class_name(cls: type) -> str:
    try:
        return public_name(cls)
    except ConfigError:
        return f"{cls.__module__}.{cls.__qualname__}"


def _as_made(value: Any) -> Any:
    """A module with the modules that others took the place of, where processes share a graph."""
    if not isinstance(value, nn.Module) or not any(map(_replaced, value.modules())):
        return value
    value = deepcopy(value)
    if _replaced(value):
        return value.unsynced()
    for module in list(value.modules()):
        for name, child in module.named_children():
            if not _replaced(child):
                continue
            if isinstance(module, BatchNorm):
                module.allow_single_element = module.allow_single_element or child.allow_single
            setattr(module, name, child.unsynced())
    return value


def _replaced(module: nn.Module) -> bool:
    return hasattr(module, "unsynced")


def _argument_config(name: str, value: Any) -> Any:
    try:
        return to_config(_as_made(value))
    except (ConfigError, RecursionError) as error:
        raise ValueError(
            f"`{name}` cannot be written down: {error}; use save_pretrained(folder, "
            f'leave_out=["{name}"]), and from_pretrained(folder, {name}=...)'
        ) from error


def _weights(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Tensors by name, each once; other names of the same; and names of lazy parameters."""
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    lazy: list[str] = []
    names: dict[Any, str] = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            raise type_error(f"state_dict()[{name!r}]", "a tensor", value)
        if is_uninitialized_parameter(value):
            lazy.append(name)
            continue
        memory = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        first = names.setdefault(memory if value.numel() else name, name)
        if first == name:
            tensors[name] = value.detach().cpu().contiguous().clone()
        else:
            tied[name] = first
    return tensors, tied, lazy


def _fingerprint(config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """The SHA-256 of a config and the tensors, by name, that it is written with."""
    digest = hashlib.sha256(_to_json(config).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _to_json(config: dict[str, Any]) -> str:
    return json.dumps(config, indent=2) + "\n"


def _rebuild(
    cls: type,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    arguments: dict[str, Any],
    origin: str,
) -> Any:
    tied = config["tied"]
    written = {name: value for name, value in config["arguments"].items() if name not in arguments}
    # Constructors of users may need more than what they keep, and count other things.
    is_public = _class_name(cls).startswith("graphmask.")
    bound = Bound(tensors.values(), slack=2**20 if is_public else 2**28)
    nested = {name: value for name, value in written.items() if isinstance(value, (dict, list))}
    try:
        bound.check(written if is_public else nested)
        with torch.random.fork_rng(devices=[]), bound:
            values = {name: from_config(value) for name, value in written.items()}
            model = cls(**{**getattr(cls, "_before", {}), **values, **arguments})
        state = {**tensors, **{alias: tensors[name] for alias, name in tied.items()}}
        _check_dtypes(model, state)
        keys = model.load_state_dict(state, strict=False, assign=True)
    except ImportError:
        raise
    except Exception as error:  # constructors raise anything for wrong arguments
        reason = str(error) or type(error).__name__
        raise ValueError(f"{origin} does not make a {cls.__name__}: {reason}") from error
    values = model.state_dict()
    missing = [key for key in keys.missing_keys if not is_uninitialized_parameter(values[key])]
    if missing or keys.unexpected_keys:
        raise ValueError(
            f"{origin} does not fit {cls.__name__}: without {sorted(missing) or 'nothing'}, "
            f"with {keys.unexpected_keys or 'nothing'} that it has not"
        )
    for alias, name in tied.items():
        path, _, last = name.rpartition(".")
        parameter = getattr(model.get_submodule(path), last)
        path, _, last = alias.rpartition(".")
        setattr(model.get_submodule(path), last, parameter)
    return model


def _check_settings(model: nn.Module, made: nn.Module) -> None:
    """Raise where modules of public packages compute otherwise than those made from the config.

    As where the feature map of one block was replaced, or an attribute set, after construction.
    """
    modules = dict(made.named_modules())
    for name, module in model.named_modules():
        is_public = type(module).__module__.startswith(_PUBLIC)
        if not name or not is_public or name not in modules:
            continue
        (cls, own), (other, read) = settings_of(module), settings_of(modules[name])
        # Lazy layers of PyG become those of torch, which are called alike.
        changed = [key for key in own.keys() & read.keys() if own[key] != read[key]]
        if cls.__name__ != other.__name__:
            problem = f"is a {cls.__name__}, and a {other.__name__} by the config"
        elif changed := sorted(set(changed) - set(_OF_TRAINING.get(cls, ()))):
            key = changed[0]
            problem = f"has {key}={own[key]!r}, and {key}={read[key]!r} by the config"
        else:
            continue
        raise ValueError(
            f"`{name}` was changed since the model was made: it {problem}; give it to the "
            "constructor, or save the parameters by torch.save(model.state_dict(), path)"
        )


def _check_dtypes(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Raise where numbers of one kind would stand for another; the precision is the file's."""
    for name, value in model.state_dict().items():
        expected, got = value.dtype, state.get(name, value).dtype
        if got != expected and not (got.is_floating_point and expected.is_floating_point):
            raise value_error(name, f"of dtype {expected}", f"{got}")


def _read(folder: Path) -> tuple[dict[str, Any], Any]:
    """The config of the model in a folder, and its open file of weights."""
    safetensors = require("safetensors", extra="pretrained")
    # Once more, since the model may have been saved meanwhile.
    for _ in range(2):
        config, path = _read_config(folder), _existing(folder, WEIGHTS)
        try:
            weights = safetensors.safe_open(path, framework="pt")
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        fingerprint = (weights.metadata() or {}).get("fingerprint")
        # A save that was stopped may have written the config, but not the weights.
        for candidate in (config, config.get("former", config)):
            if candidate.get("fingerprint") == fingerprint:
                return candidate, weights
    raise ValueError(
        f"{folder / CONFIG} and {WEIGHTS} are not of one model: their fingerprints are "
        f"{config.get('fingerprint')} and {fingerprint}; copy both from one folder"
    )


def _former_config(folder: Path) -> dict[str, Any] | None:
    """The config of the model in a folder, or None where none can be read."""
    try:
        return _read(folder)[0]
    except (OSError, ValueError):
        return None


def _read_config(folder: Path) -> dict[str, Any]:
    path = _existing(folder, CONFIG)
    try:
        config = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    _check_fields(path, config)
    if "former" in config:
        _check_fields(path, config["former"])
    return config


def _check_fields(path: Path, config: Any) -> None:
    fields = config if isinstance(config, dict) else {}
    wrong = [name for name, cls in _FIELDS.items() if not isinstance(fields.get(name), cls)]
    if wrong:
        raise ValueError(f"{path} was not written by save_pretrained: it has no {', '.join(wrong)}")
    if config["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {config['format']}, this version of graphmask reads {FORMAT}"
        )


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is absent: `folder` must be written by save_pretrained")
    return path
