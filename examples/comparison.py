"""What a script trains, and the comparison of its variants."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from forests import Part
from rich.console import Console
from rich.table import Table
from torch import nn
from torch_geometric.nn import GraphConv
from training import Loaders, Options, Task, Variant, fit

import graphmask as gm
from graphmask._atomic import replacing


@dataclass(frozen=True)
class Problem:
    """Data, models and score of a task.

    Args:
        name: of the folder of logs and checkpoints.
        make: makes the task and the loaders of a variant and a seed; called as ``make(name,
            arguments, seed)`` with the arguments of the model that differ between variants.
        choices: the arguments of each variant.
        masks: makes the mask of the masked variants from a class of coefficients.
        conv: the local convolution of the variants.
        score: what the metric measures.
        rules: the scores of what is not trained.
        pools: aggregations of outputs of graphs, :obj:`None` for outputs of nodes.
        dim: dimension of the positions that attention may read; 0 for none.
        any_pose: whether clouds and meshes are given in any pose.
        tables: one of :mod:`forests`, which makes tables for models without a graph.
    """

    name: str
    make: Callable[[str, Any, int], tuple[Task, Loaders]]
    choices: Mapping[str, Any]
    masks: Callable[[type[gm.masks.Coefficients]], gm.masks.TopologicalMask]
    conv: nn.Module
    score: str = "accuracy"
    rules: Mapping[str, float] = field(default_factory=dict)
    pools: Sequence[str] | None = None
    dim: int = 0
    any_pose: bool = False
    tables: Callable[[Any, Loaders], list[Part]] | None = None


def local_mean(options: Options) -> GraphConv:
    """The local convolution of most tasks: the mean over the neighbours."""
    return GraphConv(options.channels, options.channels, aggr="mean")


def edge_conv(options: Options) -> gm.nn.SupportMax:
    """The local convolution of points: DGCNN's EdgeConv, with a network of one linear layer."""
    return gm.nn.SupportMax(options.channels, options.channels)


def from_one(heads: int) -> Variant:
    """Scores that start at one and stay bounded, and sums that keep counts.

    For masks whose heads differ from the start.
    """
    return {
        "feature_map": gm.features.UnitPlusCosine(heads),
        "normalizer": gm.normalizers.Unnormalized(),
    }


def variants(
    mask: gm.masks.TopologicalMask, conv: nn.Module, **arguments: Any
) -> dict[str, Variant]:
    """Masked and unmasked attention, with and without a local convolution, and that alone.

    ``arguments`` are those of attention.
    """
    masked, unmasked = {"mask": mask, **arguments}, {"mask": gm.masks.GlobalMask(), **arguments}
    return {
        "masked": masked,
        "masked + local": {**masked, "conv": conv},
        "unmasked": unmasked,
        "unmasked + local": {**unmasked, "conv": conv},
        "local": {"conv": conv},
    }


def folder_of(options: Options, name: str, variant: str, seed: int) -> Path:
    """The folder of the logs and checkpoints of a run."""
    return options.out / name / f"{variant.replace(' ', '')}-{seed}"


def train(problem: Problem, variant: str, arguments: Any, seed: int, options: Options) -> Variant:
    """Train one variant with one seed, and return what was measured."""
    # Lightning recommends loader workers, which are slower here, and reports what it overwrites.
    for message in ("does not have many workers", "exists and is not empty", "treespec"):
        warnings.filterwarnings("ignore", message=f".*{message}.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    L.seed_everything(seed, verbose=False)
    task, loaders = problem.make(variant, arguments, seed)
    print(f"\n{problem.name}, {variant}, seed {seed}", flush=True)
    result = fit(task, loaders, options, folder_of(options, problem.name, variant, seed))
    return {"variant": variant, "seed": seed, **result}


def compare(problem: Problem, options: Options) -> list[dict[str, Any]]:
    """Train every variant with every seed, and print a table."""
    rows = list(_rows(problem, options))
    if rows and L.pytorch.utilities.rank_zero_only.rank == 0:
        path = options.out / problem.name / "results.csv"
        _write(rows, path)
        _print(problem, rows)
        print(f"Logs, checkpoints (best, last) and this table: {path.parent}")
    return rows


def _rows(problem: Problem, options: Options) -> Iterator[dict[str, Any]]:
    for variant in options.variants or problem.choices:
        for seed in options.seeds:
            yield train(problem, variant, problem.choices[variant], seed, options)
    for rule, score in problem.rules.items():
        yield {"variant": rule, "score": score}


def _write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with replacing(path) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _print(problem: Problem, rows: Sequence[Mapping[str, Any]]) -> None:
    title = problem.name
    table = Table("", f"test {problem.score}", "s / epoch", "parameters", title=title)
    for variant in dict.fromkeys(row["variant"] for row in rows):
        runs = [row for row in rows if row["variant"] == variant]
        scores = ", ".join(f"{row['score']:.4f}" for row in runs)
        trained = "parameters" in runs[0]
        cost = (f"{runs[0]['seconds']:.2f}", f"{runs[0]['parameters']:,}") if trained else ("", "")
        table.add_row(variant, scores, *cost)
    Console(width=120).print(table)
