from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from graphmask import reference
from graphmask.benchmark.estimators import (
    ESTIMATORS,
    GRAPHS,
    KERNELS,
    Estimator,
    Family,
    Graph,
    Sample,
    Study,
    make_estimators,
    run,
)
from graphmask.masks import GRFMask, WalkMask
from graphmask.topology import Topology
from graphmask.walks import IIDWalks, ResampledWalks, WalkSampler

BY_NAME = {estimator.name: estimator for estimator in ESTIMATORS}
KARATE = next(graph for graph in GRAPHS if graph.name == "karate")


def path(length: int) -> Graph:
    step = torch.arange(length - 1)
    edges = torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])])
    return Graph("path", "a path", lambda seed: Topology(edges, length))


def measure(**options) -> list[Sample]:
    return [sample for found in run(Study(**options)) for sample in found]


def shortened(name: str, *ladder: int) -> Estimator:
    return replace(BY_NAME[name], family=replace(BY_NAME[name].family, ladder=ladder))


def expected_mask(
    estimator: Estimator, alpha: torch.Tensor, setting: int, hops: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The estimate and its target, by definition."""
    topology = KARATE.make(0)
    sampler = estimator.family.make(setting, hops)
    generator = torch.Generator().manual_seed(seed)
    W = reference.adjacency(topology.edge_index, topology.num_nodes)
    sets = {
        "iid": 1,
        "resampled": 1,
        "resampled-both": 1,
        "iid-symmetric": 2,
        "resampled-symmetric": 2,
        "stitched": 4,
    }
    S = [sampler(topology, generator).to_dense().double() for _ in range(sets[estimator.name])]
    if len(S) == 1:
        both = reference.symmetric_part(S[0]) if estimator.name == "resampled-both" else S[0]
        return reference.walk_mask(both, alpha)[0], reference.power_series(W, alpha)[0]
    f = reference.deconvolution(alpha[:, : sampler.hops + 1], len(S))
    return reference.stitched_mask(S, f)[0], reference.power_series(
        W, reference.convolution(f, len(S))
    )[0]


@pytest.mark.parametrize(
    "name",
    ["iid", "iid-symmetric", "stitched", "resampled", "resampled-both", "resampled-symmetric"],
)
@pytest.mark.parametrize("kernel", ["diffusion-1", "cosine"])
def test_errors_are_those_of_dense_masks(name: str, kernel: str) -> None:
    alpha = {"diffusion-1": reference.diffusion(1.0, 4), "cosine": reference.cosine(np.pi / 4, 4)}[
        kernel
    ][None]
    estimator, kernels = shortened(name, 4), [each for each in KERNELS if each.name == kernel]
    (sample,) = measure(
        graphs=[KARATE], estimators=[estimator], kernels=kernels, hops=4, repeats=1, seed=5
    )
    estimate, target = expected_mask(estimator, alpha, 4, 4, 5)
    wrong, eye = estimate - target, torch.eye(len(target), dtype=torch.bool)
    assert sample.error == pytest.approx(float(wrong.norm() / target.norm()), rel=1e-4, abs=1e-6)
    assert sample.off_diagonal == pytest.approx(
        float(wrong[~eye].norm() / target[~eye].norm()), rel=1e-4, abs=1e-6
    )
    assert sample.diagonal == pytest.approx(
        float(wrong[eye].norm() / target[eye].norm()), rel=1e-4, abs=1e-6
    )
    assert sample.pairs == pytest.approx(float((estimate != 0).sum() / len(estimate)))
    cut = reference.power_series(reference.adjacency(KARATE.make(0).edge_index, 34), alpha)[0]
    assert sample.truncation == pytest.approx(
        float((target - cut).norm() / cut.norm()), rel=1e-3, abs=1e-6
    )
    assert sample.support == int((cut != 0).sum()) / len(cut)


def test_sampled_rows_estimate_the_error_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {
        "graphs": [path(300)],
        "estimators": [shortened("iid", 8)],
        "kernels": KERNELS[1:2],
        "hops": 4,
        "repeats": 1,
    }
    (whole,) = measure(**options)
    monkeypatch.setattr("graphmask.benchmark.estimators.judge._SMALL", 100)
    (sampled,) = measure(**options, rows=100)
    assert sampled.error != whole.error
    assert sampled.error == pytest.approx(whole.error, rel=0.2)
    assert sampled.entries == whole.entries


class Counting(WalkSampler):
    """Resampled walks that count how often they are drawn."""

    drawn: list[int]

    def __init__(self, drawn: list[int], budget: int, hops: int) -> None:
        super().__init__(hops)
        self.drawn, self.budget = drawn, budget

    def _draw(self, topology: Topology, seed: int) -> tuple[torch.Tensor, ...]:
        self.drawn.append(self.budget)
        return ResampledWalks(self.budget, self.hops)._draw(topology, seed)


def counted(masks: list[Callable], ladder: tuple[int, ...]) -> tuple[list[Estimator], list[int]]:
    drawn: list[int] = []
    family = Family("counting", partial(Counting, drawn), ladder)
    return [
        Estimator(f"counting-{number}", "", family, mask) for number, mask in enumerate(masks)
    ], drawn


def test_one_draw_serves_all_kernels_and_the_estimators_of_its_family() -> None:
    estimators, drawn = counted([WalkMask, GRFMask], (2, 4))
    samples = measure(graphs=[KARATE], estimators=estimators, hops=3, repeats=3)
    assert len(samples) == 2 * 2 * len(KERNELS) * 3
    # Once to warm up, then two sets, of which the first is that of the other estimator, for each
    # repeat.
    assert drawn == [2] + [2] * 2 * 3 + [4] * 2 * 3


def test_what_has_no_chance_is_drawn_once() -> None:
    samples = measure(
        graphs=[KARATE], estimators=[BY_NAME["truncated"]], kernels=KERNELS[1:2], hops=3, repeats=3
    )
    assert len({sample.setting for sample in samples}) == len(samples) > 3
    assert BY_NAME["truncated"].biased
    assert not BY_NAME["resampled"].biased


def test_a_setting_that_would_overfill_rows_is_not_drawn() -> None:
    estimators, drawn = counted([WalkMask], (2, 8, 16))
    measure(
        graphs=[KARATE],
        estimators=estimators,
        kernels=KERNELS[:1],
        hops=3,
        repeats=1,
        most_entries=12,
    )
    assert drawn == [2, 2, 8]  # 8 entries, four times as many as before: the next could have 32


def test_repeats_have_seeds_of_their_own() -> None:
    samples = measure(
        graphs=[KARATE],
        estimators=[shortened("iid", 4)],
        kernels=KERNELS[:1],
        hops=3,
        repeats=3,
        seed=7,
    )
    assert [sample.seed for sample in samples] == [7, 8, 9]
    assert len({sample.error for sample in samples}) == 3


def test_studies_are_deterministic() -> None:
    options = {"graphs": GRAPHS[:1], "kernels": KERNELS[:2], "hops": 3, "repeats": 2}
    first, second = (measure(**options) for _ in range(2))
    assert [replace(sample, seconds=0) for sample in first] == [
        replace(sample, seconds=0) for sample in second
    ]


def test_ladders_end_where_all_is_exact() -> None:
    estimators, drawn = counted([WalkMask], (2, 64, 128))
    samples = measure(
        graphs=[KARATE], estimators=estimators, kernels=KERNELS[:1], hops=3, repeats=1
    )
    assert [sample.setting for sample in samples] == [2, 64]
    assert samples[-1].error < 1e-6
    assert 128 not in drawn


def test_ladders_end_where_rows_are_full() -> None:
    estimators, drawn = counted([WalkMask], (2, 8, 16))
    measure(
        graphs=[KARATE],
        estimators=estimators,
        kernels=KERNELS[:1],
        hops=3,
        repeats=1,
        most_entries=7,
    )
    assert 16 not in drawn


def test_ladders_end_where_rows_hardly_grow() -> None:
    samples = measure(
        graphs=[KARATE], estimators=[BY_NAME["iid"]], kernels=KERNELS[:1], hops=3, repeats=1
    )
    entries = [sample.entries for sample in samples]
    assert entries[-1] / entries[-2] < 1.02 < entries[-2] / entries[-3]
    assert samples[-1].setting < 4096


def test_slow_ladders_end_once_they_can_be_compared() -> None:
    estimators, _ = counted([WalkMask], (2, 8, 16))
    samples = measure(
        graphs=[KARATE],
        estimators=estimators,
        kernels=KERNELS[:1],
        hops=3,
        repeats=5,
        entries=7,
        time_limit=1e-9,
    )
    assert [sample.setting for sample in samples] == [2, 2, 8, 8]


def test_estimators_of_the_published_kind_lose_to_resampled_walks() -> None:
    """Independent walks need four times the walks for half the error.

    Resampled ones are exact from some budget on.
    """
    estimators = [shortened("iid", 16, 64), shortened("resampled", 16, 64)]
    samples = measure(graphs=[KARATE], estimators=estimators, kernels=KERNELS[1:2], repeats=4)
    mean = {
        (name, setting): np.mean(
            [each.error for each in samples if (each.estimator, each.setting) == (name, setting)]
        )
        for name, setting in (("iid", 16), ("iid", 64), ("resampled", 16), ("resampled", 64))
    }
    assert 1.6 < mean["iid", 16] / mean["iid", 64] < 2.5
    assert mean["resampled", 16] < mean["iid", 16] / 3
    assert mean["resampled", 64] < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graphs": ()}, "`graphs` must be at least one"),
        ({"estimators": ()}, "`estimators` must be at least one"),
        ({"kernels": (KERNELS[0], KERNELS[0])}, "`kernels` must be of different names"),
        ({"hops": 0}, "`hops` must be at least 1"),
        ({"repeats": 0}, "`repeats` must be at least 1"),
        ({"rows": 0}, "`rows` must be at least 1"),
        ({"time_limit": 0}, "`time_limit` must be positive"),
        ({"entries": float("nan")}, "`entries` must be positive"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_bad_studies_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(**options)


def test_halting_probabilities_are_those_asked_for() -> None:
    sampler = make_estimators(p_halt=0.25)[0].family.make(4, 8)
    assert isinstance(sampler, IIDWalks)
    assert "0.25" in repr(sampler)
    with pytest.raises(ValueError, match="p_halt"):
        make_estimators(p_halt=1.0)
