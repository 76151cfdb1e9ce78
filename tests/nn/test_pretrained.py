from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cases
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

MADE = (*cases.MASKS, *cases.FEATURES)
PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def model(in_channels: int = 3, **options: Any) -> TopologicalTransformer:
    options = {"mask": masks.WalkMask(2, 2, sampler=cases.random_walks(2)), **options}
    return cases.seeded(
        lambda: TopologicalTransformer(in_channels, 4, 5, num_layers=2, heads=2, **options)
    ).eval()


def output(made: nn.Module, **given: Any) -> Tensor:
    x = torch.randn(13, 3, generator=torch.Generator().manual_seed(0))
    return made(x, example_topologies()["weighted"], **given)


def reread(made: Any, folder: Path, **given: Any) -> Any:
    with global_rng_untouched():
        made.save_pretrained(folder)
        return type(made).from_pretrained(folder, **given)


def assert_same(found: nn.Module, expected: nn.Module) -> None:
    assert_close(output(found), output(expected), rtol=0, atol=0)
    assert repr(found) == repr(expected)


def through_json(value: Any) -> Any:
    return from_config(json.loads(json.dumps(to_config(value))))


# Its arguments are graphs.
WITHOUT_CONFIG = "kronecker-factors"


def test_graphs_have_no_config() -> None:
    (case,) = (case for case in cases.MASKS if case.name == WITHOUT_CONFIG)
    with pytest.raises(ConfigError, match="Topology has no config"):
        to_config(case.make())


@pytest.mark.parametrize("case", [case for case in MADE if case.name != WITHOUT_CONFIG], ids=str)
def test_every_mask_and_feature_map_is_made_again(case: cases.Case) -> None:
    made = cases.seeded(case.make)
    again = cases.seeded(lambda: through_json(made))
    assert (type(again), repr(again)) == (type(made), repr(made))
    again.load_state_dict(made.state_dict())
    if isinstance(made, masks.TopologicalMask):
        topology = made.prepare(next(reversed(case.topologies().values())))
        assert_close(again(topology).to_dense(), made(topology).to_dense(), rtol=0, atol=0)
    else:
        x = torch.randn(7, 2, 5, generator=torch.Generator().manual_seed(0))
        assert_close(again.queries(x), made.queries(x), rtol=0, atol=0)


@pytest.mark.parametrize("case", cases.SAMPLERS, ids=str)
def test_every_sampler_is_made_again(case: cases.Case) -> None:
    made, topology = case.make(), example_topologies()["weighted"]
    draws = [
        each(topology, torch.Generator().manual_seed(0)).to_dense()
        for each in (made, through_json(made))
    ]
    assert_close(*draws, rtol=0, atol=0)


CONVS: dict[str, Callable[[], nn.Module]] = {
    "gcn": lambda: pyg.GCNConv(4, 4, normalize=False, bias=False),
    "gcn-max": lambda: pyg.GCNConv(4, 4, aggr="max"),
    "lazy": lambda: pyg.SAGEConv(-1, 4, aggr="mean", project=False),
    "gat": lambda: pyg.GATv2Conv(
        4, 2, heads=2, negative_slope=0.1, residual=True, add_self_loops=False
    ),
    "gin": lambda: pyg.GINConv(
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)), eps=0.5, train_eps=True
    ),
    "transformer": lambda: pyg.TransformerConv(4, 2, heads=2, beta=True),
    "edge": lambda: pyg.EdgeConv(nn.Sequential(nn.Linear(8, 4), nn.LeakyReLU(0.3)), aggr="mean"),
}


@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
def test_models_with_convolutions(conv: Callable[[], nn.Module], tmp_path: Path) -> None:
    made = model(conv=cases.seeded(conv))
    cases.seeded(lambda: output(made))
    assert_same(reread(made, tmp_path), made)


