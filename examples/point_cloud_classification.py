"""A masked graph transformer classifies point clouds and meshes: any dataset, any mask, with or without a local convolution.

    python examples/point_cloud_classification.py --dataset modelnet10 --root DATA --mask walk --conv

Every epoch is seeded by `--seed` and its own number, so that a run resumed with `--resume runs/NAME/last.ckpt` ends with the
same weights as one that was never stopped.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DistributedSampler, Subset
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data, Dataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv, global_max_pool
from torchmetrics.classification import MulticlassAccuracy

import graphmask as gm
from graphmask.datasets import SHREC16, DigitsPointCloud, ModelNet, PrimitiveShapes


def walk_and_global(hops: int, heads: int) -> gm.masks.TopologicalMask:
    """Near nodes by the walk mask, and all nodes by a learned share of the all-ones mask."""
    return gm.masks.WalkMask(hops, heads) + nn.Parameter(torch.full((heads,), 0.1)) * gm.masks.GlobalMask()


MASKS: dict[str, Callable[[int, int], gm.masks.TopologicalMask | None]] = {
    "walk": gm.masks.WalkMask,
    "walk+global": walk_and_global,
    "grf": gm.masks.GRFMask,
    "power": gm.masks.PowerSeriesMask,
    "global": lambda *_: gm.masks.GlobalMask(),
    "none": lambda *_: None,
}


# What a model sees of a node: coordinates where clouds come upright, invariants where they come in any pose.
INPUTS = {"primitives": ["x"], "digits": ["pos"], "modelnet10": ["pos"], "shrec16": ["x"]}


class ShapeInvariants(T.BaseTransform):
    """Writes ``x``: what each point's surroundings look like, the same in every pose of the cloud.

    For the positions p around their centroid, smoothed to s = W^t p by t = 1, 2, 4, ... steps of the random walk: the
    logarithms of |s| and of |p - s| (how far smoothing moves the point: curvature), and the cosine between p and p - s (bulge
    or dent).
    """

    def __init__(self, scales: int = 5) -> None:
        self.scales = scales

    def forward(self, data: Data) -> Data:
        pattern, weight = gm.Topology.from_data(data).adjacency("rw")
        position = data.pos - data.pos.mean(0)
        smooth, columns = position, [self._log(position)]
        for step in range(1, 2 ** (self.scales - 1) + 1):
            smooth = gm.kernels.spmm(pattern, weight.unsqueeze(0), smooth.unsqueeze(0))[0]
            if step & (step - 1) == 0:
                moved = position - smooth
                columns += [self._log(smooth), self._log(moved), torch.cosine_similarity(position, moved)]
        data.x = torch.stack(columns, 1)
        return data

    @staticmethod
    def _log(vectors: Tensor) -> Tensor:
        return (vectors.norm(dim=1) + 1e-3).log()


class SeededEpochs(DistributedSampler):
    """Makes all that is random in an epoch follow from the seed and the epoch's number: order, augmentation, dropout.

    The trainer calls ``set_epoch`` before it fetches an epoch's first batch, and also when it resumes.
    """

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        L.seed_everything(1_000_003 * self.seed + 1_009 * epoch + self.rank, verbose=False)


class PointClouds(L.LightningDataModule):
    """Train, validation and test loaders; the validation clouds are every tenth of the training set."""

    def __init__(self, train: Dataset, test: Dataset, batch_size: int, seed: int = 0) -> None:
        super().__init__()
        self.train, self.test, self.batch_size, self.seed = train, test, batch_size, seed

    def held_out(self, index: int) -> bool:
        """Whether a training cloud is kept for validation."""
        return index % 10 == 9

    def _part(self, held_out: bool) -> Subset:
        return Subset(self.train, [i for i in range(len(self.train)) if self.held_out(i) == held_out])

    def train_dataloader(self) -> DataLoader:
        part = self._part(held_out=False)
        sampler = SeededEpochs(part, self.trainer.world_size, self.trainer.global_rank, seed=self.seed)
        # A loader without a generator of its own draws from the global one whenever it is iterated, however often that is.
        return DataLoader(part, batch_size=self.batch_size, sampler=sampler, generator=torch.Generator())

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self._part(held_out=True), batch_size=2 * self.batch_size)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, batch_size=2 * self.batch_size)


class Classifier(L.LightningModule):
    """Cross-entropy training of a graph classifier on the node attributes named by ``inputs``."""

    def __init__(self, model: nn.Module, num_classes: int, inputs: Sequence[str], lr: float = 2e-3) -> None:
        super().__init__()
        self.model, self.inputs, self.lr = model, inputs, lr
        self.accuracy = nn.ModuleDict({part: MulticlassAccuracy(num_classes, average="micro") for part in ("val", "test")})
        self.loss = nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, batch: Batch) -> Tensor:
        return self.model(torch.cat([batch[name] for name in self.inputs], 1), gm.Topology.from_data(batch))

    def training_step(self, batch: Batch) -> Tensor:
        loss = self.loss(self(batch), batch.y)
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch: Batch) -> None:
        self._score("val", batch)

    def test_step(self, batch: Batch) -> None:
        self._score("test", batch)

    def _score(self, part: str, batch: Batch) -> None:
        metric = self.accuracy[part]
        metric(self(batch), batch.y)
        self.log(f"{part}_acc", metric, prog_bar=True, batch_size=batch.num_graphs)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.01)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def graph_transform(options: argparse.Namespace, mesh: bool = False) -> T.Compose:
    """What is done once per cloud: unit size, a graph, invariants for clouds in any pose, and walks if the mask reads them."""
    build = gm.transforms.MeshToGraph(remove_faces=True) if mesh else gm.transforms.KNNGraph(options.k, force_undirected=True)
    if options.radius and not mesh:
        build = gm.transforms.RadiusGraph(options.radius)
    steps = [gm.transforms.UnitSphere(), build]
    if "x" in INPUTS[options.dataset]:
        steps.append(ShapeInvariants())
    mask = MASKS[options.mask](options.hops, options.heads)
    demand = None if mask is None else mask.walk_demand
    if demand is not None:
        sampler = gm.walks.ResampledWalks(options.budget, options.hops)
        steps.append(gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(0), sets=demand.sets))
    return T.Compose(steps)


def load(options: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """The train and the test split of a dataset, graphs and walks included."""
    once = graph_transform(options, mesh=options.dataset == "shrec16")
    noise = T.Compose([T.RandomScale((0.85, 1.15)), T.RandomJitter(0.01)])
    shared: dict[str, Any] = {"pre_transform": once}
    stored = shared | {"root": options.root, "processed_root": _cache(options)}
    few = 2 if options.smoke else options.per_class
    make: dict[str, Callable[..., Dataset]] = {
        "primitives": partial(PrimitiveShapes, num_points=options.points, num_per_class=few, **shared),
        "digits": partial(DigitsPointCloud, **shared),
        "modelnet10": partial(ModelNet, num_points=options.points, **stored),
        "shrec16": partial(SHREC16, **stored),
    }
    build = make[options.dataset]
    return build(train=True, transform=noise if "pos" in INPUTS[options.dataset] else None), build(train=False)


def _cache(options: argparse.Namespace) -> Path:
    """A cache folder per graph and walks, which the datasets' own cache does not tell apart."""
    walks = f"budget{options.budget}-hops{options.hops}" if "walk" in options.mask or options.mask == "grf" else "graph"
    return options.out / "cache" / f"{options.dataset}-{options.mask}-k{options.k}-r{options.radius}-{walks}"


