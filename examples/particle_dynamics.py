"""Elastic net of 32,768 particles.

Trained on single steps, judged by rollouts of six, beside constant velocity.

    python examples/particle_dynamics.py --seeds 0 1

The net is folded, so that particles lie nearest to others that they are not tied to. ``--graph
near`` takes the springs away: every step then joins each particle to its nearest, as models do that
see positions only. What moves a particle is local, so models are trained on nets of 8,192
particles; ``--train-side 64`` trains on the whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torchmetrics import Metric
from training import Loaders, Task, compare, parser, variants

import graphmask as gm
from graphmask.datasets import ElasticBody

SCALE = 0.15  # of what a frame adds to constant velocity: about its standard deviation
FRAME = ElasticBody.frame


class RolloutError(Metric):
    """Mean squared distance [steps] between predicted and true positions [N, steps, 3], after each step."""

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
    """A model of what a frame adds to motion at constant velocity, applied as often as the batch has frames to come."""

    def __init__(self, *arguments: Any, neighbours: int | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.neighbours = neighbours

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        pos, moved, path = batch.pos, FRAME * batch.velocity, []
        topology = None if self.neighbours else gm.Topology.from_data(batch)
        for _ in range(batch.future_pos.shape[1]):
            pos, moved = self.step(batch, pos, moved, topology)
            path.append(torch.cat([pos, moved], 1))
        return torch.stack(path, 1), torch.cat([batch.future_pos, FRAME * batch.future_velocity], 2)

    def step(
        self, batch: Batch, pos: Tensor, moved: Tensor, topology: gm.Topology | None
    ) -> tuple[Tensor, Tensor]:
        """Positions and displacements per frame, one frame later."""
        if topology is None:
            edge_index = gm.transforms.knn_graph(pos.detach(), self.neighbours, batch.batch)
            topology = gm.Topology(edge_index, len(pos), batch=batch.batch)
        held = batch.held.unsqueeze(1)
        state = torch.cat([(pos - batch.rest) / 0.4, moved / 0.2], 1)  # of the order of one
        pattern, weight = topology.adjacency("rw")
        # What pulls at a particle: how far it is from the mean of those it is joined to, at rest
        # and now.
        pull = state - gm.kernels.spmm(pattern, weight.unsqueeze(0), state.unsqueeze(0))[0]
        x = torch.cat([state, pull / 0.05, held], 1)
        added = SCALE * self.model(x, topology).masked_fill(held, 0)
        return pos + moved + added[:, :3], moved + added[:, 3:]

    def on_test_end(self) -> None:
        errors = self.metrics["test"].total / self.metrics["test"].count
        print("mean squared error by step:", "  ".join(f"{error:.5f}" for error in errors.tolist()))


class ScaledError(nn.MSELoss):
    """The mean squared error in units of SCALE."""

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return super().forward(predicted / SCALE, target / SCALE)


class Share:
    """Writes the walks of the net, the same in all frames, into an example when it is read."""

    def __init__(self, data: Data, sampler: gm.walks.WalkSampler) -> None:
        walked = gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(0))(data.clone())
        self.walks = {
            key: value for key, value in walked.to_dict().items() if key.startswith("walk_")
        }

    def __call__(self, data: Data) -> Data:
        return data.update(self.walks)


def constant_velocity(frames: ElasticBody) -> list[float]:
    """Its error by step."""
    metric, steps = RolloutError(frames.steps), torch.arange(1, frames.steps + 1).reshape(1, -1, 1)
    for data in frames:
        metric.update(
            data.pos.unsqueeze(1) + steps * FRAME * data.velocity.unsqueeze(1), data.future_pos
        )
    return (metric.total / metric.count).tolist()


def main() -> None:
    """Simulate, train and compare."""
    asked = parser(__doc__, batch_size=1, epochs=40, lr=1e-2, channels=32)
    asked.add_argument("--layers-of-net", type=int, default=8)
    asked.add_argument(
        "--side",
        type=int,
        default=64,
        help="rows and columns of each layer of the net, when tested",
    )
    asked.add_argument("--train-side", type=int, default=32, help="the same, when trained")
    asked.add_argument("--sequences", type=int, default=4, help="to train on")
    asked.add_argument("--frames", type=int, default=4, help="of each sequence")
    asked.add_argument("--graph", choices=("springs", "near"), default="springs")
    asked.add_argument("--budget", type=int, default=64, help="entries of the mask per particle")
    options = asked.parse_args()
    if options.smoke:
        (
            options.layers_of_net,
            options.side,
            options.train_side,
            options.sequences,
            options.frames,
        ) = 4, 8, 8, 1, 2
        options.epochs, options.layers, options.channels = 1, 2, 16
    layers, side, train_side = options.layers_of_net, options.side, options.train_side
    train = ElasticBody(
        None, True, layers, train_side, train_side, options.sequences, options.frames
    )
    test = ElasticBody(None, False, layers, side, side, 1 if options.smoke else 2, 2, steps=6)
    forecast = constant_velocity(test)
    print(
        f"trained on {len(train)} frames of {train[0].num_nodes:,} particles, tested on {len(test)} of {test[0].num_nodes:,}"
    )
    sampler = gm.walks.ResampledWalks(options.budget, options.hops)
    if options.graph == "springs":
        train.transform, test.transform = (Share(part[0], sampler) for part in (train, test))
    # Long rollouts that lose the motion end here, which constant velocity does not show.
    still = torch.stack(
        [(data.future_pos - data.rest.unsqueeze(1)).square().sum(-1).mean(0) for data in test]
    ).mean(0)
    print(
        "the net at rest, mean squared error by step:",
        "  ".join(f"{error:.5f}" for error in still.tolist()),
    )
    print(
        "constant velocity, mean squared error by step:",
        "  ".join(f"{error:.5f}" for error in forecast),
    )
    mask = gm.masks.WalkMask(options.hops, options.heads, sampler=sampler)
    choices = variants(options.channels, options.heads, mask)

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[Dynamics, Loaders]:
        model = gm.nn.TopologicalTransformer(
            13, options.channels, 6, options.layers, options.heads, **mixing
        )
        neighbours = 8 if options.graph == "near" else None
        task = Dynamics(
            model, ScaledError(), RolloutError(test.steps), options.lr, neighbours=neighbours
        )
        return task, Loaders(train, None, test, options.batch_size, seed)

    compare(
        "particle_dynamics",
        options,
        make,
        choices,
        score=f"rollout error ({sum(forecast) / 6:.4f} at constant velocity)",
    )


if __name__ == "__main__":
    main()
