"""How the training examples are optimised: options, groups, schedules, averages and dropout.

All choices are options of the command line with the same defaults for every variant. What is
selected, is selected by the validation score alone.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

import graphmask as gm

Options = argparse.Namespace


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this file, with defaults that train any of the models."""
    add = parser.add_argument
    add("--lr", type=float, default=2e-3, help="largest learning rate")
    add("--weight-decay", type=float, default=0.01, help="none on biases, norms and masks")
    add("--schedule", choices=("one-cycle", "cosine", "constant"), default="one-cycle")
    add("--warm-up", type=float, default=0.3, help="share of the steps")
    add("--clip", type=float, default=1.0, help="largest norm of all gradients together")
    add("--smoothing", type=float, default=0.0, help="of labels, in [0, 1)")
    add("--ema", type=float, default=0.0, help="decay of averaged weights, such as 0.98; 0: none")
    add("--patience", type=int, help="stop after so many epochs without a better validation score")


def cross_entropy(options: Options) -> nn.Module:
    """The loss of classification."""
    return nn.CrossEntropyLoss(label_smoothing=options.smoothing)


def make_optimizer(model: nn.Module, options: Options) -> torch.optim.Optimizer:
    """AdamW, with weight decay on matrices alone."""
    groups = gm.nn.parameter_groups(model, options.lr, weight_decay=options.weight_decay)
    return torch.optim.AdamW(groups)


def make_schedule(
    optimizer: torch.optim.Optimizer, options: Options, steps: int
) -> LRScheduler | None:
    """A warm-up to the largest rate, then half a cosine down to zero.

    One-cycle also moves the momentum, from .95 to .85 and back.
    """
    if options.schedule == "constant":
        return None
    if options.schedule == "one-cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, rates, total_steps=steps, pct_start=options.warm_up)
    rising = options.warm_up * steps

    def rate(step: int) -> float:
        if step < rising:
            return min((step + 1) / rising, 1.0)
        return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(steps - rising, 1))

    return LambdaLR(optimizer, rate)


def make_callbacks(options: Options, mode: str | None) -> list[Callback]:
    """Averaged weights and early stopping; ``mode`` is that of the validation score, if any."""
    callbacks: list[Callback] = []
    if options.ema:
        callbacks.append(MovingAverage(options.ema))
    if options.patience is not None and mode is not None:
        checks = -(-options.patience // options.validate_every)
        callbacks.append(EarlyStopping("val", mode=mode, patience=checks))
    return callbacks


class MovingAverage(WeightAveraging):
    """Validates, tests and saves an exponential moving average of the weights.

    The decay of step n is at most (1 + n) / (10 + n), so that an average of few steps forgets where
    they started. Statistics of batch normalisation are averaged alike. To train on, a checkpoint
    also holds the weights themselves.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Any, current: Any, count: Tensor) -> None:
            steps = int(count)
            get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(averaged, current, count)

        super().__init__(multi_avg_fn=average)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: Any) -> None:
        """Read both to train on; to test, the average alone, which is the model's by now."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


class BitDropout(nn.Dropout):
    """Dropout that on CPUs compares 16 bits of one draw of integers per number.

    torch draws each number by itself, in three to four times the time, a tenth of a step of a deep
    model more. p is rounded to a multiple of 2^-16, and what is kept is scaled by exactly that.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p or x.device.type != "cpu":
            return super().forward(x)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        words = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 4),))
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (bits >= dropped - 2**15).to(x.dtype).mul_(2**16 / (2**16 - dropped))


def use_bit_dropout(model: nn.Module) -> nn.Module:
    """Replace every ``nn.Dropout`` of a model, which is changed and returned."""
    return _replace_dropout(model, nn.Dropout, BitDropout)


def use_plain_dropout(model: nn.Module) -> nn.Module:
    """Undo :func:`use_bit_dropout`, for models that others read."""
    return _replace_dropout(model, BitDropout, nn.Dropout)


def _replace_dropout(model: nn.Module, old: type[nn.Dropout], new: type[nn.Dropout]) -> nn.Module:
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is old:
                setattr(module, name, new(child.p))
    return model
