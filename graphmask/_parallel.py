"""Jobs on several processes, by joblib."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import joblib


def run_jobs(jobs: Iterable[Any], workers: int, backend: str | None) -> Iterator[Any]:
    """Results of ``joblib.delayed`` calls, as they come.

    Args:
        jobs: the calls.
        workers: number of processes, or -1 for one per core.
        backend: of joblib; :obj:`None` is that of ``joblib.parallel_config``.
    """
    # Entering the configuration registers engines of other packages, such as "dask".
    with nullcontext() if backend is None else joblib.parallel_config(backend=backend):
        parallel = joblib.Parallel(workers, return_as="generator_unordered")
    return parallel(jobs)
