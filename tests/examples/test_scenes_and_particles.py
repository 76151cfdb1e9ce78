"""Errors that the examples on scenes and particles measure, and inputs of their models."""

from argparse import Namespace
from functools import partial

import pytest
import torch
from torch_geometric.data import Batch, Data

import graphmask as gm
from graphmask.datasets import ElasticBody, TerrainScenes


@pytest.fixture
def scenes(example):
    return example("scene_segmentation")


@pytest.fixture
def particles(example):
    return example("particle_dynamics")


def test_the_error_of_scenes_is_averaged_over_scenes(scenes):
    metric = scenes.SceneError(2)
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    metric.update(logits[[0, 0]], torch.tensor([0, 1]))  # one of two is wrong
    metric.update(logits[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]))  # none of four
    assert metric.compute() == 0.25
    # Agreement of 1/2, and 1/2 by chance; full agreement.
    assert torch.cat(list(metric.scenes))[:, 1].tolist() == [0, 1]


def test_scenes_are_scored_one_by_one(scenes):
    data = [Data(num_nodes=2) for _ in range(3)]
    loaders = scenes.SceneLoaders(data, data, data, batch_size=3)
    loaders.trainer = Namespace(lightning_module=torch.nn.Identity())
    assert [len(list(each())) for each in (loaders.val_dataloader, loaders.test_dataloader)] == [
        3,
        3,
    ]


def test_features_of_a_step_in_the_ground(scenes):
    # A line in the plane, two metres up after the third point; the plane alone decides neighbors.
    pos = torch.tensor([[x + 0.01 * x**2, 0.0, 2.0 * (x > 2)] for x in range(6)])
    data = scenes.PlanGraph(k=1)(Data(pos=pos))
    edges = {(i, j) for i, j in data.edge_index.T.tolist() if i < j}
    assert edges == {(i, i + 1) for i in range(5)}
    lowest = scenes.HeightFeatures(scales=2)(data).x[:, [0, 2]].expm1()
    expected = torch.tensor([[0.0, 0], [0, 0], [0, 0], [2, 2], [0, 2], [0, 0]])
    torch.testing.assert_close(lowest, expected)


def test_opened_surfaces_lose_what_is_narrower_than_their_windows(scenes):
    # A slope of 1/2, and on it a house of 5 x 5 metres, which a window of 5 metres covers.
    across, along = torch.meshgrid(torch.arange(30) + 0.5, torch.arange(30) + 0.5, indexing="ij")
    house = (across - 15).abs().lt(3) & (along - 15).abs().lt(3)
    height = across / 2 + 10 * house
    pos = torch.stack([across, along, height], -1).reshape(-1, 3)
    corner = torch.zeros(1, 3)  # where the cells begin
    x = scenes.OpenedHeights(windows=(1, 3))(Data(pos=torch.cat([corner, pos]))).x[1:]
    small, large = x[house.flatten()][:, [0, 2]].expm1().T
    assert small.max() <= 1  # the house is its own ground
    assert large.min() > 8  # the ground is below it
    middle = across.flatten().sub(15).abs().lt(3) & along.flatten().lt(5)
    torch.testing.assert_close(x[middle, 3], torch.full((int(middle.sum()),), 0.5))


def test_surroundings_tell_lines_and_planes_from_volumes(example):
    scans = example("scan_segmentation")
    generator = torch.Generator().manual_seed(0)
    flat, thin = torch.tensor([1.0, 1.0, 1e-3]), torch.tensor([1e-3, 1e-3, 1.0])
    shapes = []
    for extent in (thin, flat, flat.roll(1), torch.ones(3)):
        pos = torch.randn(200, 3, generator=generator) * extent
        data = gm.transforms.KNNGraph(8)(Data(pos=pos, x=torch.ones(200, 1)))
        shapes.append(scans.Surroundings(scales=3)(data).x[:, -5:].median(0).values)
    line, ground, wall, ball = shapes
    assert line.argmax() == 0
    assert ground[:3].argmax() == wall[:3].argmax() == 1
    assert ground[3] > 0.99  # the normal points up
    assert wall[3] < 0.1
    assert ball[2] > 0.4
    assert line[4].abs() < 0.5  # the mean of the surroundings is near


def test_points_without_class_are_no_rows_of_a_forest(example):
    forests, scans = example("forests"), example("scan_segmentation")
    problem = scans.problem(scans.parse(["--smoke"]))
    task, loaders = problem.make("", {"conv": problem.conv}, 0)
    loaders.val.parts[0].y[:7] = -100
    _, (x, y), _ = forests.points(task, loaders)
    assert len(x) == len(y) == sum(part.num_nodes for part in loaders.val.parts) - 7


def test_features_do_not_see_labels(scenes):
    def features(relabel):
        data = TerrainScenes(num_points=300, num_scenes=1)[0]
        data.y = relabel(data.y)
        return scenes.HeightFeatures()(scenes.OpenedHeights()(scenes.PlanGraph()(data)))

    one, other = features(lambda y: y), features(torch.zeros_like)
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.pos, other.pos)


def constant_model(x, topology, value):
    return torch.full((len(x), 6), value)


def test_rollouts_feed_predictions_back(particles):
    """Constant outputs are constant accelerations; zeros are constant velocities."""
    dataset = ElasticBody(layers=2, rows=4, columns=4, num_sequences=1, frames=1, steps=3)
    batch = Batch.from_data_list(list(dataset))
    metric = particles.RolloutError(3)
    for added in (0.0, 1.0):
        model = partial(constant_model, value=added)
        task = particles.Dynamics(model, torch.nn.MSELoss(), metric, None)
        predicted, target = task.predict(batch, "test")
        steps = torch.arange(1, 4).reshape(1, -1, 1)
        moved = dataset.frame * batch.velocity.unsqueeze(1)
        free = (~batch.held).reshape(-1, 1, 1)
        accelerated = free * added * particles.SCALE * steps * (steps + 1) / 2
        straight = batch.pos.unsqueeze(1) + steps * moved
        torch.testing.assert_close(predicted[..., :3], straight + accelerated)
        assert torch.equal(target[..., :3], batch.future_pos)
    error = (predicted[..., :3] - batch.future_pos).square().sum(-1).mean(0)
    metric.update(predicted, target)
    torch.testing.assert_close((metric.total / metric.count).float(), error)
    assert metric.compute() == pytest.approx(error.mean().item(), rel=1e-5)
    forecast = particles.constant_velocity(dataset)
    error = (straight - batch.future_pos).square().sum(-1).mean(0)
    assert forecast == pytest.approx(error.tolist(), rel=1e-5)


def test_the_near_graph_follows_the_particles(particles):
    """Without springs, the graph of the second step is that of the positions after the first."""
    edges = []

    def model(x, topology):
        edges.append(topology.edge_index)
        return torch.randn(len(x), 6, generator=torch.Generator().manual_seed(len(edges)))

    data = ElasticBody(layers=2, rows=4, columns=4, num_sequences=1, frames=1, steps=2)[0]
    task = particles.Dynamics(
        model, torch.nn.MSELoss(), particles.RolloutError(2), None, neighbours=3
    )
    task.predict(Batch.from_data_list([data]), "test")
    assert torch.equal(edges[0], gm.transforms.knn_graph(data.pos, 3))
    assert not torch.equal(edges[1], edges[0])
