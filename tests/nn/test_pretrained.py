from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cases
import models
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric import nn as pyg

import graphmask as gm
from graphmask import _atomic, features, masks
from graphmask.config import ConfigError, from_config, to_config
from graphmask.nn import PretrainedMixin, TopologicalTransformer
from graphmask.testing import example_topologies, global_rng_untouched

safetensors = pytest.importorskip("safetensors")
pytest.importorskip("safetensors.torch")


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


@pytest.mark.parametrize("case", cases.VALUES, ids=str)
def test_value_maps_are_read_from_their_config(case: cases.ValueCase) -> None:
    original = case.make()
    copied = through_json(original)
    assert (type(copied), repr(copied)) == (type(original), repr(original))
    assert_close(copied.state_dict(), original.state_dict(), rtol=0, atol=0)


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
    "support-max": lambda: {"conv": gm.nn.SupportMax(4, 4, hops=(1, 2), root_weight=False)},
    "relative": lambda: {"values": gm.values.RelativeValues()},
    "pool": lambda: {"pool": pyg.global_mean_pool, "dropout": 0.25},
    "learned-aggregation": lambda: {"pool": pyg.PowerMeanAggregation(learn=True)},
    "sort-aggregation": lambda: {"pool": pyg.SortAggregation(k=1)},
    "attention-aggregation": lambda: {"pool": pyg.AttentionalAggregation(nn.Linear(4, 1))},
    "mlp": lambda: {"conv": pyg.GINConv(pyg.MLP([4, 8, 4]))},
    "mlp-options": lambda: {
        "conv": pyg.GINConv(
            pyg.MLP(
                [4, 8, 4],
                norm="batch_norm",
                norm_kwargs={"eps": 1e-3},
                act="leaky_relu",
                act_kwargs={"negative_slope": 0.3},
                bias=[True, False],
                plain_last=False,
            )
        )
    },
    "mlp-without-norm": lambda: {"conv": pyg.EdgeConv(pyg.MLP([8, 4, 4], norm=None, dropout=0.5))},
    "gen": lambda: {"conv": pyg.GENConv(4, 4, "powermean", learn_p=True, norm="layer")},
    "learned-sage": lambda: {"conv": pyg.SAGEConv(4, 4, aggr=pyg.SoftmaxAggregation(learn=True))},
    "unbiased": lambda: {"conv": pyg.TransformerConv(4, 4, heads=2, concat=False, bias=False)},
    "chebyshev": lambda: {"conv": pyg.ChebConv(4, 4, K=2)},
    "several-aggregations": lambda: {"conv": pyg.SAGEConv(4, 4, aggr=["mean", "max"])},
    "gate": lambda: {"pool": pyg.AttentionalAggregation(pyg.MLP([4, 1]))},
    "quantile": lambda: {"pool": pyg.QuantileAggregation(0.3)},
    "lstm": lambda: {"jk": "lstm"},
    "max": lambda: {"jk": pyg.JumpingKnowledge("max")},
    "random features": lambda: {"feature_map": gm.features.PositiveRandomFeatures(2, 8, seed=7)},
    "learned features": lambda: {"feature_map": gm.features.LearnedFeatures(2, 4)},
    "sum": lambda: {"mask": cases.base.parameter(0.1, 0.2) * masks.GlobalMask() + kernel_mask()},
    "kernel": lambda: {"mask": kernel_mask()},
    "masks": lambda: {"mask": [kernel_mask(), masks.GlobalMask()], "jk": "sum"},
    "no first mask": lambda: {
        "mask": [None, masks.GlobalMask()],
        "conv": pyg.SAGEConv(4, 4),
        "normalizer": gm.normalizers.RMSNormalizer(2),
    },
    "skip": lambda: {"skip": nn.Linear(4, 4, bias=False)},
    "output gate": lambda: {"gate": gm.nn.OutputGate(4, 2)},
    "gate of the user": lambda: {"gate": nn.Sequential(nn.Linear(4, 4), nn.SiLU())},
    "before": lambda: {"conv": gm.nn.BeforeAttention(pyg.GATConv(4, 2, heads=2))},
    "on values": lambda: {"conv": gm.nn.OnValues(pyg.GCNConv(4, 4))},
    "context": lambda: {"conv": gm.nn.BeforeAttention(gm.nn.ContextPool(4, hops=2))},
    "multilevel": lambda: {"conv": gm.nn.MultilevelAttention(4, 2, size=3, blocks=2)},
    "lazy on values": lambda: {"conv": gm.nn.OnValues(pyg.SAGEConv(-1, 4))},
    "kernels": lambda: {
        "encoder": gm.nn.SNNKLinear(3, 4, 6, gm.nn.CosineKernel(0.5), True, seed=3),
        "head": gm.nn.SNNKLinear(4, 5, 6),
    },
    "encoder": lambda: {"encoder": pyg.MLP([3, 8, 4], norm="batch_norm")},
    "lazy encoder": lambda: {"in_channels": -1, "encoder": pyg.Linear(-1, 4)},
    "head": lambda: {"pool": pyg.global_add_pool, "head": two_layers(4, 8, 5)},
    "readout": lambda: {"head": gm.nn.Readout(4, 5, ("sum", "std"), (3, 4, 6), 0.1, None)},
    "lazy readout": lambda: {"head": gm.nn.Readout(-1, 5, "max", act="elu"), "jk": "cat"},
    "learned readout": lambda: {"head": gm.nn.Readout(4, 5, pyg.SoftmaxAggregation(learn=True))},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_models_are_read_back(options: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    original = model(**cases.seeded(options))
    cases.seeded(lambda: output(original))
    assert_same(save_and_read(original, tmp_path), original)


@pytest.mark.parametrize("kind", ["for_nodes", "for_graphs"])
def test_models_for_a_kind_of_task_are_read_back(kind: str, tmp_path: Path) -> None:
    make = getattr(TopologicalTransformer, kind)
    original = cases.seeded(lambda: make(3, 4, 5, 2, 2, kernel_mask())).eval()
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


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    mask = masks.WalkMask(hops=np.int64(3), heads=np.int32(2))
    assert json.loads(json.dumps(to_config(mask)))["arguments"] == {"hops": 3, "heads": 2}
    features = gm.features.SquaredReLUScores(np.float32(0.5))
    assert to_config(features)["arguments"] == {"scale": 0.5}


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
    old = TopologicalTransformer.from_pretrained(SAVED)
    x = torch.arange(12.0).view(4, 3) / 10
    with torch.no_grad():
        out = old(x.float(), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
    assert_close(out, torch.tensor([[0.5820460319519043, 3.5458664894104004]]).float())
    assert old.dropout == 0.25


SAVED = Path(__file__).parent / "saved_by_0.1.0"


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


def folder_with(former: str, folder: Path) -> TopologicalTransformer | None:
    """The model that stands in a folder before another is saved."""
    if former == "none":
        return None
    if former == "of this version":
        model(jk="max").save_pretrained(folder)
    else:
        for path in SAVED.iterdir():
            shutil.copy(path, folder)
    return TopologicalTransformer.from_pretrained(folder)


@pytest.mark.parametrize("former", ["none", "of this version", "of 0.1.0"])
def test_a_save_that_stops_leaves_the_former_model_or_the_new_one(
    former: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, states = tmp_path / "model", tmp_path / "states"
    folder.mkdir()
    old, new, replace = folder_with(former, folder), model(), os.replace

    def record() -> None:
        shutil.copytree(folder, states / f"{len(list(states.glob('*')))}")

    def recorded(*paths: Any) -> None:
        record()
        replace(*paths)
        record()

    monkeypatch.setattr(_atomic.os, "replace", recorded)
    new.save_pretrained(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    copies = list(states.iterdir())
    assert len(copies) == (4 if old is None else 6)
    for copy in copies:
        try:
            copied = TopologicalTransformer.from_pretrained(copy)
        except FileNotFoundError:
            assert old is None
        else:
            assert repr(copied) in (repr(old), repr(new))
            expected = new if repr(copied) == repr(new) else old
            assert_close(copied.state_dict(), expected.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("call", range(3))
def test_a_full_disk_leaves_the_former_model_or_the_new_one(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = folder_with("of this version", tmp_path), model()
    calls = iter(range(3))

    def full(descriptor: int) -> None:
        if next(calls) == call:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(_atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        new.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert repr(TopologicalTransformer.from_pretrained(tmp_path)) == repr(new if call > 1 else old)


SAVES = """
import itertools, sys
from graphmask.nn import TopologicalTransformer
models = [TopologicalTransformer.from_pretrained(folder) for folder in sys.argv[1:3]]
print("ready", flush=True)
for model in itertools.cycle(models):
    model.save_pretrained(sys.argv[3])
"""


@pytest.mark.slow
def test_a_killed_save_leaves_a_model(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second", "saved")]
    pair = [model(jk="max"), model()]
    for original, folder in zip(pair, folders, strict=False):
        original.save_pretrained(folder)
    pair[0].save_pretrained(folders[2])
    for wait in range(20):
        command = [sys.executable, "-c", SAVES, *map(str, folders)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(0.05 + 0.007 * wait)
            process.kill()
        copied = TopologicalTransformer.from_pretrained(folders[2])
        assert repr(copied) in map(repr, pair)
    pair[0].save_pretrained(folders[2])
    left = {path.name for path in folders[2].iterdir()}
    assert left == {"config.json", "model.safetensors"}


def test_files_of_two_models_are_refused(tmp_path: Path) -> None:
    first, second = model(), model()
    second.head.bias.data.add_(1.0)
    first.save_pretrained(tmp_path / "first")
    second.save_pretrained(tmp_path / "second")
    for origin in (tmp_path / "first", SAVED):
        shutil.copy(origin / "config.json", tmp_path / "second")
        with pytest.raises(ValueError, match="are not of one model: their fingerprints"):
            TopologicalTransformer.from_pretrained(tmp_path / "second")


def test_the_home_folder_expands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_same(save_and_read(model(), Path("~/saved")), model())
    assert (tmp_path / "saved").is_dir()


UNSUPPORTED: list[tuple[Callable[[], Any], str]] = [
    (lambda: model(mask=CustomMask(2, 2)), r'`mask` .*CustomMask.*leave_out=\["mask"\]'),
    (lambda: model(pool=lambda x, batch, size: x[:1]), "`pool` cannot be written down: .*<lambda>"),
    (
        lambda: model(mask=masks.WalkMask(2, 2, alpha=lambda *sizes: masks.Free(*sizes))),
        "`mask` cannot be written down: .*<lambda>",
    ),
    # It does not keep the degrees.
    (
        lambda: model(pool=pyg.DegreeScalerAggregation("mean", "linear", torch.tensor([0, 2]))),
        "`pool` cannot be written down: .*Aggregation do not hold all of its arguments, as of deg",
    ),
    (
        lambda: model(conv=pyg.PNAConv(8, 8, ["max"], ["linear"], torch.tensor([0, 2]))),
        r'`conv` cannot be written down: .* as of deg; use .*leave_out=\["conv"\]',
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


def changed(path: str, name: str, value: Any) -> TopologicalTransformer:
    module = model(mask=masks.WalkMask(2, 2), num_layers=2)
    setattr(module.get_submodule(path), name, value)
    return module


CHANGED: list[tuple[tuple[str, str, Any], str]] = [
    (("layers.1.attention", "feature_map", features.Softplus()), "a Softplus, and a ReLU by the"),
    (("layers.0.attention.mask", "seed", 7), "seed=7, and seed=0 by the config"),
    (("layers.1.norm.module", "eps", 0.5), "eps=0.5, and eps=1e-05 by the config"),
]


@pytest.mark.parametrize(("change", "message"), CHANGED, ids=["class", "seed", "number"])
def test_blocks_that_were_changed_since_are_not_written(
    change: tuple[str, str, Any], message: str, tmp_path: Path
) -> None:
    module = cases.seeded(lambda: changed(*change))
    with pytest.raises(ValueError, match=f"`layers.* was changed since .*{message}"):
        cases.seeded(lambda: module.save_pretrained(tmp_path))
    assert not list(tmp_path.iterdir())
    # Dropout tells nothing about outputs.
    module = cases.seeded(lambda: changed("layers.0.attention.dropout", "p", 0.5))
    cases.seeded(lambda: module.save_pretrained(tmp_path))


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


def nested(folder: Path) -> None:
    text = json.dumps({"tuple": 0})
    deep = text.replace("0", '{"tuple": [' * 50_000 + "0" + "]}" * 50_000)
    (folder / "config.json").write_text(deep)


def with_weights(folder: Path, change: Callable[[str, Tensor], dict[str, Tensor]]) -> None:
    """Other tensors under the fingerprint of the config."""
    path = folder / "model.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        metadata, names = file.metadata(), list(file.keys())
        tensors = {
            key: x for name in names for key, x in change(name, file.get_tensor(name)).items()
        }
    safetensors.torch.save_file(tensors, path, metadata)


def with_integers(folder: Path) -> None:
    with_weights(folder, lambda name, x: {name: x.long() if name == "encoder.bias" else x})


def with_lazy_weights(folder: Path) -> None:
    with_weights(folder, lambda name, x: {} if name.startswith("encoder") else {name: x})
    with_config(lazy=["encoder.weight", "encoder.bias"])(folder)


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
    (nested, "is damaged: maximum recursion depth"),
    (with_arguments(num_layers=50_000), "more is made than weights of 44 tensors"),
    (with_arguments(hidden_channels=40_000), "more is made than weights of 44 tensors"),
    (with_arguments(out_channels=10**18), "`out_channels` must be at most 65,536"),
    (with_class("graphmask.masks.WalkMask", hops=10**9, heads=2), "`hops` must be at most"),
    (with_integers, "`encoder.bias` must be of dtype torch.float64, got torch.int64"),
    (with_lazy_weights, "does not fit TopologicalTransformer: without .*encoder"),
    (with_arguments(dropout=0.5), "was changed after it was saved"),
    (
        lambda folder: with_weights(
            folder, lambda name, x: {name: x.nextafter(x + 1) if x.is_floating_point() else x}
        ),
        "was changed after it was saved",
    ),
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
