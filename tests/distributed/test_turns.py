"""Parts that take turns in one process give what one process gives with the whole graph."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_cases import CASES, GRADIENT, WALKS, close, cloud, loss_of, make, of_masks
from torch import Tensor, nn

import graphmask as gm
from graphmask.distributed import Shard, collect, in_turn, shard, sync_batch_norm

pytestmark = pytest.mark.global_rng

# Others run in `make test-full`.
QUICK = [case.name for case in of_masks() if ", " not in case.name]
QUICK += ["parts 2", "GCN beside", "batch norm", "readout", "GPS", "positive features"]
QUICK += ["GIN, batch norm", "GIN of 2, batch norm", "batch norm, parts 4", "batch norm, one node"]


def cases() -> list[Any]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", cases())
def test_losses_and_gradients_are_those_of_the_whole(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    single, data, whole = make(case)
    model = sync_batch_norm(deepcopy(single))
    shard(data, tmp_path, parts=case.parts(data), walks=case.walks)

    def loss(part: Shard) -> Tensor:
        return loss_of(case, model(part.x, part.topology), part.y, part.topology)

    losses = torch.stack(in_turn(tmp_path, loss, case.hops, parts=3))
    expected = loss_of(case, single(data.x, whole), data.y, whole)
    expected.backward()
    close(losses, expected.expand(3), "losses")
    for (key, ours), theirs in zip(model.named_parameters(), single.parameters(), strict=True):
        if theirs.grad is not None:
            assert ours.grad is not None
            close(ours.grad, theirs.grad, f"gradient of {key}", GRADIENT)
    for (key, ours), theirs in zip(model.named_buffers(), single.buffers(), strict=True):
        close(ours.double(), theirs.double(), f"buffer {key}")


def test_chance_is_the_same_when_blocks_are_computed_again(tmp_path: Path) -> None:
    shard(cloud(30, 0), tmp_path, parts=3, walks=WALKS)
    torch.manual_seed(0)
    model = gm.nn.TopologicalTransformer(
        4, 8, 3, 3, 2, gm.masks.WalkMask(3, 2), dropout=0.4, norm=None
    )
    gradients = []
    for recompute in (False, True):
        model.zero_grad()
        torch.manual_seed(1)
        in_turn(tmp_path, lambda part: model(part.x, part.topology).sum(), recompute=recompute)
        gradients.append([x.grad for x in model.parameters() if x.grad is not None])
    for kept, again in zip(*gradients, strict=True):
        close(again, kept, "gradient")


def test_outputs_of_parts_come_back(tmp_path: Path) -> None:
    data = cloud(30, 0)
    shard(data, tmp_path, parts=4)
    layer = gm.nn.TopologicalAttention(4, 2, gm.masks.GlobalMask())

    def infer(part: Shard) -> tuple[Tensor, Tensor]:
        out = layer(part.x, part.topology)
        assert not out.requires_grad
        return out, collect(out, part.topology)

    with torch.no_grad():
        outputs = in_turn(tmp_path, infer)
        expected = layer(data.x, data.edge_index)
    assert sum(len(own) for own, _ in outputs) == 30
    for _, rows in outputs:
        close(rows, expected, "rows")


def test_an_error_of_a_part_ends_all(tmp_path: Path) -> None:
    shard(cloud(30, 0), tmp_path, parts=3)
    layer = gm.nn.TopologicalAttention(4, 2, gm.masks.GlobalMask())
    seen = []

    def fail(part: Shard) -> Tensor:
        seen.append(int(part.nodes[0]))
        if len(seen) == 2:
            raise KeyError("of the second part")
        return layer(part.x, part.topology).sum()

    with pytest.raises(KeyError, match="of the second part"):
        in_turn(tmp_path, fail)
    with pytest.raises(ValueError, match="parts"):
        in_turn(tmp_path, fail, parts=0)
    with pytest.raises(FileNotFoundError):
        in_turn(tmp_path / "nowhere", fail)


@pytest.mark.parametrize("early", [0, 1, 2])
def test_parts_that_ask_for_different_things_are_an_error(tmp_path: Path, early: int) -> None:
    shard(cloud(30, 0), tmp_path, parts=3)
    layer, seen = gm.nn.TopologicalAttention(4, 2, gm.masks.GlobalMask()), []

    def loss(part: Shard) -> Tensor | None:
        seen.append(part)
        return None if len(seen) == early + 1 else layer(part.x, part.topology).sum()

    def skip_mean(part: Shard) -> Tensor:
        seen.append(part)
        is_early = len(seen) == early + 1
        total = layer(part.x, part.topology).sum()
        return total if is_early else gm.distributed.mean(total, 30, part.topology)

    for function in (loss, skip_mean):
        seen.clear()
        with pytest.raises(RuntimeError, match="must call layers and `mean` alike for all parts"):
            in_turn(tmp_path, function)
    with pytest.raises(ValueError, match="`function` must be one of a number"):
        in_turn(tmp_path, lambda part: layer(part.x, part.topology))


def test_autocast_of_the_caller_holds(tmp_path: Path) -> None:
    shard(cloud(30, 0), tmp_path, parts=2)
    layer = gm.nn.TopologicalAttention(4, 2, gm.masks.GlobalMask()).float()

    def infer(part: Shard) -> Any:
        return layer(part.x.float(), part.topology).detach().dtype

    with torch.autocast("cpu", torch.bfloat16):
        assert in_turn(tmp_path, infer) == [torch.bfloat16] * 2
    assert in_turn(tmp_path, infer) == [torch.float32] * 2


def test_blocks_keep_their_inputs_alone(tmp_path: Path) -> None:
    """What a part keeps between turns does not grow with what a block computes."""
    shard(cloud(40, 0), tmp_path, parts=2, walks=WALKS)
    wide = nn.Linear(8, 8)
    kept = []

    def count(tensor: Tensor) -> Tensor:
        kept[-1] += tensor.numel()
        return tensor

    model = gm.nn.TopologicalTransformer(
        4, 8, 3, 3, 2, gm.masks.WalkMask(3, 2), skip=wide, norm=None
    )

    def loss(part: Shard) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
            return model(part.x, part.topology).sum()

    for recompute in (False, True):
        kept.append(0)
        in_turn(tmp_path, loss, recompute=recompute)
    assert kept[1] < kept[0] / 10
