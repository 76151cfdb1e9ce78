from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cases
import models
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric import nn as pyg

import graphmask as gm
from graphmask import masks
from graphmask.config import ConfigError, from_config, to_config
from graphmask.nn import PretrainedMixin, TopologicalTransformer
from graphmask.testing import example_topologies, global_rng_untouched

pytest.importorskip("safetensors")


def model(in_channels: int = 3, **options: Any) -> TopologicalTransformer:
    mask = masks.WalkMask(2, 2, sampler=cases.random_walks(2))
    return models.model(in_channels, **{"mask": mask, **options}).eval()


def output(module: nn.Module) -> Tensor:
    return module(models.features(13, 3), example_topologies()["weighted"])


def save_and_read(module: Any, folder: Path) -> Any:
    with global_rng_untouched():
        module.save_pretrained(folder)
        return type(module).from_pretrained(folder)


def assert_same(module: nn.Module, expected: nn.Module) -> None:
    assert_close(output(module), output(expected), rtol=0, atol=0)
    assert repr(module) == repr(expected)


def through_json(value: Any) -> Any:
    return from_config(json.loads(json.dumps(to_config(value))))


@pytest.mark.parametrize("case", [*cases.MASKS, *cases.FEATURES, *cases.SAMPLERS], ids=str)
def test_objects_are_read_from_their_config(case: cases.Case) -> None:
    original = cases.seeded(case.make)
    if case.name == "kronecker-factors":  # its arguments are graphs
        with pytest.raises(ConfigError, match="Topology has no config"):
            to_config(original)
        return
    copied = cases.seeded(lambda: through_json(original))
    assert (type(copied), repr(copied)) == (type(original), repr(original))
    if isinstance(original, nn.Module):
        copied.load_state_dict(original.state_dict())
    topology = next(reversed(case.topologies().values()))
    if isinstance(original, masks.TopologicalMask):
        topology = original.prepare(topology)

    def result(value: Any) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        if isinstance(value, masks.TopologicalMask):
            return value(topology).to_dense()
        if isinstance(value, gm.walks.WalkSampler):
            return value(topology, generator).to_dense()
        return value.queries(torch.randn(7, 2, 5, generator=generator))

    assert_close(result(copied), result(original), rtol=0, atol=0)


def two_layers(*sizes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(*sizes[:2]), nn.LeakyReLU(0.3), nn.Linear(*sizes[1:]))


def kernel_mask() -> masks.WalkMask:
    return masks.WalkMask(2, 2, partial(masks.RegularizedLaplacian, scale=2.0))


OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "gcn": lambda: {"conv": pyg.GCNConv(4, 4, normalize=False, bias=False, aggr="max")},
    "lazy-sage": lambda: {"conv": pyg.SAGEConv(-1, 4, aggr="mean", project=False)},
    "gat": lambda: {"conv": pyg.GATv2Conv(4, 2, heads=2, negative_slope=0.1, residual=True)},
    "gin": lambda: {"conv": pyg.GINConv(two_layers(4, 8, 4), eps=0.5, train_eps=True)},
    "transformer": lambda: {"conv": pyg.TransformerConv(4, 2, heads=2, beta=True)},
    "edge": lambda: {"conv": pyg.EdgeConv(two_layers(8, 4, 4), aggr="mean")},
    "convolution-alone": lambda: {"mask": None, "conv": pyg.GraphConv(4, 4)},
    "pool": lambda: {"pool": pyg.global_mean_pool, "dropout": 0.25},
    "learned-aggregation": lambda: {"pool": pyg.PowerMeanAggregation(learn=True)},
    "sort-aggregation": lambda: {"pool": pyg.SortAggregation(k=1)},
    "attention-aggregation": lambda: {"pool": pyg.AttentionalAggregation(nn.Linear(4, 1))},
    "lstm": lambda: {"jk": "lstm"},
    "max": lambda: {"jk": pyg.JumpingKnowledge("max")},
    "random features": lambda: {"feature_map": gm.features.PositiveRandomFeatures(2, 8, seed=7)},
    "learned features": lambda: {"feature_map": gm.features.LearnedFeatures(2, 4)},
    "sum": lambda: {"mask": cases.base.parameter(0.1, 0.2) * masks.GlobalMask() + kernel_mask()},
    "kernel": lambda: {"mask": kernel_mask()},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_models_are_read_back(options: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    original = model(**cases.seeded(options))
    cases.seeded(lambda: output(original))
    assert_same(save_and_read(original, tmp_path), original)


def test_projections_that_were_drawn_are_read_back(tmp_path: Path) -> None:
    original = model(feature_map=gm.features.PositiveRandomFeatures(2, 8))
    original.layers[0].attention.feature_map.redraw(torch.Generator().manual_seed(5))
    assert_same(save_and_read(original, tmp_path), original)


def test_parameters_keep_their_dtype_and_are_aligned(tmp_path: Path) -> None:
    """Products of unaligned tensors may be rounded differently."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        parameters = list(save_and_read(model().to(dtype), tmp_path).parameters())
        assert {parameter.dtype for parameter in parameters} == {dtype}
        assert {parameter.data_ptr() % 64 for parameter in parameters} == {0}


def test_tied_parameters_stay_tied(tmp_path: Path) -> None:
    original = model()
    original.layers[1].attention.qkv.weight = original.layers[0].attention.qkv.weight
    copied = save_and_read(original, tmp_path)
    assert copied.layers[1].attention.qkv.weight is copied.layers[0].attention.qkv.weight
    assert len(list(copied.parameters())) == len(list(original.parameters()))
    assert_same(copied, original)


def test_lazy_models_stay_lazy_until_their_first_input(tmp_path: Path) -> None:
    original = model(-1, mask=masks.PowerSeriesMask(2, 2, edge_dim=-1))
    copied, edge_attr = save_and_read(original, tmp_path), torch.ones(4, 2)
    assert copied.in_channels == -1
    x = models.features(3, 6)
    assert cases.seeded(lambda: copied(x, models.PATH, edge_attr=edge_attr)).shape == (3, 5)
    copied = save_and_read(copied, tmp_path)
    assert copied.in_channels == 6


def test_a_model_that_was_read_can_be_trained_and_saved_again(tmp_path: Path) -> None:
    copied = save_and_read(model(jk="lstm"), tmp_path / "first")
    assert not copied.training
    output(copied.train()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())
    assert_same(save_and_read(copied.eval(), tmp_path / "second"), copied)


def test_the_config_is_readable(tmp_path: Path) -> None:
    conv = cases.seeded(lambda: pyg.GCNConv(4, 4))
    model(pool=pyg.global_mean_pool, conv=conv).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["class"] == "graphmask.nn.TopologicalTransformer"
    arguments = config["arguments"]
    assert arguments["hidden_channels"] == 4
    assert arguments["pool"] == {"function": "torch_geometric.nn.global_mean_pool"}
    assert arguments["mask"]["class"] == "graphmask.masks.WalkMask"
    assert arguments["conv"]["class"] == "torch_geometric.nn.GCNConv"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_models_saved_by_an_earlier_version_are_read() -> None:
    old = TopologicalTransformer.from_pretrained(Path(__file__).parent / "saved_by_0.1.0")
    x = torch.arange(12.0).view(4, 3) / 10
    with torch.no_grad():
        out = old(x.float(), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
    assert_close(out, torch.tensor([[0.5820460319519043, 3.5458664894104004]]).float())
    assert old.dropout == 0.25


class CustomMask(masks.PowerSeriesMask):
    """A mask that is not of this library."""


def test_arguments_without_a_config_are_left_out_and_passed_again(tmp_path: Path) -> None:
    original = model(mask=CustomMask(2, 2))
    original.save_pretrained(tmp_path, leave_out=["mask"])
    read = partial(TopologicalTransformer.from_pretrained, tmp_path)
    with pytest.raises(ValueError, match=r"`mask` must be given, .* without: mask \(CustomMask\)"):
        read()
    assert_same(read(mask=CustomMask(2, 2)), original)
    assert read(mask=CustomMask(2, 2), dropout=0.5).dropout == 0.5
    with pytest.raises(ValueError, match=r"(?s)make a TopologicalTransformer.*size mismatch"):
        read(mask=CustomMask(3, 2))
    with pytest.raises(ValueError, match="`leave_out` must be of the arguments"):
        original.save_pretrained(tmp_path, leave_out="masks")


class WrongSize(PretrainedMixin, nn.Module):
    """Its attribute is not the argument of its constructor."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.linear = size + 1, nn.Linear(size, 1)


class WithoutSize(PretrainedMixin, nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()


UNSUPPORTED: list[tuple[Callable[[], Any], str]] = [
    (lambda: model(mask=CustomMask(2, 2)), r'`mask` .*CustomMask.*leave_out=\["mask"\]'),
    (lambda: model(pool=lambda x, batch, size: x[:1]), "`pool` cannot be written down: .*<lambda>"),
    (
        lambda: model(mask=masks.WalkMask(2, 2, alpha=lambda *sizes: masks.Free(*sizes))),
        "`mask` cannot be written down: .*<lambda>",
    ),
    # Its normalization is not the default, and it does not keep the name.
    (
        lambda: model(conv=pyg.GINConv(pyg.MLP([4, 8, 4], norm=None))),
        "`conv` cannot be written down: the attributes of this .*MLP do not hold",
    ),
    (lambda: WrongSize(3), r"(?s)does not make a WrongSize: .*size mismatch"),
    (lambda: WithoutSize(3), r"`arguments` must be overridden by WithoutSize, got .*\['size'\]"),
]


@pytest.mark.parametrize(("make", "message"), UNSUPPORTED)
def test_models_that_could_not_be_read_back_are_not_written(
    make: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    module = cases.seeded(make)
    with pytest.raises(ValueError, match=message), torch.random.fork_rng(devices=[]):
        module.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def with_config(**changes: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return write


def with_arguments(**changes: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        arguments = json.loads((folder / "config.json").read_text())["arguments"]
        with_config(arguments=arguments | changes)(folder)

    return write


def with_class(name: str, **arguments: Any) -> Callable[[Path], object]:
    return with_arguments(mask={"class": name, "arguments": arguments})


def truncated(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "config.json").unlink(), "config.json is absent: `folder`"),
    (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is absent"),
    (truncated("config.json"), "config.json is damaged"),
    (truncated("model.safetensors"), "model.safetensors is damaged"),
    (lambda folder: (folder / "config.json").write_text("[]"), "not written by save_pretrained"),
    (with_config(tied=None), "not written by save_pretrained: it has no tied"),
    (with_config(format=2), "has format 2, this version of graphmask reads 1"),
    (with_config(**{"class": "other.Net"}), "`folder` must be written by .*written by other.Net"),
    (with_arguments(num_layers=3), "does not fit TopologicalTransformer: without .*layers.2"),
    (with_arguments(num_layers=1), "does not fit TopologicalTransformer: .*layers.1.* has not"),
    (with_arguments(hidden_channels=8), "(?s)make a TopologicalTransformer: .*size mismatch"),
    (with_arguments(depth=1), "does not make a TopologicalTransformer: .*depth"),
    (with_class("os.system"), "'os.system' is no public class"),
    (with_class("torch_geometric.nn.Sequential", input_args="x: print()"), "is no public class"),
    (with_class("torch.nn.Module.mro"), "is no public class"),
    (with_arguments(pool={"function": "torch_geometric.nn.summary"}), "does not make"),
    (with_arguments(mask={"call": "eval"}), "a config starts with one of class, type"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_wrong_or_damaged_folders_raise(
    damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    model().save_pretrained(tmp_path)
    damage(tmp_path)
    error = FileNotFoundError if "absent" in message else ValueError
    with pytest.raises(error, match=message):
        TopologicalTransformer.from_pretrained(tmp_path)


def test_without_safetensors_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r'pip install "graphmask\[pretrained\]"'):
        model().save_pretrained(tmp_path)
