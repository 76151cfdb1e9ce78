"""Properties of molecules with masked attention, unmasked attention and local message passing.

    python examples/molecules.py --root DATA/molecules/moleculenet --dataset esol --seeds 0 1 2
    python examples/molecules.py --csv mine.csv --targets solubility

Regression (esol, lipo, qm7: root mean squared error, lower is better) and classification (bace,
bbbp, tox21: area under the ROC curve), with a split by scaffold. Without files, molecules generated
by rule, with the log P that RDKit computes.
"""

from __future__ import annotations

import itertools
import tempfile
from functools import partial
from pathlib import Path

import comparison
import forests
import torch
import training
from comparison import Problem
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import GINConv, GINEConv
from torch_geometric.transforms import Compose
from torchmetrics import MeanSquaredError, Metric
from torchmetrics.classification import BinaryAUROC, MultilabelAUROC
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import MoleculeCSV, MoleculeNet, scaffold_split
from graphmask.extras import require

ATOM_FEATURES = gm.transforms.OneHotMolecule.num_atom_features
BOND_FEATURES = gm.transforms.OneHotMolecule.num_bond_features
RINGS = ["c1ccc({})cc1", "c1ccnc({})c1", "C1CCC({})CC1", "C1COC({})C1", "c1csc({})c1"]
RINGS += ["C1CNC({})C1", "CC({})C"]
LINKS = ["", "C", "CC", "O", "NC(=O)", "OC(=O)", "C=C", "S"]
ENDS = ["C", "O", "N", "F", "Cl", "C#N", "C(=O)O", "C(F)(F)F", "OC", "CCCC"]


Scale = tuple[Tensor, Tensor] | None


