"""Preparation of many graphs by workers, into shards that are read by memory mapping."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, InMemoryDataset
from torch_geometric.data.separate import separate
from torch_geometric.typing import SparseTensor
from tqdm.auto import tqdm

from ._atomic import write_text
from ._checks import check_integer, type_error, value_error
from ._parallel import run_jobs
from ._settings import describe_setting
from ._shards import check_alike, check_size, damaged, read_shard, save_shard, sha256
from .extras import require, version_of

FORMAT = 1
MANIFEST = "manifest.json"

# Characters of a source or a transform that a manifest gives; of longer ones it has a checksum.
_LONG = 2000

# Threads of a process share the state of random numbers, so they take turns.
_turn = threading.Lock()


def prepare(
    dataset: Sequence[Data] | Dataset,
    transform: Callable[[Data], Data],
    folder: str | Path,
    *,
    workers: int = 1,
    backend: str | None = None,
    shard_size: int = 1024,
    seed: int = 0,
    progress: bool = True,
) -> Prepared:
    """Apply a transform to all graphs of a dataset, in parallel, and store them in shards.

    A shard holds ``shard_size`` graphs, collated as PyG's ``InMemoryDataset`` does. It is written
    aside and moved to its place when it is complete; ``manifest.json`` then names it with its
    checksum. Whatever stops a run, the next one goes on with the shards that are missing.

    The files depend neither on the number of workers nor on their engine: torch's, numpy's and
    Python's random numbers are seeded for each graph by ``seed`` and its index, and transforms run
    on one thread.

    The transform gets a copy of each graph. A rerun compares the settings of the dataset and of the
    transform, and graphs: all of those in memory, the first and the last of others.

    Args:
        dataset: graphs, by index. Items of lists and of datasets in memory are sent to the workers;
            other datasets are sent as they are, and read there. A ``transform`` of the dataset
            itself is applied, too.
        transform: from ``Data`` to ``Data``, such as a ``Compose``.
        folder: where to write; ``~`` expands.
        workers: number of processes, or -1 for one per core. (default: :obj:`1`, this process)
        backend: of joblib: ``"loky"``, ``"threading"``, ``"dask"`` where a client of a cluster
            exists, or one that was registered, such as ``"ray"``. (default: :obj:`None`, that of
            ``joblib.parallel_config``)
        shard_size: graphs of a shard. (default: :obj:`1024`)
        seed: of random transforms. (default: :obj:`0`)
        progress: whether to show a progress bar. (default: :obj:`True`)

    Returns:
        The graphs, as :class:`Prepared` reads them.

    Raises:
        TypeError: where the transform returns no ``Data``, or holds what a shard cannot: anything
            but tensors, numbers, texts, and lists and dictionaries of these.
        RuntimeError: where the transform raises an error, which it names with the graph.
        ValueError: for an empty dataset, graphs of different attributes or types, and a folder that
            was prepared from something else.
        graphmask.extras.MissingExtraError: without the package safetensors (extra ``pretrained``).

    Cost: that of the transform. A rerun reads the shards that exist, to compare their checksums.

    Example:
        >>> import tempfile, torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> graphs = [Data(edge_index=edge_index, num_nodes=n) for n in (2, 3, 4)]
        >>> walks = gm.transforms.AddWalks(gm.walks.ResampledWalks(budget=4, hops=1))
        >>> folder = tempfile.TemporaryDirectory()
        >>> dataset = gm.prepare(graphs, walks, folder.name, shard_size=2, progress=False)
        >>> dataset, dataset[2].num_nodes
        (Prepared(3), 4)
        >>> folder.cleanup()
    """
    require("safetensors", extra="pretrained")
    check_integer("shard_size", shard_size, 1)
    if check_integer("workers", workers, -1) == 0:
        raise value_error("workers", "positive, or -1 for one per core", workers)
    if not callable(transform):
        raise type_error("transform", "a function from Data to Data", transform)
    count, folder = len(dataset), _absolute(folder)
    if not count:
        raise value_error("dataset", "of one graph at least", "none")
    manifest = _start(folder, _plan(dataset, transform, shard_size, seed))
    starts = range(0, count, shard_size)
    missing = [i for i in range(len(starts)) if not _is_whole(folder, manifest, i)]
    jobs = (
        joblib.delayed(_write_shard)(
            _graphs(dataset, starts[i], min(starts[i] + shard_size, count)),
            transform,
            starts[i],
            _shard_path(folder, i),
            manifest["plan"],
        )
        for i in missing
    )
    with tqdm(total=count, unit=" graphs", disable=not progress) as bar:
        bar.update(count - sum(min(shard_size, count - starts[i]) for i in missing))
        for name, shard in run_jobs(jobs, workers, backend):
            known = next(iter(manifest["shards"].values()), shard)  # all of these are alike
            check_alike(shard["kinds"], known["kinds"], shard["first"], known["first"])
            manifest["shards"][name] = shard
            write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
            bar.update(shard["graphs"])
    return Prepared(folder)


class Prepared(Dataset):
    """Graphs that :func:`prepare` has stored: a PyG dataset that reads by memory mapping.

    A graph is read when it is accessed. Copies in other processes, such as the workers of a
    ``DataLoader``, map the same files.

    Args:
        folder: that of :func:`prepare`; ``~`` expands.
        transform: applied at every access. (default: :obj:`None`)

    Raises:
        FileNotFoundError: without a manifest, and where a shard is missing.
        ValueError: where the preparation has not ended, or a shard is damaged or belongs to
            another folder.
    """

    def __init__(self, folder: str | Path, transform: Callable[[Data], Data] | None = None) -> None:
        require("safetensors", extra="pretrained")
        self.folder = _absolute(folder)
        manifest = _read_manifest(self.folder)
        self.plan, self.shards = manifest["plan"], manifest["shards"]
        done, count = sum(shard["graphs"] for shard in self.shards.values()), self.plan["graphs"]
        if done != count:
            raise ValueError(
                f"{self.folder} holds {done:,} of {count:,} graphs: run `prepare` again, which "
                "goes on where it stopped"
            )
        self._names = sorted(self.shards)
        self._ends = list(accumulate(self.shards[name]["graphs"] for name in self._names))
        for name in self._names:
            check_size(self.folder / name, self.shards[name]["bytes"])
        self._open: dict[int, tuple[Data, dict[str, Any]]] = {}
        super().__init__(transform=transform)

    def len(self) -> int:
        return self._ends[-1]

    def get(self, idx: int) -> Data:
        shard = bisect_right(self._ends, idx)
        data, slices = self._map(shard)
        first = self._ends[shard] - self.shards[self._names[shard]]["graphs"]
        return separate(Data, data, idx - first, slices, decrement=False)

    def verify(self) -> None:
        """Compare the checksums of all shards.

        Raises:
            ValueError: for a shard whose content is another.
        """
        for name in self._names:
            check_size(self.folder / name, self.shards[name]["bytes"])
            if sha256(self.folder / name) != self.shards[name]["sha256"]:
                raise damaged(self.folder / name, "its checksum differs")

    def _map(self, shard: int) -> tuple[Data, dict[str, Any]]:
        if shard not in self._open:
            path = self.folder / self._names[shard]
            self._open[shard] = read_shard(path, _fingerprint(self.plan))
        return self._open[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}


def _plan(dataset: Any, transform: Any, shard_size: int, seed: int) -> dict[str, Any]:
    """Settings that the shards depend on."""
    return {
        "graphs": len(dataset),
        "shard_size": shard_size,
        "seed": check_integer("seed", seed, 0),
        "dtype": str(torch.get_default_dtype()),
        "transform": _describe(transform),
        "source": _describe(dataset),
        "content": _content(dataset),
        "versions": {name: version_of(name) for name in ("graphmask", "torch")},
    }


def _absolute(folder: str | Path) -> Path:
    """The folder, also for workers that run elsewhere."""
    return Path(folder).expanduser().absolute()


def _content(dataset: Any) -> str:
    """Content of the graphs: all of those in memory, the first and the last of others."""
    if isinstance(dataset, InMemoryDataset):
        order, slices = repr(list(dataset.indices())), repr(_plain(dataset.slices))
        return _sha256(_digest(dataset._data), order, slices)
    is_list = isinstance(dataset, (list, tuple))
    places = range(len(dataset)) if is_list else sorted({0, len(dataset) - 1})
    return _sha256(*(_digest(dataset[place]) for place in places))


def _plain(slices: Any) -> Any:
    """Nested dictionaries of tensors as lists."""
    if isinstance(slices, dict):
        return {key: _plain(value) for key, value in slices.items()}
    return slices.tolist() if isinstance(slices, Tensor) else slices


def _sha256(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()


def _describe(value: Any) -> str:
    """Text of a source or a transform, the same in every process."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__
    if isinstance(value, InMemoryDataset):  # its content is described by itself
        return f"{type(value).__name__}, {describe_setting(value.transform)}"
    text = describe_setting(value)
    return text if len(text) <= _LONG else f"{type(value).__name__}, {_sha256(text)}"


