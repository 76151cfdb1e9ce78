"""Training resumes exactly, and wrong options raise. (CI runs every example with --smoke.)"""

import shutil
from argparse import Namespace

import pytest
import torch
from torch_geometric.data import Data

L = pytest.importorskip("lightning")
BoringModel = pytest.importorskip("lightning.pytorch.demos.boring_classes").BoringModel

pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = ["--smoke", "--per-class", "2", "--variants", "masked", "--dropout", "0.2"]


RECIPES = {
    "default": [],
    "averaged": ["--ema", "0.9", "--schedule", "cosine", "--patience", "9"],
    "drawn": ["--draws", "2", "--votes", "2", "--schedule", "constant"],
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("default", "drawn")]


@pytest.mark.parametrize("recipe", ["averaged", *SLOW])
def test_resumed_run_ends_with_the_same_weights(recipe, example, tmp_path, monkeypatch):
    training, classification = example("training"), example("point_cloud_classification")
    folder, stopped = tmp_path / "out", tmp_path / "stopped"

    def keep_first_epoch(self):
        if self.current_epoch == 1 and not stopped.exists():
            shutil.copytree(folder, stopped)

    def train(*more):
        options = classification.parse([*OPTIONS, *RECIPES[recipe], "--out", str(folder), *more])
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


@pytest.mark.parametrize(("scores", "kept"), [((0.5, 0.5, 0.25), 1), ((0.25, 0.5, 0.25), 1)])
def test_the_best_epoch_is_kept_and_of_equal_ones_the_last(scores, kept, example, tmp_path):
    best = example("training").Best(tmp_path, "best", "val", mode="max")

    class Scored(BoringModel):
        def validation_step(self, *_):
            self.log("val", scores[self.current_epoch])

    options = {"limit_train_batches": 1, "limit_val_batches": 1, "logger": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = L.Trainer(max_epochs=3, num_sanity_val_steps=0, callbacks=[best], **options, **quiet)
    trainer.fit(Scored())
    assert torch.load(best.best_model_path, weights_only=False)["epoch"] == kept


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_rates_rise_and_fall_to_zero(schedule, example):
    optimization = example("optimization")
    options = Namespace(lr=0.5, weight_decay=0.1, schedule=schedule, warm_up=0.2)
    model = torch.nn.Linear(2, 2)
    optimizer = optimization.make_optimizer(model, options)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0]
    scheduler, rates = optimization.make_schedule(optimizer, options, 50), []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(rates) < 50 else None
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.5)
    assert 8 <= top <= 10
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert rates[-1] < 0.005


def test_no_rate_is_above_the_largest(example):
    optimization = example("optimization")
    options = Namespace(schedule="cosine", warm_up=0.25)
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.5)
    (rate,) = optimization.make_schedule(optimizer, options, 10).lr_lambdas
    assert [rate(step) for step in range(3)] == [0.4, 0.8, 1.0]


def test_averaged_weights_forget_where_they_started(example):
    average = example("optimization").MovingAverage(0.98)._kwargs["multi_avg_fn"]
    weight = torch.tensor([1.0])
    for step in range(1, 40):
        average([weight], [torch.tensor([0.0])], torch.tensor(step))
    # The product of (1 + n) / (10 + n): after 40 steps of .98 alone 45 % would be left.
    assert weight.item() < 1e-4


def test_dropout_by_bits_drops_and_scales(example):
    optimization = example("optimization")
    block = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Dropout(0.3)), torch.nn.Dropout(0.0))
    model = optimization.use_bit_dropout(block)
    assert {type(each) for each in (model[0][0], model[1])} == {optimization.BitDropout}
    x = torch.ones(401, 501, requires_grad=True)
    torch.manual_seed(0)
    out = model(x)
    out.sum().backward()
    assert torch.equal(out, x.grad)
    kept = out != 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.7), rtol=1e-4, atol=0)
    assert abs(kept.double().mean() - 0.7) < 4 * (0.3 * 0.7 / x.numel()) ** 0.5
    torch.manual_seed(0)
    assert torch.equal(model(x), out)
    assert model.eval()(x) is x


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


def test_a_short_run_validates_its_last_epoch(example, tmp_path):
    classification = example("point_cloud_classification")
    options = ["--smoke", "--variants", "local", "--validate-every", "9", "--out", str(tmp_path)]
    rows = classification.run(classification.parse(options))
    assert (rows[0]["epoch"], 0 <= rows[0]["validation"] <= 1) == (2, True)


def test_patience_counts_epochs(example):
    make = example("optimization").make_callbacks
    (stopping,) = make(Namespace(ema=0, patience=10, validate_every=4), "max")
    assert stopping.patience == 3  # validations


def test_files_need_a_folder(example, capsys):
    with pytest.raises(SystemExit):
        example("point_cloud_classification").parse(["--dataset", "modelnet10"])
    assert "--root" in capsys.readouterr().err


def test_rules_follow_the_graph_and_space(example):
    cables = example("tangled_cables")
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    pos = torch.tensor([[0.0], [1.0], [2.0], [3.0], [2.4], [2.6]])
    # Point 4 ends the chain of the first click, 0, and lies beside the second, 5, which is alone.
    x = torch.zeros(6, 2)
    x[0, 0] = x[5, 1] = 1
    scene = Data(x=x, pos=pos, edge_index=torch.cat([edge_index, edge_index.flip(0)], 1))
    assert cables.nearest_along_graph(scene).tolist() == [0, 0, 0, 0, 0, 1]
    assert cables.nearest_in_space(scene).tolist() == [0, 0, 1, 1, 1, 1]