def make_model(options: argparse.Namespace, in_channels: int, num_classes: int) -> nn.Module:
    """The transformer that the options describe."""
    channels = options.channels
    return gm.nn.TopologicalTransformer(
        in_channels,
        channels,
        num_classes,
        num_layers=options.layers,
        heads=options.heads,
        mask=MASKS[options.mask](options.hops, options.heads),
        conv=GraphConv(channels, channels, aggr="mean") if options.conv else None,
        pool=global_max_pool,
        dropout=options.dropout,
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], formatter_class=style)
    add = parser.add_argument
    add("--dataset", choices=("primitives", "digits", "modelnet10", "shrec16"), default="primitives")
    add("--root", type=Path, help="folder of a dataset that is read from files")
    add("--points", type=int, default=256, help="points per cloud, at most")
    add("--per-class", type=int, default=40, help="clouds per class of the generated dataset")
    add("--k", type=int, default=8, help="neighbours of each point in the graph")
    add("--radius", type=float, help="an epsilon graph of this radius instead (clouds have radius 1)")
    add("--mask", choices=tuple(MASKS), default="walk")
    add("--conv", action="store_true", help="a local convolution beside the attention")
    add("--hops", type=int, default=3, help="hops of the mask")
    add("--budget", type=int, default=32, help="pairs (i, j) stored per node")
    add("--channels", type=int, default=64)
    add("--layers", type=int, default=3)
    add("--heads", type=int, default=4)
    add("--dropout", type=float, default=0.0)
    add("--epochs", type=int, default=30)
    add("--batch-size", type=int, default=32)
    add("--lr", type=float, default=2e-3)
    add("--patience", type=int, default=30, help="epochs without a better validation accuracy before stopping")
    add("--devices", default="auto", help="number of devices, or auto")
    add("--precision", default="32-true", help="as Lightning writes it, such as bf16-mixed")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs"), help="folder of logs, checkpoints and caches")
    add("--name", help="name of the run (default: dataset, mask and seed)")
    add("--resume", type=Path, help="checkpoint to go on from, such as runs/NAME/last.ckpt")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    options = parser.parse_args(arguments)
    if options.mask == "none" and not options.conv:
        parser.error("--mask none leaves no way to mix nodes: add --conv")
    if options.dataset in ("modelnet10", "shrec16") and options.root is None:
        parser.error(f"--dataset {options.dataset} is read from files: give its folder with --root")
    if options.smoke:
        options.points, options.channels, options.layers, options.epochs = min(options.points, 32), 16, 1, 1
    options.name = options.name or f"{options.dataset}-{options.mask}{'+conv' if options.conv else ''}-{options.seed}"
    return options