class MeanOfKnown(nn.Module):
    """A mean over known targets, 0 for a batch without any."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, out: Tensor, target: Tensor) -> Tensor:
        return self.loss(out, target) if len(target) else out.sum()


class Property(Task):
    """Ignores missing targets (NaN) in the loss and in the score.

    ``scale``, mean and deviation [T] of training targets, normalises regression, else None.
    """

    def __init__(self, model: nn.Module, metric: Metric, scale: Scale, options: Options) -> None:
        loss = nn.BCEWithLogitsLoss() if scale is None else nn.MSELoss()
        super().__init__(model, MeanOfKnown(loss), metric, options)
        self.classes = scale is None
        mean, deviation = scale or (torch.zeros(1), torch.ones(1))
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        out, target = self(batch), batch.y
        if part == "train":
            target = (target - self.mean) / self.deviation
        else:
            out = out * self.deviation + self.mean
        if part != "train" and self.classes:
            # The metric ignores -1. It would take numbers for probabilities in each batch where
            # all are between 0 and 1.
            return out.sigmoid(), target.nan_to_num(-1).long()
        known = ~target.isnan()
        return out[known], target[known]


def write_stand_in(path: Path) -> None:
    """Write molecules of a ring, a link and an end, with their computed log P."""
    chem, crippen = (require(f"rdkit.Chem{name}", extra="molecules") for name in ("", ".Crippen"))
    smiles = [ring.format(link + end) for ring, link, end in itertools.product(RINGS, LINKS, ENDS)]
    rows = [f"{each},{crippen.MolLogP(chem.MolFromSmiles(each)):.4f}" for each in smiles]
    path.write_text("\n".join(["smiles,logP", *rows]) + "\n")


def load(options: Options) -> tuple[str, MoleculeCSV, bool]:
    """Name, molecules, and whether the targets are classes."""
    draw = training.add_walks(options, budget=64)
    steps = [gm.transforms.OneHotMolecule(), draw]
    if options.descriptors != "none":
        every = gm.transforms.MoleculeDescriptors.available()
        names = every if options.descriptors == "all" else None
        steps.insert(0, gm.transforms.MoleculeDescriptors(names))
    if options.fingerprint:
        steps.insert(-2, gm.transforms.MorganFingerprint(options.fingerprint))
    prepare = Compose(steps)
    if options.csv is not None:
        dataset = MoleculeCSV(options.csv, options.smiles, options.targets, pre_transform=prepare)
        return options.csv.stem, dataset, options.classification
    if options.root is not None:
        dataset = MoleculeNet(options.root, options.dataset, pre_transform=prepare)
        return options.dataset, dataset, dataset.classification
    print("No --root: generated molecules, whose log P is far easier than measurements.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stand-in.csv")
        write_stand_in(path)
        return "generated", MoleculeCSV(path, pre_transform=prepare), False


def parse(arguments: list[str] | None = None) -> Options:
    parser = training.make_parser(__doc__, epochs=40, batch_size=64, dropout=0.1)
    add = parser.add_argument
    add("--root", type=Path, help="folder of MoleculeNet's files (default: generated molecules)")
    add("--dataset", choices=tuple(MoleculeNet.names), default="esol", help="of MoleculeNet")
    add("--csv", type=Path, help="your own file instead")
    add("--smiles", default="smiles", help="its column of SMILES")
    add("--targets", nargs="+", help="its columns of targets (default: all others)")
    add("--classification", action="store_true", help="its targets are 0 or 1")
    kinds = ("none", "physical", "all")
    add("--descriptors", choices=kinds, default="none", help="RDKit's, read beside the pools")
    counts = "columns of counted substructures, read beside the pools, too (default: none)"
    add("--fingerprint", type=int, default=0, metavar="COLUMNS", help=counts)
    options = training.parse_options(parser, arguments, epochs=2, channels=8, layers=1, hops=2)
    if options.smoke:
        options.variants = options.variants or ["masked", "masked by bonds", "local"]
    return options


def choices(options: Options) -> dict[str, Variant]:
    """The variants of all examples, GIN, and masks and convolutions that read bonds."""
    width, sizes = options.channels, (options.hops, options.heads)
    network = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    gin = GINConv(network, train_eps=True)
    gine = GINEConv(network, train_eps=True, edge_dim=BOND_FEATURES)
    bonds = gm.masks.PowerSeriesMask(*sizes, alpha=gm.masks.Free, edge_dim=BOND_FEATURES)
    local = comparison.local_mean(options)
    one_hop = {"mask": gm.masks.WalkMask(*sizes, alpha=gm.masks.OneHop)}
    from_one = {**one_hop, **comparison.from_one(options.heads)}
    return {
        **comparison.variants(gm.masks.WalkMask(*sizes), local),
        "masked from one": from_one,
        "masked from one + local": {**from_one, "conv": local},
        "local GIN": {"conv": gin},
        "masked by bonds": {"mask": bonds},
        "masked by bonds + GINE": {"mask": bonds, "conv": gine},
        "local GINE": {"conv": gine},
    }


def check_classes(targets: Tensor) -> None:
    """Check that known targets are 0 or 1."""
    others = targets[(targets != 0) & (targets != 1) & ~targets.isnan()]
    if len(others):
        raise ValueError(f"targets of classes must be 0, 1 or missing, got {others[0]:g}")


def problem(options: Options) -> Problem:
    """The task of a run."""
    name, dataset, classes = load(options)
    split = scaffold_split(dataset)
    graph_channels = 0
    if options.descriptors != "none" or options.fingerprint:
        # Before the parts are taken, each of which keeps the transform that the dataset has then.
        dataset.transform = gm.transforms.Standardize.fit(dataset[split[0]], limit=5.0)
        graph_channels = dataset[0].u.shape[1]
    train, val, test = parts = [dataset[part] for part in split]
    print(f"{name}: {len(train)} training, {len(val)} validation, {len(test)} test molecules")
    if classes:
        check_classes(torch.cat([data.y for data in dataset]))
    targets, scale = torch.cat([data.y for data in train]), None
    metric: Metric = BinaryAUROC(ignore_index=-1)
    if not classes:
        mean, metric = targets.nanmean(0), MeanSquaredError(squared=False)
        deviation = (targets - mean).square().nanmean(0).sqrt()
        scale = mean, torch.where(deviation > 0, deviation, 1)
    elif dataset.num_targets > 1:
        metric = MultilabelAUROC(dataset.num_targets, ignore_index=-1)

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        sizes = ATOM_FEATURES, dataset.num_targets
        # Sums beside means: a property may grow with the number of atoms.
        sums = {"aggr": ("mean", "sum"), "graph_channels": graph_channels}
        model = training.graph_model(options, *sizes, **{**sums, **arguments})
        task = Property(model, metric, scale, options)
        return task, Loaders(*parts, options.batch_size, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv, score = comparison.local_mean(options), "ROC-AUC" if classes else "RMSE"
    name = f"molecules-{name}"
    return Problem(
        name,
        make,
        choices(options),
        masks,
        conv,
        score,
        pools=("mean", "sum"),
        tables=forests.graphs,
    )


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
