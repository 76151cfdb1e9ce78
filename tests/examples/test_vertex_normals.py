"""The model does not see hidden normals, and its score is that of hidden normals alone."""

import pytest
import torch
from torch_geometric.data import Batch


def load(normals, folder):
    options = normals.parse(["--smoke", "--out", str(folder)])
    options.blobs = 2
    return normals.load(options)


def test_hidden_normals_are_hidden_and_rotations_keep_angles(example, tmp_path):
    turned, still = load(example("vertex_normals"), tmp_path)
    for data, same in ((still[0], True), (turned[0], False)):
        assert data.hidden.any()
        assert not data.x[data.hidden].any()
        assert torch.equal(data.x[data.known, :3], data.normal[data.known])
        assert data.x[data.known, 3].all()
        assert torch.equal(data.normal, still[0].normal) == same
        cosine, expected = (normal @ normal.T for normal in (data.normal, still[0].normal))
        torch.testing.assert_close(cosine, expected, atol=1e-5, rtol=0)
        assert (data.edge_weight > 0).all()
        assert (data.edge_weight <= 1).all()


def test_scores_are_of_hidden_normals_alone(example, tmp_path):
    normals = example("vertex_normals")
    batch = Batch.from_data_list(list(load(normals, tmp_path)[1]))

    class Oracle(torch.nn.Module):
        """Right where normals are hidden, wrong elsewhere."""

        def forward(self, x, topology):
            return torch.where(batch.hidden.unsqueeze(1), batch.normal, -batch.normal)

    loss = normals.OneMinusCosine()
    task = normals.Normals(Oracle(), loss, normals.CosineSimilarity(reduction="mean"), None)
    predicted, target = task.predict(batch, "test")
    assert len(target) == int(batch.hidden.sum())
    assert float(loss(predicted, target)) == pytest.approx(0, abs=1e-6)
    assert float(loss(-predicted, target)) == pytest.approx(2, abs=1e-6)
