"""Several draws of a random transform: one picked per access, all of them for votes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphmask._checks import check_integer, type_error, value_error
from graphmask._random import seed_from
from graphmask._settings import describe_setting, repr_of
from graphmask.transforms._batches import Transform
from graphmask.transforms._generators import CarriesGenerator, check_generator

# Attributes of nodes and of edges that notice what happens to these.
_MARKS = ("variant_nodes", "variant_edges")


class Variants(Transform):
    """Keep several draws of a transform with each example, graph and walks included.

    Points that are drawn, moved or dropped anew need another graph and other walks, which cost far
    more than a training step. As ``pre_transform`` of a dataset this draws ``copies`` variants of
    each example once; :class:`PickVariant` as ``transform`` picks one per access, and
    :func:`all_variants` gives all, for votes.

    Writes ``data.variants``, a dictionary ``{"0": {attribute: value, ...}, "1": ...}`` of tensors,
    numbers and texts, which PyG's ``InMemoryDataset`` and the datasets of this library cache as
    files. Attributes that the transform leaves as they are, such as ``y``, stay on the data itself,
    once. Where ``edge_index`` is one of them, ``variant_nodes [N, 2]`` and ``variant_edges [E, 2]``
    notice that nodes or edges were selected or reordered since, which is an error where a variant
    is read. So is a batch, or an earlier ``variants``.

    Args:
        transform: draws anew in each call, as this library's augmentations and PyG's do. What draws
            from a seed and the graph alone, such as :class:`FarthestPoints`, draws the same each
            time, unless the graph was changed before. The same seeds give the same variants in
            every run that draws for the same examples in the same order.
        copies: number of variants. (default: :obj:`8`)

    Raises:
        TypeError: if ``transform`` is not callable, or does not return ``Data``.
        ValueError: for fewer than one copy, a batch, or variants of different attributes.

    Cost: ``copies`` times the transform, and memory for as many examples.

    Source: cached draws of augmented clouds stand in the place of draws per access as in Qian et
    al., "PointNeXt" (NeurIPS 2022), whose gains over PointNet++ are mostly those of augmentation.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.transforms import Compose
        >>> generator = torch.Generator().manual_seed(0)
        >>> draw = Compose(
        ...     [
        ...         gm.transforms.RandomPointDropout(0.5, generator=generator),
        ...         gm.transforms.KNNGraph(2),
        ...         gm.transforms.AddWalks(gm.walks.ResampledWalks(8, hops=2), generator),
        ...     ]
        ... )
        >>> cloud = Data(pos=torch.rand(6, 3), y=torch.tensor([1]))
        >>> data = Variants(draw, copies=3)(cloud)
        >>> sorted(data.keys()), len(data.variants)
        (['variants', 'y'], 3)
        >>> PickVariant(generator)(data).y
        tensor([1])
        >>> len(all_variants(data))
        3
    """

    def __init__(self, transform: Callable[[Data], Data], copies: int = 8) -> None:
        if not callable(transform):
            raise type_error("transform", "a callable, such as a transform", transform)
        self.transform, self.copies = transform, check_integer("copies", copies, 1)

    def forward(self, data: Data) -> Data:
        """Write the variants."""
        if not isinstance(data, Data) or isinstance(data, Batch):
            raise type_error("data", "one torch_geometric.data.Data, not a batch", data)
        if "variants" in data:
            raise value_error("data", "without variants", f"{len(data.variants)} of them")
        drawn = [self._draw(data) for _ in range(self.copies)]
        if any(set(one.keys()) != set(drawn[0].keys()) for one in drawn):
            got = " and ".join(map(str, {tuple(sorted(one.keys())) for one in drawn}))
            raise value_error("transform", "a function to data of the same attributes", got)
        shared = {key for key, value in data if all(one.get(key) is value for one in drawn)}
        sizes = (data.num_nodes, data.num_edges) if "edge_index" in shared else ()
        for key in set(data.keys()) - shared:
            del data[key]
        data.variants = {
            str(number): {key: value for key, value in one if key not in shared}
            for number, one in enumerate(drawn)
        }
        return data.update(dict(zip(_MARKS, map(_mark, sizes), strict=False)))

    def _draw(self, data: Data) -> Data:
        drawn = self.transform(copy.copy(data))
        if not isinstance(drawn, Data):
            raise type_error("transform", "a function to torch_geometric.data.Data", drawn)
        return drawn

    def __repr__(self) -> str:
        return f"Variants({describe_setting(self.transform)}, copies={self.copies})"


class PickVariant(CarriesGenerator, Transform):
    """Pick one of the variants that :class:`Variants` keeps, each as probable as any other.

    Each access picks anew, so that the epochs of a training see different variants.

    Args:
        generator: the source of randomness. In a worker process of a ``DataLoader`` another one
            takes its place, by this one's seed and the seed that the loader gives to the worker:
            workers pick differently, and so do epochs; the same seeds of both give the same picks.
            (default: :obj:`None`, the operating system)

    Raises:
        TypeError: if the generator is no ``torch.Generator``, or for a batch.
        ValueError: for data without variants, or of other nodes or edges than they.

    Cost: O(1); attributes are shared with the data, not copied.

    Example:
        >>> import torch
        >>> noisy = Variants(lambda data: data.update({"x": torch.rand(1)}), copies=4)
        >>> data = noisy(Data(y=torch.tensor([1])))
        >>> picked = PickVariant(torch.Generator().manual_seed(0))(data)
        >>> any(torch.equal(picked.x, each.x) for each in all_variants(data))
        True
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = check_generator(generator)

    def forward(self, data: Data) -> Data:
        """Return the variant."""
        variants = all_variants(data)
        return variants[seed_from(self.source) % len(variants)]

    def __repr__(self) -> str:
        return repr_of(self)


