"""Properties of molecules from their bonds.

A small transformer under a mask, without one, and local message passing.

    python examples/molecules.py --root DATA/molecules/moleculenet --dataset esol --seeds 0 1 2
    python examples/molecules.py --csv mine.csv --targets solubility

Regression (esol, lipo, qm7: root mean squared error, lower is better) and classification (bace,
bbbp, tox21: area under the ROC curve), split by scaffold: test molecules are of kinds that training
has not seen. The validation part chooses the epoch. Without files, molecules that are put together
by rule stand in, whose water-octanol coefficient RDKit computes.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import GINConv, GINEConv, global_mean_pool
from torch_geometric.transforms import Compose
from torchmetrics import MeanSquaredError, Metric
from torchmetrics.classification import BinaryAUROC, MultilabelAUROC
from training import Loaders, Task, compare, parser, variants

import graphmask as gm
from graphmask.datasets import MoleculeCSV, MoleculeNet, scaffold_split
from graphmask.extras import require

RINGS = [
    "c1ccc({})cc1",
    "c1ccnc({})c1",
    "C1CCC({})CC1",
    "C1COC({})C1",
    "c1csc({})c1",
    "C1CNC({})C1",
    "CC({})C",
]
LINKS = ["", "C", "CC", "O", "NC(=O)", "OC(=O)", "C=C", "S"]
ENDS = ["C", "O", "N", "F", "Cl", "C#N", "C(=O)O", "C(F)(F)F", "OC", "CCCC"]


class Property(Task):
    """A task whose missing targets, NaN, count neither in the loss nor in the score.

    ``scale``, the mean and deviation [T] of the training targets, lets the model predict numbers of
    size one; None for classes.
    """

    def __init__(
        self, model: nn.Module, metric: Metric, scale: tuple[Tensor, Tensor] | None, lr: float
    ) -> None:
        super().__init__(
            model, nn.BCEWithLogitsLoss() if scale is None else nn.MSELoss(), metric, lr
        )
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
            return out, target.nan_to_num(-1).long()  # which the metric leaves out
        known = ~target.isnan()
        return out[known], target[known]


def write_stand_in(path: Path) -> None:
    """Molecules put together from a ring, a link and an end, with their computed log P."""
    chem, crippen = (require(f"rdkit.Chem{name}", extra="molecules") for name in ("", ".Crippen"))
    smiles = [ring.format(link + end) for ring, link, end in itertools.product(RINGS, LINKS, ENDS)]
    rows = [f"{each},{crippen.MolLogP(chem.MolFromSmiles(each)):.4f}" for each in smiles]
    path.write_text("\n".join(["smiles,logP", *rows]) + "\n")


def load(options: argparse.Namespace) -> tuple[str, MoleculeCSV, bool]:
    """Name, molecules, and whether their targets are classes."""
    walk = gm.transforms.AddWalks(
        gm.walks.ResampledWalks(64, options.hops), torch.Generator().manual_seed(0)
    )
    prepare = Compose([gm.transforms.OneHotMolecule(), walk])
    if options.csv is not None:
        named = MoleculeCSV(options.csv, options.smiles, options.targets, pre_transform=prepare)
        return options.csv.stem, named, options.classification
    if options.root is not None:
        dataset = MoleculeNet(options.root, options.dataset, pre_transform=prepare)
        return options.dataset, dataset, dataset.classification
    print(
        "NO --root: made-up molecules stand in for real ones; their log P is a sum over atoms, far easier than measurements."
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stand-in.csv")
        write_stand_in(path)
        return "stand-in", MoleculeCSV(path, pre_transform=prepare), False


def parse() -> argparse.Namespace:
    """The options."""
    made = parser(__doc__, epochs=40, batch_size=64, dropout=0.1)
    made.add_argument(
        "--root", type=Path, help="folder of MoleculeNet's files (default: made-up molecules)"
    )
    made.add_argument(
        "--dataset", choices=tuple(MoleculeNet.names), default="esol", help="which of them"
    )
    made.add_argument("--csv", type=Path, help="a file of your own instead")
    made.add_argument("--smiles", default="smiles", help="its column of SMILES")
    made.add_argument("--targets", nargs="+", help="its columns of targets (default: all others)")
    made.add_argument("--classification", action="store_true", help="its targets are 0 or 1")
    options = made.parse_args()
    if options.smoke:
        options.epochs, options.channels, options.layers, options.hops = 2, 8, 1, 2
        options.variants = options.variants or ["masked", "masked by bonds", "local"]
    return options


def choices_of(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What is compared: as in all examples; the strongest of local convolutions.

    And masks and convolutions that read bonds.
    """
    width, kinds = options.channels, gm.transforms.OneHotMolecule.num_bond_features
    network = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    gin, gine = GINConv(network, train_eps=True), GINEConv(network, train_eps=True, edge_dim=kinds)
    walk = gm.masks.WalkMask(options.hops, options.heads)
    bonds = gm.masks.PowerSeriesMask(
        options.hops, options.heads, alpha=gm.masks.Free, edge_dim=kinds
    )
    return {
        **variants(width, options.heads, walk),
        "local GIN": {"conv": gin},
        "masked by bonds": {"mask": bonds},
        "masked by bonds + GINE": {"mask": bonds, "conv": gine},
        "local GINE": {"conv": gine},
    }


def main() -> None:
    """Train every variant and print the table."""
    options = parse()
    name, dataset, classes = load(options)
    train, val, test = (dataset[part] for part in scaffold_split(dataset))
    print(
        f"{name}: {len(train)} molecules train, {len(val)} validate, {len(test)} test (split by scaffold)"
    )
    targets = torch.cat([data.y for data in train])
    centre = targets.nanmean(0)
    scale = None if classes else (centre, (targets - centre).square().nanmean(0).sqrt())
    metric: Metric = MeanSquaredError(squared=False)
    if classes:
        many = dataset.num_targets > 1
        metric = (
            MultilabelAUROC(dataset.num_targets, ignore_index=-1)
            if many
            else BinaryAUROC(ignore_index=-1)
        )

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[Task, Loaders]:
        sizes = (
            gm.transforms.OneHotMolecule.num_atom_features,
            options.channels,
            dataset.num_targets,
            options.layers,
        )
        mixing = {"pool": global_mean_pool, "dropout": options.dropout, **mixing}
        model = gm.nn.TopologicalTransformer(*sizes, options.heads, **mixing)
        return Property(model, metric, scale, options.lr), Loaders(
            train, val, test, options.batch_size, seed
        )

    compare(
        f"molecules-{name}",
        options,
        make,
        choices_of(options),
        "test ROC-AUC" if classes else "test RMSE",
    )


if __name__ == "__main__":
    main()
