"""Training resumes exactly, and options that cannot work are refused. (CI runs every example with --smoke.)"""

import importlib
import shutil
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def classification(monkeypatch):
    pytest.importorskip("lightning")
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("point_cloud_classification")


@pytest.mark.global_rng
@pytest.mark.usefixtures("single_by_default")
@pytest.mark.filterwarnings("ignore")
def test_resumed_run_ends_with_the_same_weights(classification, tmp_path, monkeypatch):
    arguments = ["--smoke", "--per-class", "2", "--dropout", "0.2", "--out", str(tmp_path)]

    def keep_first_epoch(self):
        if self.current_epoch == 1 and not (tmp_path / "first.ckpt").exists():
            shutil.copy(tmp_path / "whole" / "last.ckpt", tmp_path / "first.ckpt")

    monkeypatch.setattr(classification.Classifier, "on_train_epoch_start", keep_first_epoch)
    whole = classification.parse([*arguments, "--name", "whole"])
    resumed = classification.parse([*arguments, "--name", "resumed", "--resume", str(tmp_path / "first.ckpt")])
    for options in (whole, resumed):
        options.epochs = 3
        classification.run(options)
    ends = [torch.load(tmp_path / name / "last.ckpt", weights_only=False) for name in ("whole", "resumed")]
    assert ends[0]["epoch"] == ends[1]["epoch"] == 2
    for name, weight in ends[0]["state_dict"].items():
        torch.testing.assert_close(ends[1]["state_dict"][name], weight, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    ("arguments", "advice"), [(["--mask", "none"], "--conv"), (["--dataset", "modelnet10"], "--root")], ids=["alone", "no root"]
)
def test_bad_options_are_refused(classification, arguments, advice, capsys):
    with pytest.raises(SystemExit):
        classification.parse(arguments)
    assert advice in capsys.readouterr().err