POOLS: dict[str, Callable[[], Any]] = {
    "mean": lambda: pyg.global_mean_pool,
    "add": lambda: pyg.global_add_pool,
    "aggregation": lambda: pyg.PowerMeanAggregation(learn=True),
    "sort": lambda: pyg.SortAggregation(k=1),
    "attention": lambda: pyg.AttentionalAggregation(nn.Linear(4, 1)),
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_models_with_pools(pool: Callable[[], Any], tmp_path: Path) -> None:
    made = model(pool=cases.seeded(pool))
    assert_same(reread(made, tmp_path), made)


OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "cat": lambda: {"jk": "cat"},
    "lstm": lambda: {"jk": "lstm"},
    "max": lambda: {"jk": pyg.JumpingKnowledge("max")},
    "dropout": lambda: {"dropout": 0.25},
    "random features": lambda: {"feature_map": gm.features.PositiveRandomFeatures(2, 8, seed=7)},
    "learned features": lambda: {"feature_map": gm.features.LearnedFeatures(2, 4)},
    "sum": lambda: {
        "mask": cases.base.parameter(0.1, 0.2) * masks.GlobalMask()
        + masks.PowerSeriesMask(2, 2, masks.Diffusion)
    },
    "kernel": lambda: {
        "mask": masks.WalkMask(2, 2, partial(masks.RegularizedLaplacian, scale=2.0))
    },
    "local": lambda: {"mask": None, "conv": pyg.GraphConv(4, 4)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_models_with_options(options: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    made = model(**cases.seeded(options))
    assert_same(reread(made, tmp_path), made)


def test_the_projections_drawn_are_those_read(tmp_path: Path) -> None:
    made = model(feature_map=gm.features.PositiveRandomFeatures(2, 8))
    made.layers[0].attention.feature_map.redraw(torch.Generator().manual_seed(5))
    assert_same(reread(made, tmp_path), made)


@pytest.mark.parametrize(
    "kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_the_type_of_the_parameters_is_kept(kind: torch.dtype, tmp_path: Path) -> None:
    found = reread(model().to(kind), tmp_path)
    assert {each.dtype for each in found.parameters()} == {kind}


def test_parameters_lie_as_torch_lays_them(tmp_path: Path) -> None:
    """Products of numbers at other addresses may be rounded differently."""
    assert {each.data_ptr() % 64 for each in reread(model().float(), tmp_path).parameters()} == {0}


def test_tied_parameters_stay_tied(tmp_path: Path) -> None:
    made = model()
    made.layers[1].attention.qkv.weight = made.layers[0].attention.qkv.weight
    found = reread(made, tmp_path)
    assert found.layers[1].attention.qkv.weight is found.layers[0].attention.qkv.weight
    assert len(list(found.parameters())) == len(list(made.parameters()))
    assert_same(found, made)


class TestLazy:
    def test_what_waits_for_its_input_goes_on_waiting(self, tmp_path: Path) -> None:
        found = reread(model(-1, mask=masks.PowerSeriesMask(2, 2, edge_dim=-1)), tmp_path)
        assert found.in_channels == -1
        x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng(devices=[]):
            assert found(x, PATH, edge_attr=torch.ones(4, 2)).shape == (3, 5)

    def test_what_has_seen_its_input_does_not(self, tmp_path: Path) -> None:
        made = model(-1)
        with torch.random.fork_rng(devices=[]):
            output(made)
        found = reread(made, tmp_path)
        assert found.in_channels == 3
        assert_same(found, made)


def test_the_model_read_can_be_trained_reset_and_written_again(tmp_path: Path) -> None:
    found = reread(model(jk="lstm"), tmp_path / "first")
    assert not found.training
    output(found.train()).square().sum().backward()
    assert all(each.grad is not None for each in found.parameters())
    assert_same(reread(found.eval(), tmp_path / "second"), found)


def test_the_config_is_readable(tmp_path: Path) -> None:
    model(pool=pyg.global_mean_pool, conv=cases.seeded(lambda: pyg.GCNConv(4, 4))).save_pretrained(
        tmp_path
    )
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["class"] == "graphmask.nn.TopologicalTransformer"
    arguments = config["arguments"]
    assert (arguments["hidden_channels"], arguments["pool"]) == (
        4,
        {"function": "torch_geometric.nn.global_mean_pool"},
    )
    assert arguments["mask"]["class"] == "graphmask.masks.WalkMask"
    assert arguments["conv"]["class"] == "torch_geometric.nn.GCNConv"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_models_saved_by_an_earlier_version_are_read() -> None:
    found = TopologicalTransformer.from_pretrained(Path(__file__).parent / "saved_by_0.1.0")
    x = torch.arange(12.0).view(4, 3) / 10
    with torch.no_grad():
        out = found(x.float(), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
    assert_close(out, torch.tensor([[0.5820460319519043, 3.5458664894104004]]).float())
    assert found.dropout == 0.25


class OwnMask(masks.PowerSeriesMask):
    """A mask that this library does not know."""


class TestLeftOut:
    def test_what_has_no_description_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r'`mask` cannot be written down: .*OwnMask.*leave_out=\["mask"\]'
        ):
            model(mask=OwnMask(2, 2)).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"`pool` cannot be written down: .*<lambda>"):
            model(pool=lambda x, batch, size: x[:1]).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"`mask` cannot be written down: .*<lambda>"):
            model(
                mask=masks.WalkMask(2, 2, alpha=lambda hops, heads: masks.Free(hops, heads))
            ).save_pretrained(tmp_path)
        assert not list(tmp_path.iterdir())

    def test_and_given_again(self, tmp_path: Path) -> None:
        made = model(mask=OwnMask(2, 2))
        made.save_pretrained(tmp_path, leave_out=["mask"])
        with pytest.raises(
            ValueError,
            match=r"`mask` must be given, since .* was written without: mask \(OwnMask\)",
        ):
            TopologicalTransformer.from_pretrained(tmp_path)
        assert_same(TopologicalTransformer.from_pretrained(tmp_path, mask=OwnMask(2, 2)), made)
        with pytest.raises(
            ValueError, match=r"(?s)does not make a TopologicalTransformer.*size mismatch"
        ):
            TopologicalTransformer.from_pretrained(tmp_path, mask=OwnMask(3, 2))
        with pytest.raises(ValueError, match="`leave_out` must be of the arguments"):
            made.save_pretrained(tmp_path, leave_out="masks")

    def test_any_argument_may_be_given(self, tmp_path: Path) -> None:
        model().save_pretrained(tmp_path)
        assert TopologicalTransformer.from_pretrained(tmp_path, dropout=0.5).dropout == 0.5

    def test_modules_that_do_not_tell_how_they_were_made(self, tmp_path: Path) -> None:
        """A normalisation that is not the default, and of which an MLP keeps no name."""
        conv = cases.seeded(lambda: pyg.GINConv(pyg.MLP([4, 8, 4], norm=None)))
        with pytest.raises(
            ValueError,
            match=r"`conv` cannot be written down: the attributes of this .*MLP do not hold",
        ):
            model(conv=conv).save_pretrained(tmp_path)


class Wrong(PretrainedMixin, nn.Module):
    """Tells another size than it has."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.linear = size + 1, nn.Linear(size, 1)


class Forgetful(PretrainedMixin, nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"(?s)does not make a Wrong: .*size mismatch"),
        torch.random.fork_rng(devices=[]),
    ):
        Wrong(3).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"`arguments` must be overridden by Forgetful, got .*\['size'\]"
    ):
        Forgetful(3).save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def changed(**changes: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return write


def of_arguments(**changes: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["arguments"] |= changes
        (folder / "config.json").write_text(json.dumps(config))

    return write


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])


DAMAGE: list[tuple[Callable[[Path], object], type[Exception], str]] = [
    (
        lambda folder: (folder / "config.json").unlink(),
        FileNotFoundError,
        "config.json is absent: `folder`",
    ),
    (
        lambda folder: (folder / "model.safetensors").unlink(),
        FileNotFoundError,
        "model.safetensors is absent",
    ),
    (cut("config.json"), ValueError, "config.json is damaged"),
    (cut("model.safetensors"), ValueError, "model.safetensors is damaged"),
    (
        lambda folder: (folder / "config.json").write_text("[]"),
        ValueError,
        "not written by save_pretrained",
    ),
    (changed(tied=None), ValueError, "not written by save_pretrained: it has no tied"),
    (changed(format=2), ValueError, "has format 2, this version of graphmask reads 1"),
    (
        changed(**{"class": "elsewhere.Net"}),
        ValueError,
        r"`folder` must be written by graphmask.*written by elsewhere.Net",
    ),
    (
        of_arguments(num_layers=3),
        ValueError,
        "does not fit TopologicalTransformer: without .*layers.2",
    ),
    (
        of_arguments(num_layers=1),
        ValueError,
        "does not fit TopologicalTransformer: .*layers.1.* that it has not",
    ),
    (
        of_arguments(hidden_channels=8),
        ValueError,
        "(?s)does not make a TopologicalTransformer: .*size mismatch",
    ),
    (of_arguments(depth=1), ValueError, "does not make a TopologicalTransformer: .*depth"),
    (
        of_arguments(mask={"class": "os.system", "arguments": {}}),
        ValueError,
        "'os.system' is no public class",
    ),
    (
        of_arguments(
            conv={
                "class": "torch_geometric.nn.Sequential",
                "arguments": {"input_args": "x: print()", "modules": []},
            }
        ),
        ValueError,
        "'torch_geometric.nn.Sequential' is no public class",
    ),
    (
        of_arguments(mask={"class": "torch.nn.Module.mro", "arguments": {}}),
        ValueError,
        "is no public class",
    ),
    (
        of_arguments(mask={"class": "torch.nn.functional", "arguments": {}}),
        ValueError,
        "is no public class",
    ),
    (of_arguments(pool={"function": "torch_geometric.nn.summary"}), ValueError, "does not make"),
    (
        of_arguments(mask={"call": "eval"}),
        ValueError,
        "a config starts with one of class, type",
    ),
    (of_arguments(mask={}), ValueError, "a config starts with one of"),
]


@pytest.mark.parametrize(("damage", "error", "expected"), DAMAGE)
def test_a_wrong_or_damaged_folder(
    damage: Callable[[Path], object], error: type[Exception], expected: str, tmp_path: Path
) -> None:
    model().save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=expected):
        TopologicalTransformer.from_pretrained(tmp_path)


def test_without_safetensors_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r'pip install "graphmask\[pretrained\]"'):
        model().save_pretrained(tmp_path)
