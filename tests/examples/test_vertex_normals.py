"""The model never reads hidden normals, and is scored on these alone."""

import pytest
import torch
from torch_geometric.data import Batch


@pytest.mark.global_rng
def test_hidden_normals_are_zero_and_rotations_keep_angles(example, tmp_path):
    normals = example("vertex_normals")
    options = normals.parse(["--smoke", "--out", str(tmp_path)])
    options.blobs = 2
    rotated, fixed = normals.load(options)
    for data, same in ((fixed[0], True), (rotated[0], False)):
        assert data.hidden.any()
        assert not data.x[data.hidden].any()
        assert torch.equal(data.x[data.known, :3], data.normal[data.known])
        assert data.x[data.known, 3].all()
        assert torch.equal(data.normal, fixed[0].normal) == same
        angles, expected = (each.normal @ each.normal.T for each in (data, fixed[0]))
        torch.testing.assert_close(angles, expected, atol=1e-5, rtol=0)
        assert (data.edge_weight > 0).all()
        assert (data.edge_weight <= 1).all()


@pytest.mark.global_rng
def test_scores_are_of_hidden_normals_alone(example, tmp_path):
    normals = example("vertex_normals")
    options = normals.parse(["--smoke", "--out", str(tmp_path)])
    options.blobs = 2
    batch = Batch.from_data_list(list(normals.load(options)[1]))

    class Oracle(torch.nn.Module):
        """Correct where normals are hidden, wrong elsewhere."""

        def forward(self, x, topology):
            return torch.where(batch.hidden.unsqueeze(1), batch.normal, -batch.normal)

    loss = normals.OneMinusCosine()
    task = normals.Normals(Oracle(), loss, normals.CosineSimilarity(reduction="mean"))
    predicted, target = task.predict(batch, "test")
    assert len(target) == int(batch.hidden.sum())
    assert float(loss(predicted, target)) == pytest.approx(0, abs=1e-6)
    assert float(loss(-predicted, target)) == pytest.approx(2, abs=1e-6)
