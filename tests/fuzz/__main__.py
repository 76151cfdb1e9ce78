"""``python -m tests.fuzz CAMPAIGN --cases N --seed S``: run one campaign, or all of them."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

# Before torch-geometric imports triton: without a GPU its kernels run in the interpreter.
os.environ.setdefault("TRITON_INTERPRET", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from fuzz.campaign import run
from fuzz.campaigns import CAMPAIGNS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("campaign", choices=[*CAMPAIGNS, "all"])
    parser.add_argument("--cases", type=int, help="default: the campaign's own number")
    parser.add_argument("--seed", type=int, default=0, help="of the first case; others follow")
    parser.add_argument("--verbose", action="store_true", help="print every traceback")
    options = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    names = CAMPAIGNS if options.campaign == "all" else [options.campaign]
    faults = 0
    for name in names:
        campaign = CAMPAIGNS[name]
        cases = campaign.cases if options.cases is None else options.cases
        seeds = range(options.seed, options.seed + cases)
        report = run(name, campaign.case, seeds, options.verbose)
        print(report, flush=True)
        faults += len(report.faults)
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
