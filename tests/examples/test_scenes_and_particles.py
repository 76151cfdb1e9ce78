"""Metrics and inputs of the examples on scenes and particles."""

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


def test_features_of_a_step_in_the_ground(scenes):
    # A line with a step of two metres after the third point; neighbours in the plane.
    pos = torch.tensor([[x, 0.0, 2.0 * (x > 2)] for x in range(6)])
    data = scenes.PlanGraph(k=1)(
        Data(pos=pos + torch.tensor([0.01, 0, 0]) * torch.arange(6).unsqueeze(1) ** 2)
    )
    assert {(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)} == {
        (i, j) for i, j in data.edge_index.T.tolist() if i < j
    }
    lowest = scenes.HeightFeatures(scales=2)(data).x[:, [0, 2]].expm1()
    torch.testing.assert_close(
        lowest, torch.tensor([[0.0, 0], [0, 0], [0, 0], [2, 2], [0, 2], [0, 0]])
    )


def test_features_do_not_see_labels(scenes):
    def features(relabel):
        data = TerrainScenes(num_points=300, num_scenes=1)[0]
        data.y = relabel(data.y)
        return scenes.HeightFeatures()(scenes.PlanGraph()(data))

    one, other = features(lambda y: y), features(torch.zeros_like)
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.pos, other.pos)


def test_rollouts_feed_predictions_back(particles):
    """A model without output moves at constant velocity, one of constant output accelerates."""
    dataset = ElasticBody(layers=2, rows=4, columns=4, num_sequences=1, frames=1, steps=3)
    batch = Batch.from_data_list(list(dataset))
    metric = particles.RolloutError(3)
    for out in (0.0, 1.0):

        def model(x, _, out=out):
            return torch.full((len(x), 6), out)

        task = particles.Dynamics(model, torch.nn.MSELoss(), metric)
        predicted, target = task.predict(batch, "test")
        steps = torch.arange(1, 4).reshape(1, -1, 1)
        moved = dataset.frame * batch.velocity.unsqueeze(1)
        free = (~batch.held).reshape(-1, 1, 1)
        acceleration = free * out * particles.SCALE * steps * (steps + 1) / 2
        straight = batch.pos.unsqueeze(1) + steps * moved
        torch.testing.assert_close(predicted[..., :3], straight + acceleration)
        assert torch.equal(target[..., :3], batch.future_pos)
    expected = (predicted[..., :3] - batch.future_pos).square().sum(-1).mean(0)
    metric.update(predicted, target)
    torch.testing.assert_close((metric.total / metric.count).float(), expected)
    assert metric.compute() == pytest.approx(expected.mean().item(), rel=1e-5)
    forecast = (straight - batch.future_pos).square().sum(-1).mean(0).tolist()
    assert particles.constant_velocity(dataset) == pytest.approx(forecast, rel=1e-5)


def test_the_near_graph_follows_the_particles(particles):
    """Without springs, the graph of the second step is that of the predicted positions."""
    graphs = []

    def model(x, topology):
        graphs.append(topology.edge_index)
        return torch.randn(len(x), 6, generator=torch.Generator().manual_seed(len(graphs)))

    data = ElasticBody(layers=2, rows=4, columns=4, num_sequences=1, frames=1, steps=2)[0]
    task = particles.Dynamics(model, torch.nn.MSELoss(), particles.RolloutError(2), neighbours=3)
    task.predict(Batch.from_data_list([data]), "test")
    assert torch.equal(graphs[0], gm.transforms.knn_graph(data.pos, 3))
    assert not torch.equal(graphs[1], graphs[0])
