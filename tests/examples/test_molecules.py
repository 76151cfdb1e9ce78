"""Missing targets count neither in the loss nor in the score; stand-ins for files can be read."""

import warnings

import pytest
import torch
from torch_geometric.data import Batch, Data

pytest.importorskip("torchmetrics")
pytest.importorskip("rdkit")


def batch_of(x, y):
    """Molecules of one atom, whose features the model returns as they are."""
    edges = torch.zeros(2, 0, dtype=torch.long)
    rows = zip(x.unsqueeze(1), y.unsqueeze(1), strict=True)
    return Batch.from_data_list([Data(x=row, y=target, edge_index=edges) for row, target in rows])


class Echo(torch.nn.Module):
    def forward(self, x, topology):
        return x


def test_regression_is_learned_in_units_of_the_deviation(example):
    molecules, nan = example("molecules"), float("nan")
    x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, nan], [nan, 20.0]])
    two_targets = batch_of(x, y)
    scale = (torch.tensor([1.0, 10.0]), torch.tensor([2.0, 5.0]))
    task = molecules.Property(Echo(), molecules.MeanSquaredError(squared=False), scale, 1e-3)
    out, target = task.predict(two_targets, "train")
    assert (out.tolist(), target.tolist()) == ([1, 4], [2, 2])  # (5 - 1) / 2 and (20 - 10) / 5
    assert task.loss(out, target).item() == pytest.approx((1 + 4) / 2)
    out, target = task.predict(two_targets, "val")
    assert (out.tolist(), target.tolist()) == ([3, 30], [5, 20])  # 1 * 2 + 1 and 4 * 5 + 10


def test_a_batch_without_targets_teaches_nothing(example):
    molecules, nan = example("molecules"), float("nan")
    batch = batch_of(torch.ones(2, 1, requires_grad=True), torch.full((2, 1), nan))
    for scale in (None, (torch.zeros(1), torch.ones(1))):
        task = molecules.Property(Echo(), molecules.BinaryAUROC(), scale, 1e-3)
        assert task.loss(*task.predict(batch, "train")).item() == 0


def test_classes_are_zero_and_one(example):
    check = example("molecules").check_classes
    check(torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]))
    with pytest.raises(ValueError, match="0, 1 or missing, got -1"):
        check(torch.tensor([[0.0], [-1.0]]))


def test_missing_classes_are_left_out(example):
    molecules, nan = example("molecules"), float("nan")
    scores = torch.tensor([[0.1, 9.0], [0.9, 0.2], [0.5, 0.8], [5.0, 0.3]])
    classes = torch.tensor([[0, nan], [1, 1], [1, 0], [nan, 1]])
    batch = batch_of(scores, classes)
    task = molecules.Property(Echo(), molecules.MultilabelAUROC(2, ignore_index=-1), None, 1e-3)
    out, target = task.predict(batch, "train")
    assert out.shape == target.shape == (6,)
    assert not target.isnan().any()
    metric = task.metrics["val"]
    metric.update(*task.predict(batch, "val"))
    alone = batch_of(torch.tensor([[0.4, 0.0]]), torch.tensor([[1.0, nan]]))
    metric.update(*task.predict(alone, "val"))
    # The first class is in order, the second in reverse.
    assert metric.compute().item() == pytest.approx((1 + 0) / 2)


def test_all_synthetic_molecules_can_be_read(example, tmp_path):
    molecules = example("molecules")
    molecules.write_stand_in(tmp_path / "molecules.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = molecules.MoleculeCSV(tmp_path / "molecules.csv", skip_invalid=False)
    assert len(dataset) == len(molecules.RINGS) * len(molecules.LINKS) * len(molecules.ENDS)


def test_synthetic_graphs_of_both_classes_have_the_same_nodes(example, tmp_path):
    classification = example("graph_classification")
    classification.write_stand_in(tmp_path, graphs=20)
    dataset = classification.TUText(tmp_path, "STANDIN")
    assert [data.y.item() for data in dataset] == 10 * [0, 1]
    assert all(data.x.sum(0).tolist() == [data.num_nodes - 1, 1] for data in dataset)
    # The marked node has all edges in one class, and one in the other.
    degree = [int((data.edge_index[1] == data.x[:, 1].argmax()).sum()) for data in dataset]
    assert [count == 1 for count in degree] == [bool(data.y) for data in dataset]
    tested = torch.cat([dataset.fold(k)[1] for k in range(1, 11)])
    assert sorted(tested.tolist()) == list(range(20))
