"""Jumping knowledge: what the head reads of the outputs of all blocks."""

from __future__ import annotations

from copy import deepcopy
from functools import reduce

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge

from graphmask._checks import type_error, value_error


class SumKnowledge(nn.Module):
    """The sum of the outputs of all blocks, which PyG's ``JumpingKnowledge`` has not."""

    mode = "sum"

    def forward(self, xs: list[Tensor]) -> Tensor:
        return reduce(torch.add, xs)


def jumping_knowledge(
    jk: str | JumpingKnowledge | None, channels: int, num_layers: int
) -> JumpingKnowledge | SumKnowledge | None:
    """The aggregation of the outputs of ``num_layers`` blocks of so many channels."""
    if jk is None:
        return None
    if isinstance(jk, str):
        if jk not in ("cat", "max", "lstm", "sum"):
            raise value_error("jk", "'cat', 'max', 'lstm', 'sum' or None", jk)
        return SumKnowledge() if jk == "sum" else JumpingKnowledge(jk, channels, num_layers)
    if not isinstance(jk, JumpingKnowledge):
        raise type_error("jk", "a string or a JumpingKnowledge", jk)
    if jk.mode == "lstm" and (jk.channels, jk.num_layers) != (channels, num_layers):
        expected = f"of hidden_channels = {channels} and num_layers = {num_layers}"
        raise value_error("jk", expected, f"{jk.channels} channels and {jk.num_layers} layers")
    return deepcopy(jk)