def _digest(data: Data) -> str:
    if not isinstance(data, Data):
        raise type_error("dataset", "of torch_geometric.data.Data", data)
    digest = hashlib.sha256()
    for name, value in sorted(data.to_dict().items()):
        digest.update(name.encode())
        _update(digest, value)
    return digest.hexdigest()


def _update(digest: Any, value: Any) -> None:
    """Take a value into a digest: the numbers of tensors and arrays, wherever they are in it."""
    if isinstance(value, SparseTensor):
        value = [*value.sizes(), *value.coo()]
    if isinstance(value, Tensor) and value.layout != torch.strided:
        value = [*value.shape, *_parts(value)]
    if isinstance(value, Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        digest.update(str((value.dtype, tuple(value.shape))).encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(str((value.dtype, value.shape)).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        _update(digest, [item for pair in value.items() for item in pair])
    elif isinstance(value, (list, tuple)):
        digest.update(f"{type(value).__name__} {len(value)}".encode())
        for item in value:
            _update(digest, item)
    else:
        digest.update(f"{describe_setting(value)!r} ".encode())


def _parts(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The indices and the values of a sparse matrix."""
    matrix = matrix.to_sparse_coo().coalesce()
    return matrix.indices(), matrix.values()


def _start(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a run that goes on, or of a new one."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        return {"format": FORMAT, "plan": plan, "shards": {}}
    manifest = _read_manifest(folder)
    for name, value in plan.items():
        if manifest["plan"].get(name) != value:
            raise value_error(
                "folder",
                f"empty, or prepared from the same {name} ({manifest['plan'].get(name)})",
                f"{folder} and {name} {value}",
            )
    return manifest


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no {MANIFEST}: `prepare` writes it")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and set(manifest) == {"format", "plan", "shards"}
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error
    if "owner" in manifest:
        raise value_error("folder", "empty, or one of `prepare`", f"{folder} with a graph in parts")
    if not known:
        raise damaged(path, f"it is no manifest of format {FORMAT}")
    return manifest


def _shard_path(folder: Path, index: int) -> Path:
    return folder / f"shard-{index:06d}.safetensors"


def _is_whole(folder: Path, manifest: dict[str, Any], index: int) -> bool:
    path = _shard_path(folder, index)
    shard = manifest["shards"].get(path.name)
    whole = shard is not None and path.exists() and sha256(path) == shard["sha256"]
    if not whole:
        manifest["shards"].pop(path.name, None)
    return whole


def _graphs(dataset: Any, start: int, end: int) -> Any:
    """State that a worker needs to read the graphs from start to end."""
    if isinstance(dataset, InMemoryDataset) or not isinstance(dataset, Dataset):
        return [dataset[i] for i in range(start, end)]
    return _Part(dataset, range(start, end))


class _Part:
    """Consecutive graphs of a dataset, read where they are used."""

    def __init__(self, dataset: Dataset, indices: range) -> None:
        self.dataset, self.indices = dataset, indices

    def __iter__(self) -> Iterator[Data]:
        return (self.dataset[i] for i in self.indices)


def _write_shard(
    graphs: Any, transform: Any, start: int, path: Path, plan: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Prepare the graphs of a shard and write them; its name, and its entry in the manifest."""
    prepared: list[Data] = []
    with _turn, _settings_of(plan), _kept_random_state():
        for index, data in enumerate(graphs, start):
            prepared.append(_apply(transform, data, plan["seed"], index))
    return path.name, {"first": start, **save_shard(path, prepared, start, _fingerprint(plan))}


def _apply(transform: Any, data: Data, seed: int, index: int) -> Data:
    _seed_all(seed, index)
    try:
        out = transform(data.clone())  # as for workers, it is not the source that changes
    except Exception as error:
        message = f"the transform fails on graph {index}: {type(error).__name__}: {error}"
        raise RuntimeError(message) from error
    if type(out) is not Data:
        raise type_error("transform", f"a function to Data, also for graph {index}", out)
    return out


def _fingerprint(plan: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _seed_all(seed: int, index: int) -> None:
    words = np.random.SeedSequence([seed, index]).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002, what transforms draw from
    random.seed(int(words[2]))


@contextmanager
def _kept_random_state() -> Iterator[None]:
    numpy_state = np.random.get_state()  # noqa: NPY002
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(state)


@contextmanager
def _settings_of(plan: dict[str, Any]) -> Iterator[None]:
    """One thread, and the default type of the process that called :func:`prepare`."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, plan["dtype"].removeprefix("torch.")))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
