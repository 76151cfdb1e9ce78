"""The strongest model without a graph: forests and boosting, chosen by validation.

A row of a table is a node, or a graph as statistics of its nodes. What is fitted never sees edges.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.pipeline import make_pipeline
from torch import Tensor
from torch_geometric.data import Data
from torchmetrics import Metric
from torchmetrics.classification import BinaryAUROC
from training import Loaders, Task

Part = tuple[np.ndarray, np.ndarray]
QUANTILES = torch.linspace(0, 1, 9)
PAIRS = 2_000
TREES = 500
WIDEST = 256
LONGEST = 30_000
UNLABELLED = -100  # as in torch's cross entropy


def nodes(task: Any, _: Loaders) -> list[Part]:
    """Training, validation and test nodes of the one graph of a task."""
    data, _ = task.graphs[0]
    masks = (data[f"{part}_mask"] for part in ("train", "val", "test"))
    return [(data.x[mask].numpy(), data.y[mask].numpy()) for mask in masks]


def points(task: Task, loaders: Loaders) -> list[Part]:
    """Training, validation and test nodes of many graphs, those with a class."""
    tables = []
    for part in (loaders.train, loaders.val, loaders.test):
        rows = [(_inputs(data, task.inputs), data.y) for data in part]
        x, y = (torch.cat(columns) for columns in zip(*rows, strict=True))
        tables.append((x[y != UNLABELLED].numpy(), y[y != UNLABELLED].numpy()))
    return tables


def graphs(task: Task, loaders: Loaders) -> list[Part]:
    """Training, validation and test graphs, each as statistics of its nodes."""
    tables = []
    for part in (loaders.train, loaders.val, loaders.test):
        first = [data[0] if isinstance(data, list) else data for data in part]  # of its votes
        rows = np.stack([describe(data, task.inputs) for data in first])
        tables.append((rows, np.concatenate([data.y.numpy() for data in first])))
    return tables


def _inputs(data: Data, names: Sequence[str]) -> Tensor:
    return torch.cat([data[name] for name in names], 1).float()


def describe(data: Data, inputs: Sequence[str]) -> np.ndarray:
    """Features of the graph, if any, and the number of nodes.

    Then mean, deviation and quantiles of every input, and of the distances of points.
    """
    x = _inputs(data, inputs)
    columns = [x]
    if "pos" in data:
        pairs = torch.randint(len(x), (2, PAIRS), generator=torch.Generator().manual_seed(0))
        columns.append((data.pos[pairs[0]] - data.pos[pairs[1]]).norm(dim=1, keepdim=True))
    statistics = [torch.tensor([float(len(x))])]
    if "u" in data:
        statistics.append(data.u[0])
    for each in columns:
        spread = each.std(0, correction=0)
        statistics += [each.mean(0), spread, each.quantile(QUANTILES, 0).flatten()]
    return torch.cat(statistics).numpy()


def candidates(columns: int, classes: bool, seed: int) -> Iterator[BaseEstimator]:
    """The models that validation chooses from; boosting reads the best columns of a wide table."""
    best = SelectKBest(f_classif if classes else f_regression, k=min(columns, WIDEST))
    forest = ExtraTreesClassifier if classes else ExtraTreesRegressor
    boosting = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    for features in ("sqrt", 0.5):
        yield forest(TREES, max_features=features, random_state=seed)
        yield forest(TREES, max_features=features, min_samples_leaf=3, random_state=seed)
    for rate in (0.03, 0.1):
        settings = {"max_iter": TREES, "early_stopping": False, "random_state": seed}
        yield make_pipeline(best, boosting(learning_rate=rate, **settings))


def fit(parts: Sequence[Part], metric: Metric, classes: bool, seed: int) -> dict[str, Any]:
    """Validation and test score of the best candidate, by the metric of the task.

    Of a long table it is fitted to some rows, drawn at random.
    """
    start, best = time.process_time(), dict[str, Any]()
    varies = np.ptp(parts[0][0], axis=0) > 0
    (train_x, train_y), *others = [(x[:, varies], y) for x, y in parts]
    rows = np.random.default_rng(seed).permutation(len(train_x))[:LONGEST]
    train_x, train_y = train_x[rows], train_y[rows]
    for model in candidates(train_x.shape[1], classes, seed):
        model.fit(train_x, train_y.reshape(len(train_x)))
        validation, test = (_score(model, *part, metric, classes) for part in others)
        sign = 1 if metric.higher_is_better else -1
        if not best or sign * validation > sign * best["validation"]:
            best = {"validation": validation, "score": test}
    return {**best, "cpu_seconds": time.process_time() - start}


def _score(model: Any, x: np.ndarray, y: np.ndarray, metric: Metric, classes: bool) -> float:
    predicted = model.predict_proba(x) if classes else model.predict(x)
    if isinstance(metric, BinaryAUROC):
        predicted = predicted[:, 1]
    elif classes:  # those without a training row, too
        seen = predicted
        predicted = np.zeros((len(x), getattr(metric, "num_classes", seen.shape[1])))
        predicted[:, model.classes_] = seen
    metric = metric.clone()
    target = torch.from_numpy(y.reshape(len(y)))
    metric.update(torch.from_numpy(predicted).float(), target.long() if classes else target)
    return float(metric.compute())
