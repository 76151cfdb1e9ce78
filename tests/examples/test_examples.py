"""Training resumes exactly, and wrong options raise. (CI runs every example with --smoke.)"""

import shutil

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = ["--smoke", "--per-class", "2", "--variants", "masked", "--dropout", "0.2"]


def test_resumed_run_ends_with_the_same_weights(example, tmp_path, monkeypatch):
    training, classification = example("training"), example("point_cloud_classification")
    folder, stopped = tmp_path / "out", tmp_path / "stopped"

    def keep_first_epoch(self):
        if self.current_epoch == 1 and not stopped.exists():
            shutil.copytree(folder, stopped)

    def train(*more):
        options = classification.parse([*OPTIONS, "--out", str(folder), *more])
        options.epochs = 3
        score = classification.run(options)[0]["score"]
        checkpoint = folder / "clouds-primitives/masked-0/last.ckpt"
        return score, torch.load(checkpoint, weights_only=False)

    monkeypatch.setattr(training.Task, "on_train_epoch_start", keep_first_epoch)
    score, uninterrupted = train()
    shutil.rmtree(folder)
    shutil.copytree(stopped, folder)
    resumed_score, resumed = train("--resume")
    assert uninterrupted["epoch"] == resumed["epoch"] == 2
    assert score == resumed_score
    for name, weight in uninterrupted["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][name], weight, rtol=0, atol=0, msg=name)


def test_a_stop_leaves_the_former_checkpoint(example, tmp_path, monkeypatch):
    training, path, save = example("training"), tmp_path / "last.ckpt", torch.save
    training.WholeCheckpoints().save_checkpoint({"epoch": 1}, path)

    def stopped(checkpoint, file):
        save(checkpoint, file)
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        training.WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_so_few_clouds_that_none_validates(example, tmp_path):
    classification = example("point_cloud_classification")
    options = [*OPTIONS, "--train-size", "9", "--out", str(tmp_path)]
    rows = classification.run(classification.parse(options))
    assert 0 <= rows[0]["score"] <= 1
    assert (tmp_path / "clouds-primitives/masked-0/last.ckpt").exists()


def test_files_need_a_folder(example, capsys):
    with pytest.raises(SystemExit):
        example("point_cloud_classification").parse(["--dataset", "modelnet10"])
    assert "--root" in capsys.readouterr().err
