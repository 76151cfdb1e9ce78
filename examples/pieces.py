"""Rows of an ablation: each piece of a block alone on the same base, and all of them together."""

from __future__ import annotations

from comparison import Problem, from_one
from torch_geometric.nn import global_mean_pool
from training import Options, Variant

import graphmask as gm
from graphmask import features, masks, normalizers, values


def pieces(problem: Problem, options: Options) -> dict[str, Variant]:
    """The rows for a problem, those first that may change the defaults.

    The base: layer normalisation, equal starts of all heads, ReLU scores, row sums; the head reads
    the last block, behind a mean over the nodes where outputs are those of graphs.
    """
    plain: Variant = {"mask": problem.masks(masks.Free), "norm": None}
    last_block: Variant = {}
    if problem.pools is not None:  # features of graphs, which the readout reads, are left out
        last_block = {"encoder": None, "head": None, "jk": None, "pool": global_mean_pool}
    base = {**plain, **last_block}
    alone = _block(problem, options) | _geometry(problem, options) | _scores(options)
    rows = {f"+ {name}": {**base, **more} for name, more in alone.items()}
    readout = {"+ readout": plain} if last_block else {"+ sum of blocks": {**base, "jk": "sum"}}
    return {"base": base, **_together(problem, options), **readout, **rows}


def _together(problem: Problem, options: Options) -> dict[str, Variant]:
    """All pieces, with both scores, and without mask; the convolution in the same block.

    What is not named here, norm and readout, is that of the task.
    """
    geometry = next(iter(_geometry(problem, options).values()), {})
    filters = {**from_one(options.heads), "mask": problem.masks(masks.OneHop), **geometry}
    starts = {"spread heads": masks.Spread}
    if "mask" not in geometry:
        starts |= {"one hop per head": masks.OneHop, "equal heads": masks.Free}
    plain = {
        f"all, ReLU, {name}": {"mask": problem.masks(start), **geometry}
        for name, start in starts.items()
    }
    return {
        "all, scores from one": filters,
        "all, scores from one, row sums": {**filters, "normalizer": normalizers.RowSums()},
        **plain,
        "all, unmasked": {**geometry, "mask": masks.GlobalMask()},
        "local": problem.choices.get("local", {"conv": problem.conv}),
        "all, scores from one + local": {**filters, "conv": problem.conv},
    }


def _block(problem: Problem, options: Options) -> dict[str, Variant]:
    return {
        "batch norm": {"norm": "batch_norm"},
        "batch norm, scores from one": {
            "norm": "batch_norm",
            "feature_map": features.UnitPlusCosine(options.heads),
        },
        "batch norm, one hop per head": {
            "norm": "batch_norm",
            "mask": problem.masks(masks.OneHop),
        },
        "batch norm, one hop per head, scores from one": {
            "norm": "batch_norm",
            "mask": problem.masks(masks.OneHop),
            "feature_map": features.UnitPlusCosine(options.heads),
        },
        "no normaliser": {"normalizer": normalizers.Unnormalized()},
        "scores from one": {"feature_map": features.UnitPlusCosine(options.heads)},
        "scores from one, no normaliser": from_one(options.heads),
        "one hop per head": {"mask": problem.masks(masks.OneHop)},
        "spread heads": {"mask": problem.masks(masks.Spread)},
        "reach by node": {
            "mask": masks.AdaptiveWalkMask(options.channels, options.hops, options.heads)
        },
        "local beside": {"conv": problem.conv},
    }


def _geometry(problem: Problem, options: Options) -> dict[str, Variant]:
    """How attention sees where others lie, where there are positions."""
    if problem.any_pose:
        # Their mask must never become negative.
        spread = problem.masks(masks.Spread)
        return {"moments": {"values": values.MomentInvariants(), "mask": spread}}
    if not problem.dim:
        return {}
    width = options.channels // options.heads
    rotary = values.RotaryValues(options.heads, width, problem.dim)
    relative = values.RelativeValues()
    return {"rotary values": {"values": rotary}, "relative values": {"values": relative}}


def _scores(options: Options) -> dict[str, Variant]:
    """Other scores and normalisers of the literature, and a gate."""
    heads = options.heads
    return {
        "softmax": {"feature_map": features.SoftmaxScores()},
        "focused": {"feature_map": features.Focused()},
        "RMS per head": {"normalizer": normalizers.RMSNormalizer(heads)},
        "degree scaled": {"normalizer": normalizers.DegreeScaled(heads)},
        "output gate": {"gate": gm.nn.OutputGate(options.channels)},
    }
