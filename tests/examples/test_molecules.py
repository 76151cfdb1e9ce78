"""Missing targets count neither in the loss nor in the score, and generated files can be read."""

import warnings

import pytest
import torch
from torch_geometric.data import Batch, Data


@pytest.fixture
def molecules(example):
    pytest.importorskip("rdkit")
    return example("molecules")


def batch_of(y):
    """Molecules of one atom, whose features the model returns."""
    return Batch.from_data_list(
        [
            Data(x=row[None], y=target[None], edge_index=torch.zeros(2, 0).long())
            for row, target in y
        ]
    )


class Echo(torch.nn.Module):
    def forward(self, x, topology):
        return x


@pytest.fixture
def two_targets():
    nan = float("nan")
    x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, nan], [nan, 20.0]])
    return batch_of(zip(x, y, strict=True))


def test_regression_is_learned_in_units_of_the_deviation(molecules, two_targets):
    scale = (torch.tensor([1.0, 10.0]), torch.tensor([2.0, 5.0]))
    task = molecules.Property(Echo(), molecules.MeanSquaredError(squared=False), scale, 1e-3)
    out, target = task.predict(two_targets, "train")
    assert (out.tolist(), target.tolist()) == ([1, 4], [2, 2])  # (5 - 1) / 2 and (20 - 10) / 5
    assert task.loss(out, target).item() == pytest.approx((1 + 4) / 2)
    out, target = task.predict(two_targets, "val")
    assert (out.tolist(), target.tolist()) == ([3, 30], [5, 20])  # 1 * 2 + 1 and 4 * 5 + 10


def test_missing_classes_are_left_out(molecules):
    nan = float("nan")
    scores = torch.tensor([[0.1, 9.0], [0.9, 0.2], [0.5, 0.8], [5.0, 0.3]])
    classes = torch.tensor([[0, nan], [1, 1], [1, 0], [nan, 1]])
    batch = batch_of(zip(scores, classes, strict=True))
    task = molecules.Property(Echo(), molecules.MultilabelAUROC(2, ignore_index=-1), None, 1e-3)
    out, target = task.predict(batch, "train")
    assert out.shape == target.shape == (6,)
    assert not target.isnan().any()
    metric = task.metrics["val"]
    metric.update(*task.predict(batch, "val"))
    # The first target is ranked perfectly, the second in reverse.
    assert metric.compute().item() == pytest.approx((1 + 0) / 2)


def test_generated_molecules_can_all_be_read(molecules, tmp_path):
    molecules.write_stand_in(tmp_path / "generated.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = molecules.MoleculeCSV(tmp_path / "generated.csv", skip_invalid=False)
    assert len(dataset) == len(molecules.RINGS) * len(molecules.LINKS) * len(molecules.ENDS)


def test_generated_graphs_of_both_classes_are_equal_as_sets_of_nodes(example, tmp_path):
    classification = example("graph_classification")
    classification.write_stand_in(tmp_path, graphs=20)
    dataset = classification.TUText(tmp_path, "STANDIN")
    assert [data.y.item() for data in dataset] == 10 * [0, 1]
    assert all(data.x.sum(0).tolist() == [data.num_nodes - 1, 1] for data in dataset)
    # The marked node has all edges in one class, and one edge in the other.
    degree = [int((data.edge_index[1] == data.x[:, 1].argmax()).sum()) for data in dataset]
    assert all((each == 1) == bool(data.y) for each, data in zip(degree, dataset, strict=True))
    test = torch.cat([dataset.fold(k)[1] for k in range(1, 11)])
    assert sorted(test.tolist()) == list(range(20))
