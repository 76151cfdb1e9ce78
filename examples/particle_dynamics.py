"""Dynamics of a folded elastic net of 32,768 particles: training on one step, rollouts of six.

    python examples/particle_dynamics.py --seeds 0 1

In the folded net, the nearest particles are mostly not joined by springs. ``--graph near`` replaces
the springs by nearest neighbours, recomputed at every step, as in models that see positions only.
Forces are local, so models train on nets of 8,192 particles; ``--train-side 64`` trains on 32,768.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import comparison
import torch
import training
from comparison import Problem
from torch import Tensor, nn
from torch_geometric.data import Batch
from torchmetrics import Metric
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import ElasticBody

SCALE = 0.15  # standard deviation of the change in a frame, relative to constant velocity
FRAME = ElasticBody.frame


class RolloutError(Metric):
    """Mean squared distance [steps] of predicted and true positions [N, steps, 3]."""

    higher_is_better = False
    full_state_update = False

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(steps, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        self.total += (predicted - target)[..., :3].double().square().sum(-1).sum(0)
        self.count += len(predicted)

    def compute(self) -> Tensor:
        return (self.total / self.count).mean()


class Dynamics(Task):
    """Predicts the change relative to constant velocity, for each future frame of the batch."""

    def __init__(self, *arguments: Any, neighbours: int | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.neighbours = neighbours

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        pos, moved, states = batch.pos, FRAME * batch.velocity, []
        topology = None if self.neighbours else gm.Topology.from_data(batch)
        for _ in range(batch.future_pos.shape[1]):
            pos, moved = self.step(batch, pos, moved, topology)
            states.append(torch.cat([pos, moved], 1))
        target = torch.cat([batch.future_pos, FRAME * batch.future_velocity], 2)
        return torch.stack(states, 1), target

    def step(
        self, batch: Batch, pos: Tensor, moved: Tensor, topology: gm.Topology | None
    ) -> tuple[Tensor, Tensor]:
        """Positions and displacements one frame later."""
        if topology is None:
            edge_index = gm.transforms.knn_graph(pos.detach(), self.neighbours, batch.batch)
            topology = gm.Topology(edge_index, len(pos), batch=batch.batch)
        held = batch.held.unsqueeze(1)
        state = torch.cat([(pos - batch.rest) / 0.4, moved / 0.2], 1)  # of order one
        pattern, weight = topology.adjacency("rw")
        # The pull on a particle: its state minus the mean of its neighbours.
        pull = state - gm.kernels.spmm(pattern, weight.unsqueeze(0), state.unsqueeze(0))[0]
        out = self.model(torch.cat([state, pull / 0.05, held], 1), topology)
        change = SCALE * out.masked_fill(held, 0)
        return pos + moved + change[:, :3], moved + change[:, 3:]

    def on_test_end(self) -> None:
        metric = self.metrics["test"]
        errors = (metric.total / metric.count).tolist()
        print("test, mean squared error by step:", *(f"{error:.5f}" for error in errors))


class ScaledError(nn.MSELoss):
    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return super().forward(predicted / SCALE, target / SCALE)


def constant_velocity(frames: ElasticBody) -> list[float]:
    """Errors of the forecast at constant velocity, by step."""
    metric, steps = RolloutError(frames.steps), torch.arange(1, frames.steps + 1).reshape(1, -1, 1)
    for data in frames:
        forecast = data.pos.unsqueeze(1) + steps * FRAME * data.velocity.unsqueeze(1)
        metric.update(forecast, data.future_pos)
    return (metric.total / metric.count).tolist()


def net_at_rest(frames: ElasticBody) -> list[float]:
    """Errors of the net at rest, by step: those of a model that has lost the motion."""
    squares = ((data.future_pos - data.rest.unsqueeze(1)).square().sum(-1) for data in frames)
    return torch.stack([square.mean(0) for square in squares]).mean(0).tolist()


def parse(arguments: list[str] | None = None) -> Options:
    parser = training.make_parser(__doc__, batch_size=1, epochs=40, lr=1e-2, channels=32)
    add = parser.add_argument
    add("--net-layers", type=int, default=8)
    add("--side", type=int, default=64, help="rows and columns of each layer of the test nets")
    add("--train-side", type=int, default=32, help="rows and columns of the training nets")
    add("--sequences", type=int, default=4, help="training sequences")
    add("--frames", type=int, default=4, help="frames of each sequence")
    add("--graph", choices=("springs", "near"), default="springs")
    add("--budget", type=int, default=64, help="entries of the mask per particle")
    tiny = {"net_layers": 4, "side": 8, "train_side": 8, "sequences": 1, "frames": 2}
    return training.parse_options(parser, arguments, epochs=1, layers=2, channels=16, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run, simulated."""
    size = (options.net_layers, options.train_side, options.train_side)
    train = ElasticBody(None, True, *size, options.sequences, options.frames)
    val = ElasticBody(None, True, *size, 1, 2, steps=6, seed=1)
    size = (options.net_layers, options.side, options.side)
    test = ElasticBody(None, False, *size, 1 if options.smoke else 2, 2, steps=6)
    for name, frames in (("training", train), ("validation", val), ("test", test)):
        print(f"{len(frames)} {name} frames of {frames[0].num_nodes:,} particles")
    forecast = constant_velocity(test)
    for name, errors in (("net at rest", net_at_rest(test)), ("constant velocity", forecast)):
        print(f"{name}, mean squared error by step:", *(f"{error:.5f}" for error in errors))
    if options.graph == "springs":
        for frames in (train, val, test):
            draw = training.add_walks(options, options.budget)
            frames.transform = training.SharedWalks(frames[0], draw)

    def make(_: str, arguments: Variant, seed: int) -> tuple[Dynamics, Loaders]:
        model, metric = training.make_model(options, 13, 6, **arguments), RolloutError(test.steps)
        neighbours = 8 if options.graph == "near" else None
        task = Dynamics(model, ScaledError(), metric, options, neighbours=neighbours)
        return task, Loaders(train, val, test, options.batch_size, seed)

    sampler = gm.walks.ResampledWalks(options.budget, options.hops)
    masks = partial(gm.masks.WalkMask, options.hops, options.heads, sampler=sampler)
    conv, rules = comparison.local_mean(options), {"constant velocity": sum(forecast) / 6}
    choices = comparison.variants(masks(), conv)
    return Problem("particle_dynamics", make, choices, masks, conv, "rollout error", rules)


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
