"""Cases that processes run together, each compared with what one process does.

All of a case is made from seeds, so that every process makes the same.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data

import graphmask as gm
from graphmask._random import generator_from
from graphmask.distributed._ranks import Processes
from graphmask.masks import (
    AdaptiveWalkMask,
    DegreeMask,
    Diffusion,
    FourierMask,
    GlobalMask,
    HeadwiseMask,
    PowerSeriesMask,
    RegularizedLaplacian,
    RFDMask,
    ShortestPathMask,
    WalkMask,
)

# Of gradients in float64, relative to their largest: some are small sums of large terms.
GRADIENT = 1e-10

HEADS = 2
WALKS = gm.walks.ResampledWalks(12, hops=3)


def cloud(nodes: int, seed: int, far: float = 0.0) -> Data:
    """A directed graph of nearest neighbours, with weights, features of edges and lone nodes."""
    generator = torch.Generator().manual_seed(seed)
    draw = partial(torch.rand, generator=generator)
    pos = draw(nodes, 3) + far
    near = torch.cdist(pos, pos).topk(min(5, nodes), largest=False).indices[:, 1:]
    targets = torch.arange(nodes).repeat_interleave(near.shape[1])
    edge_index = torch.stack([near.flatten(), targets])
    edge_index = edge_index[:, (edge_index != 0).all(0)]
    count = edge_index.shape[1]
    return Data(
        x=draw(nodes, 4) - 0.5,
        y=draw(nodes, 3) - 0.5,
        pos=pos,
        edge_index=edge_index,
        edge_weight=draw(count) + 0.1,
        edge_attr=draw(count, 2),
        num_nodes=nodes,
    )


def one_cloud() -> Data:
    return cloud(41, 0)


def clouds() -> Data:
    """Three graphs in one, the last of them alone on a rank of some partitions."""
    return Batch.from_data_list([cloud(13, 1), cloud(20, 2, far=50.0), cloud(9, 3)])


def split_evenly(data: Data) -> Tensor:
    return torch.arange(data.num_nodes) * 5 // data.num_nodes


def split_at_random(data: Data) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(7, (data.num_nodes,), generator=generator)


def split_to_one(data: Data) -> Tensor:
    """All nodes on the last of up to four ranks."""
    return torch.full((data.num_nodes,), 3)


def split_unevenly(data: Data) -> Tensor:
    """Two nodes on the first rank, none on one of three, the others on the last."""
    part = torch.full((data.num_nodes,), 2)
    part[[4, 11]] = 0
    return part


@dataclass(frozen=True)
class Case:
    """A model on a graph."""

    name: str
    model: Callable[[], nn.Module]
    data: Callable[[], Data] = one_cloud
    parts: Callable[[Data], Any] = split_at_random
    hops: int = 1
    walks: Any = WALKS
    graphs: bool = False

    def __str__(self) -> str:
        return self.name


def transformer(mask: Any, layers: int = 2, **options: Any) -> nn.Module:
    options = {"norm": None, **options}
    return gm.nn.TopologicalTransformer(4, 8, 3, layers, HEADS, mask(), **options)


def of_masks() -> list[Case]:
    positive, signed = partial(WalkMask, 3, HEADS, alpha=Diffusion), partial(WalkMask, 3, HEADS)
    series = partial(PowerSeriesMask, heads=HEADS)
    masks: dict[str, tuple[Callable[[], Any], int]] = {
        "walks": (signed, 0),
        "ones": (GlobalMask, 0),
        "ones + walks": (lambda: 0.1 * GlobalMask() + positive(), 0),
        "ones + signed walks": (lambda: 0.1 * GlobalMask() + signed(), 0),
        "series of 1": (partial(series, 1), 1),
        "series of 3": (partial(series, 3, alpha=RegularizedLaplacian), 3),
        "series of 2, rw": (partial(series, 2, normalization="rw"), 2),
        "series of 2, edges": (partial(series, 2, edge_dim=2), 2),
        "shortest paths": (partial(ShortestPathMask, 2, HEADS), 2),
        "degrees": (partial(DegreeMask, HEADS), 0),
        "Fourier": (partial(FourierMask, HEADS, num_features=3), 0),
        "Fourier, many": (partial(FourierMask, HEADS, num_features=20), 0),
        "RFD": (partial(RFDMask, 3, 0.5, HEADS), 0),
        "Fourier * walks": (lambda: FourierMask(HEADS, num_features=3) * positive(), 0),
        "degrees * series": (lambda: DegreeMask(HEADS) * series(2), 2),
        "adaptive walks": (partial(AdaptiveWalkMask, 8, 3, HEADS), 0),
        "adaptive walks of keys": (partial(AdaptiveWalkMask, 8, 3, HEADS, of_keys=True), 0),
        "heads": (lambda: HeadwiseMask([WalkMask(3), GlobalMask()]), 0),
    }
    cases = [
        Case(name, partial(transformer, mask), hops=hops) for name, (mask, hops) in masks.items()
    ]
    batched = ("walks", "ones", "ones + signed walks", "series of 3", "degrees", "Fourier", "RFD")
    return cases + [
        Case(f"{name}, batch", partial(transformer, mask), clouds, split_evenly, hops)
        for name, (mask, hops) in masks.items()
        if name in batched
    ]


def of_partitions() -> list[Case]:
    model = partial(transformer, lambda: 0.1 * GlobalMask() + WalkMask(3, HEADS, alpha=Diffusion))
    convolved = partial(model, conv=pyg.GCNConv(8, 8))
    parts = (split_evenly, split_to_one, split_unevenly, lambda data: 5, lambda data: 1)
    cases = [Case(f"parts {number}", convolved, parts=each) for number, each in enumerate(parts)]
    cases.append(Case("no halo", convolved, clouds, lambda data: data.batch))
    normed = partial(convolved, norm="batch_norm")
    cases.append(Case("batch norm, parts 4", normed, parts=lambda data: 1))
    cases.append(Case("batch norm, one node", normed, partial(cloud, 1, 0), lambda data: 1))
    return [*cases, Case("one node", model, partial(cloud, 1, 0), lambda data: 1)]


def of_layers() -> list[Case]:
    walks = partial(WalkMask, 3, HEADS)
    features = gm.features.PositiveRandomFeatures
    models: dict[str, tuple[Callable[[], nn.Module], int]] = {
        "GCN beside": (partial(transformer, walks, conv=pyg.GCNConv(8, 8)), 1),
        "GraphSAGE of 2": (partial(transformer, walks, conv=pyg.GraphSAGE(8, 8, 2)), 2),
        "GINE": (
            partial(transformer, walks, conv=pyg.GINEConv(nn.Linear(8, 8), edge_dim=2)),
            1,
        ),
        "GIN, batch norm": (
            partial(transformer, walks, conv=pyg.GINConv(pyg.MLP([8, 8, 8]))),
            1,
        ),
        "GIN of 2, batch norm": (
            partial(transformer, walks, conv=pyg.GIN(8, 8, 2, norm="batch_norm")),
            2,
        ),
        "GAT before": (
            partial(transformer, walks, conv=gm.nn.BeforeAttention(pyg.GATConv(8, 8))),
            1,
        ),
        "GCN on values": (partial(transformer, walks, conv=gm.nn.OnValues(pyg.GCNConv(8, 8))), 1),
        "support maximum": (partial(transformer, walks, conv=gm.nn.SupportMax(8, 8)), 1),
        "positive features": (partial(transformer, GlobalMask, feature_map=features(4, 6)), 0),
        "softmax scores": (partial(transformer, walks, feature_map=gm.features.SoftmaxScores()), 0),
        "unnormalized": (
            partial(transformer, walks, normalizer=gm.normalizers.Unnormalized()),
            0,
        ),
        "degree scaled": (
            partial(transformer, GlobalMask, normalizer=gm.normalizers.DegreeScaled(HEADS)),
            0,
        ),
        "rotary": (partial(transformer, walks, values=gm.values.RotaryValues(HEADS, 4)), 0),
        "batch norm": (partial(transformer, walks, norm="batch_norm"), 0),
        "gated unit": (lambda: gm.nn.GatedAttentionUnit(4, WalkMask(3)), 0),
        "context pool": (lambda: gm.nn.ContextPool(4, hops=3), 0),
        "GPS": (lambda: gm.nn.TopologicalGPS(4, pyg.GCNConv(4, 4), 2, mask=walks()), 1),
    }
    cases = [Case(name, model, hops=hops) for name, (model, hops) in models.items()]
    pools = {
        "sum": pyg.global_add_pool,
        "mean": pyg.global_mean_pool,
        "maximum": pyg.global_max_pool,
        "several": pyg.aggr.MultiAggregation(["mean", "max", "min"], mode="cat"),
    }
    cases += [
        Case(f"{name} pool", partial(transformer, walks, pool=pool, head=head), clouds, graphs=True)
        for name, pool in pools.items()
        for head in [nn.Linear(24, 3) if name == "several" else nn.Linear(8, 3)]
    ]
    readout = partial(gm.nn.TopologicalTransformer.for_graphs, 4, 8, 3, 2, HEADS)
    return [*cases, Case("readout", lambda: readout(walks()), clouds, graphs=True)]


CASES = {case.name: case for case in [*of_masks(), *of_partitions(), *of_layers()]}


def make(case: Case, seed: int = 0) -> tuple[nn.Module, Data, gm.Topology]:
    """The model, its data and the whole topology."""
    torch.manual_seed(seed)
    model = case.model().double().train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    data = case.data()
    topology = gm.Topology.from_data(data)
    if case.walks is not None:
        topology = topology.with_walks(case.walks(topology, generator_from(0, 0)))
    return model, data, topology


def loss_of(case: Case, out: Tensor, y: Tensor, topology: gm.Topology) -> Tensor:
    if case.graphs:
        return out.square().mean() + out.sum()
    return gm.distributed.mean((out * y[:, :1]).sum() + out.square().sum(), len(out), topology)


def open_case(case: Case, data: Data, folder: Path) -> gm.distributed.Shard:
    if dist.get_rank() == 0:
        parts = case.parts(data)
        gm.distributed.shard(data, folder, parts=parts, walks=case.walks, log=False)
    dist.barrier()
    return gm.distributed.open_shard(folder, case.hops)


def check(case: Case, folder: Path) -> None:
    """Outputs and gradients of all ranks are those of one process."""
    model, data, whole = make(case)
    shard = open_case(case, data, folder)
    single = deepcopy(model)
    x = data.x.clone().requires_grad_()
    expected = single(x, whole)
    loss_of(case, expected, data.y, whole).backward()

    part: Any = shard.topology.part
    assert case.name != "no halo" or not sum(part.halo.receive)
    model = gm.distributed.sync_batch_norm(model)
    own = shard.x.clone().requires_grad_()
    out = model(own, shard.topology)
    loss = loss_of(case, out, shard.y, shard.topology)
    loss.backward()

    ranks, gradients = Processes(), mean_gradients(model, single)
    rows = expected if case.graphs else expected[shard.nodes]
    close(out, rows, f"{case}: output")
    close(own.grad / ranks.size, x.grad[shard.nodes], f"{case}: gradient of x", GRADIENT)
    for name, ours, theirs in gradients:
        close(ours, theirs, f"{case}: gradient of {name}", GRADIENT)
    for (name, ours), theirs in zip(model.named_buffers(), single.buffers(), strict=True):
        close(ours.double(), theirs.double(), f"{case}: buffer {name}")


def train(case: Case, folder: Path) -> None:
    """Three steps of ``DistributedDataParallel`` lead to the weights of one process."""
    model, data, whole = make(case)
    shard = open_case(case, data, folder)
    single = deepcopy(model)
    model = gm.distributed.sync_batch_norm(model)
    both: list[tuple[nn.Module, Tensor, Tensor, gm.Topology]] = [
        (single, data.x, data.y, whole),
        (DistributedDataParallel(model), shard.x, shard.y, shard.topology),
    ]
    losses: list[list[float]] = [[], []]
    for place, (each, x, y, topology) in enumerate(both):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.02, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            loss = loss_of(case, each(x, topology), y, topology)
            loss.backward()
            optimizer.step()
            losses[place].append(loss.item())
    close(torch.tensor(losses[1]), torch.tensor(losses[0]), f"{case}: losses", 1e-9)
    for ours, theirs in zip(model.parameters(), single.parameters(), strict=True):
        close(ours, theirs, f"{case}: weights", 1e-9)


def close(got: Tensor, expected: Tensor, name: str, tolerance: float = 1e-12) -> None:
    """Compare relative to the largest number; empty tensors are equal."""
    assert got.shape == expected.shape, f"{name}: {got.shape} for {expected.shape}"
    if expected.numel():
        got, expected = got.detach(), expected.detach()
        size = float(expected.abs().max()) + 1e-3
        error = float((got - expected).abs().max()) / size
        assert error <= tolerance, f"{name}: error {error:.1e}"


Run = tuple[Callable[[Case, Path], None], str]


def run_cases(folder: Path, runs: Sequence[Run]) -> dict[str, str]:
    """Errors by case."""
    errors = {}
    for place, (function, name) in enumerate(runs):
        try:
            function(CASES[name], folder / str(place))
        except Exception:
            errors[name] = traceback.format_exc()
    return errors


def check_refusals(case: Case, folder: Path) -> None:
    """What differs or fails on one rank is an error on all, and what follows works."""
    model, data, _ = make(case)
    shard, rank = open_case(case, data, folder), dist.get_rank()
    with pytest.raises(ValueError, match="`folder, hops, recompute` must be the same on all ranks"):
        gm.distributed.open_shard(folder, hops=rank)

    batched = transformer(GlobalMask, norm="batch_norm").double()
    with pytest.raises(
        ValueError, match=r"model = graphmask\.distributed\.sync_batch_norm\(model\)"
    ):
        batched(shard.x, shard.topology)
    still = transformer(GlobalMask, skip=nn.BatchNorm1d(8, track_running_stats=False)).double()
    with pytest.raises(ValueError, match=r"sync_batch_norm\(model\)"):
        still.eval()(shard.x, shard.topology)
    alone = [dist.new_group([other]) for other in range(dist.get_world_size())][rank]
    batched = gm.distributed.sync_batch_norm(batched, alone)
    with pytest.raises(ValueError, match=r"over the group of open_shard: sync_batch_norm\(model"):
        batched(shard.x, shard.topology)
    single, x = shard.x.float(), shard.x
    others = [
        (deepcopy(model).train(rank == 0), x),
        (transformer(GlobalMask, 2 + rank).double(), x),
        (model, single if rank else x),
        (model, x[:, 1:] if rank else x),
    ]
    for other, given in others:
        with pytest.raises(ValueError, match="`model` must be the same on all ranks"):
            other(given, shard.topology)
    last = folder / f"part-{len(list(folder.glob('part-*'))) - 1:06d}.safetensors"
    dist.barrier()
    if rank == 0:
        content = last.read_bytes()
        last.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    dist.barrier()
    error = ValueError if rank == dist.get_world_size() - 1 else RuntimeError
    with pytest.raises(error, match=f"{last.name} is damaged"):
        gm.distributed.open_shard(folder)
    assert model(shard.x, shard.topology).isfinite().all()


def check_bytes(case: Case, folder: Path) -> None:
    """A block sends C numbers of each copy and gets as many back; a sum is its state."""
    model, data, _ = make(case)
    shard = open_case(case, data, folder)
    part: Any = shard.topology.part
    blocks, channels, size = 2, 8, 8
    with gm.distributed.count_traffic() as traffic:
        out = model(shard.x, shard.topology)
    sent, received = sum(part.halo.send), sum(part.halo.receive)
    totals = Processes().sum(torch.tensor([sent, received]))
    assert totals[0] == totals[1] > 0
    width = channels // HEADS
    state = HEADS * width * (width + 1)
    assert traffic.exchanged == blocks * sent * channels * size
    assert traffic.reduced == blocks * state * size
    with gm.distributed.count_traffic() as traffic:
        out.sum().backward()
    assert traffic.exchanged == blocks * received * channels * size
    assert traffic.reduced == blocks * state * size


def die(folder: Path, when: str) -> dict[str, Any]:
    """One of two ranks is killed, or hangs; what the other says, and after how many seconds."""
    model, data, _ = make(CASES["ones + walks"])
    if dist.get_rank() == 0:
        gm.distributed.shard(data, folder / "graph", parts=4, walks=WALKS, log=False)
    dist.barrier()
    group = dist.new_group(timeout=timedelta(seconds=3))
    shard = gm.distributed.open_shard(folder / "graph", group=group)
    model(shard.x, shard.topology).sum().backward()
    if dist.get_rank() == 1:
        if when == "refuses its input":
            model(shard.x[:1], shard.topology)
        if when == "hangs":
            time.sleep(12)
            return {}
        fail = partial(os.kill, os.getpid(), signal.SIGKILL)
        if when == "is killed before a step":
            fail()
        out = model(shard.x, shard.topology)
        out.register_hook(lambda _: fail())
        out.sum().backward()
    start = time.monotonic()
    try:
        model(shard.x, shard.topology).sum().backward()
    except RuntimeError as error:
        return {"error": str(error), "seconds": time.monotonic() - start}
    return {"error": "nothing"}


def check_single(case: Case, folder: Path) -> None:
    """In float32, several processes round no more than one does, in the median over models."""
    shard = open_case(case, case.data(), folder)
    errors: list[list[tuple[float, ...]]] = [[], []]
    for seed in range(5):
        model, data, whole = make(case, seed)
        truth = results_of(case, deepcopy(model), data, whole, 1)
        ours = gm.distributed.sync_batch_norm(deepcopy(model)).float()
        one = results_of(case, model.float(), data, whole, 1)
        many = results_of(case, ours, shard, shard.topology, Processes().size)
        for found, results in zip(errors, (one, many), strict=True):
            pairs = zip(results, truth, strict=True)
            found.append(
                tuple(float((a - b).abs().max() / (b.abs().max() + 1e-9)) for a, b in pairs)
            )
    medians = (torch.tensor(each).median(0).values.tolist() for each in errors)
    for name, one, many in zip(("output", "gradient of x", "gradients"), *medians, strict=True):
        assert many <= max(2 * one, 1e-6), f"{case}, {name}: error {many:.1e}, of one {one:.1e}"


def results_of(
    case: Case, model: nn.Module, data: Any, topology: gm.Topology, ranks: int
) -> list[Tensor]:
    """The output, the gradient of x and those of parameters in one vector, of the whole graph."""
    dtype = next(model.parameters()).dtype
    x = data.x.to(dtype, copy=True).requires_grad_()
    out = model(x, topology)
    loss_of(case, out, data.y.to(dtype), topology).backward()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    vector = torch.cat([grad.flatten() for grad in grads])
    if ranks > 1:
        vector = Processes().sum(vector) / ranks
    rows = out if case.graphs else gm.distributed.collect(out, topology)
    grad = gm.distributed.collect(x.grad / ranks, topology)
    return [each.detach().double() for each in (rows, grad, vector)]


def check_half(case: Case, folder: Path) -> None:
    """Half precision gives what it gives in one process, to its rounding."""
    model, data, whole = make(case)
    model, x, y = model.float(), data.x.float(), data.y.float()
    shard = open_case(case, data, folder)
    for cast, autocast in ((torch.float32, True), (torch.bfloat16, False)):
        single = deepcopy(model).to(cast)
        ours = gm.distributed.sync_batch_norm(deepcopy(model)).to(cast)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            expected = single(x.to(cast), whole)
            out = ours(shard.x.to(cast), shard.topology)
        assert out.dtype == expected.dtype
        loss_of(case, expected.float(), y, whole).backward()
        loss_of(case, out.float(), shard.y.float(), shard.topology).backward()
        gradients = mean_gradients(ours, single)
        close(out.float(), expected[shard.nodes].float(), f"{case}: output", 0.03)
        for name, mine, theirs in gradients:
            close(mine.float(), theirs.float(), f"{case}: gradient of {name}", 0.15)


def check_compiled(case: Case, folder: Path) -> None:
    """A compiled model gives what the model gives, forward and backward."""
    model, data, _ = make(case)
    model = gm.distributed.sync_batch_norm(model)
    shard = open_case(case, data, folder)
    torch.compiler.reset()
    compiled = deepcopy(model)
    runs = (model, model), (compiled, torch.compile(compiled, backend="aot_eager"))
    for _, run in runs:
        out = run(shard.x, shard.topology)
        loss_of(case, out, shard.y, shard.topology).backward()
    gradients, expected = mean_gradients(compiled, model), model(shard.x, shard.topology)
    close(out, expected, f"{case}: output")
    for name, ours, theirs in gradients:
        close(ours, theirs, f"{case}: gradient of {name}", GRADIENT)


def check_mesh(case: Case, folder: Path) -> None:
    """Two graphs, each on half of the processes, give the gradients of a batch of both."""
    mesh = init_device_mesh(
        "cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("data", "graph")
    )
    group, place = mesh.get_group("graph"), mesh.get_local_rank("data")
    model, *_ = make(case)
    graphs, losses = [cloud(41, 0), cloud(30, 1)], []
    single = deepcopy(model)
    for data in graphs:
        whole = gm.Topology.from_data(data)
        whole = whole.with_walks(WALKS(whole, generator_from(0, 0)))
        losses.append(loss_of(case, single(data.x, whole), data.y, whole))
    (sum(losses) / 2).backward()
    own = folder / f"graph {place}"
    if mesh.get_local_rank("graph") == 0:
        gm.distributed.shard(graphs[place], own, parts=3, walks=WALKS, log=False)
    dist.barrier()
    shard = gm.distributed.open_shard(own, case.hops, group=group)
    ours = gm.distributed.sync_batch_norm(model, group)
    wrapped = DistributedDataParallel(ours)
    loss = loss_of(case, wrapped(shard.x, shard.topology), shard.y, shard.topology)
    loss.backward()
    close(loss, losses[place], f"{case}: loss")
    for (name, mine), theirs in zip(ours.named_parameters(), single.parameters(), strict=True):
        if theirs.grad is not None:
            close(mine.grad, theirs.grad, f"{case}: gradient of {name}", GRADIENT)


def mean_gradients(model: nn.Module, other: nn.Module) -> list[tuple[str, Tensor, Tensor]]:
    """Gradients of all parameters, the mean over ranks, of two models.

    All ranks exchange them before any compares, so that a difference ends no exchange.
    """
    ranks, out = Processes(), []
    for (name, mine), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        both = [torch.zeros_like(x) if x.grad is None else x.grad for x in (mine, theirs)]
        first, second = (ranks.sum(grad) / ranks.size for grad in both)
        out.append((name, first, second))
    return out