def run(options: argparse.Namespace) -> float:
    """Train, then test the epoch that validated best. Returns its test accuracy."""
    L.seed_everything(options.seed, verbose=False)
    train, test = load(options)
    inputs = INPUTS[options.dataset]
    model = make_model(options, sum(train[0][name].shape[1] for name in inputs), train.num_classes)
    folder = options.out / options.name
    best = ModelCheckpoint(folder, filename="best", monitor="val_acc", mode="max", enable_version_counter=False)
    # Its own callback: `save_last` beside a monitor writes only when the monitor improves.
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    trainer = L.Trainer(
        max_epochs=options.epochs,
        devices=options.devices,
        precision=options.precision,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[best, last, EarlyStopping("val_acc", mode="max", patience=options.patience), LearningRateMonitor("epoch")],
        logger=CSVLogger(options.out, options.name, version=""),
        enable_model_summary=False,
    )
    task = Classifier(model, train.num_classes, inputs, options.lr)
    clouds = PointClouds(train, test, options.batch_size, options.seed)
    trainer.fit(task, clouds, ckpt_path=options.resume)
    return trainer.test(task, clouds, ckpt_path=best.best_model_path, verbose=False)[0]["test_acc"]


def main() -> None:
    """Train and report."""
    # Lightning advises on loader workers; batches here are made faster than workers start.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    options = parse()
    accuracy = run(options)
    print(f"{options.name}: test accuracy {accuracy:.4f}; log, best and last checkpoint in {options.out / options.name}")


if __name__ == "__main__":
    main()