def all_variants(data: Data) -> list[Data]:
    """All variants that :class:`Variants` keeps, for votes.

    As ``transform`` of a test set it makes a ``DataLoader`` give a list of batches, one for each
    variant, and the vote of a model is the mean over them::

        torch.stack([model(batch).softmax(-1) for batch in batches]).mean(0)

    Args:
        data: an example with ``variants``.

    Returns:
        the examples.

    Raises:
        TypeError: for a batch.
        ValueError: for data without variants, or of other nodes or edges than they.

    Example:
        >>> import torch
        >>> from torch_geometric.loader import DataLoader
        >>> noisy = Variants(lambda data: data.update({"x": torch.rand(1, 2)}), copies=4)
        >>> votes = [all_variants(noisy(Data(y=torch.tensor([y])))) for y in range(3)]
        >>> (batches,) = DataLoader(votes, batch_size=3)
        >>> len(batches), batches[0].x.shape, batches[3].y
        (4, torch.Size([3, 2]), tensor([0, 1, 2]))
    """
    if isinstance(data, Batch):
        raise type_error("data", "one example, not a batch: pick before batching", data)
    variants = data.get("variants") if isinstance(data, Data) else None
    if not isinstance(variants, dict) or not variants:
        expected = "with variants: give the dataset `pre_transform=Variants(...)`"
        raise value_error("data", expected, repr(data))
    for name in _MARKS:
        mark = data.get(name)
        if mark is not None and not mark.equal(_mark(len(mark)).to(mark.device)):
            expected = "with the nodes and edges, in the order, that its variants were drawn with"
            got = "some that a later transform selected or reordered: apply it before Variants"
            raise value_error("data", expected, got)
    return [_make(data, variant) for variant in variants.values()]


def _mark(size: int) -> Tensor:
    """``[size, 2]``, the number of each node or edge, and of all."""
    return torch.stack([torch.arange(size), torch.full((size,), size)], 1)


def _make(data: Data, variant: dict[str, Any]) -> Data:
    made = copy.copy(data)
    for name in ("variants", *_MARKS):
        made.pop(name, None)
    for key, value in variant.items():
        # PyG's collation turns numbers into tensors.
        made[key] = int(value) if key == "num_nodes" else value
    return made
