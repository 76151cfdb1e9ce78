"""Random changes of clouds that PyG's transforms lack."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import scatter

from graphmask._checks import check_number, check_probability, value_error
from graphmask._settings import repr_of
from graphmask.transforms._batches import Transform
from graphmask.transforms._generators import CarriesGenerator, check_generator
from graphmask.transforms._points import (
    check_length,
    check_without_edges,
    graph_numbers,
    keep_points,
    positions,
)


class RandomAnisotropicScale(CarriesGenerator, Transform):
    r"""Scale ``data.pos`` about the origin by a random factor for each axis.

    .. math:: p_{id} \leftarrow s_d\, p_{id}, \qquad s_d \sim U(a, b)

    Each graph of ``data.batch`` has its own factors. PyG's ``RandomScale`` draws one factor for all
    axes and graphs. Edges, weights, walks and normals stay as they are: apply it before those are
    made that must follow.

    Args:
        scales: (a, b). (default: :obj:`(2 / 3, 3 / 2)`)
        generator: the source of randomness; in a worker process of a ``DataLoader`` as for
            :class:`PickVariant`. (default: :obj:`None`, the operating system)

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: unless 0 < a <= b; if ``pos`` is missing, not float32 or float64, not ``[N, D]``
            or not finite.

    Cost: O(N D).

    Source: with these factors in Qi et al., "PointNet++" (NeurIPS 2017) and Wang et al., "Dynamic
    Graph CNN" (TOG 2019).

    Example:
        >>> import torch
        >>> data = Data(pos=torch.ones(2, 3))
        >>> generator = torch.Generator().manual_seed(0)
        >>> RandomAnisotropicScale((0.5, 2.0), generator)(data).pos
        tensor([[1.2444, 1.6523, 0.6327],
                [1.2444, 1.6523, 0.6327]])
    """

    def __init__(
        self,
        scales: tuple[float, float] = (2 / 3, 3 / 2),
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(scales, (tuple, list)) or len(scales) != 2:
            raise value_error("scales", "a pair (a, b)", scales)
        low, high = (check_length("scales", scale) for scale in scales)
        if low > high:
            raise value_error("scales", "a pair (a, b) with a <= b", scales)
        self.scales, self.generator = (low, high), check_generator(generator)

    def forward(self, data: Data) -> Data:
        """Scale the points."""
        pos = positions(data)
        low, high = self.scales
        factor = low + (high - low) * _uniform_per_graph(self, pos, data.batch)
        data.pos = pos * factor.to(pos)
        return data

    def __repr__(self) -> str:
        return repr_of(self, "scales")


class RandomShift(CarriesGenerator, Transform):
    r"""Move ``data.pos`` by a random vector.

    .. math:: p_i \leftarrow p_i + t, \qquad t_d \sim U(-\text{shift}, \text{shift})

    Each graph of ``data.batch`` has its own vector. PyG's ``RandomJitter`` moves each point by
    itself. Distances do not change, so that edges, weights and walks stay valid.

    Args:
        shift: the largest shift along an axis. (default: :obj:`0.2`)
        generator: the source of randomness; in a worker process of a ``DataLoader`` as for
            :class:`PickVariant`. (default: :obj:`None`, the operating system)

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if ``shift`` is negative or infinite; if ``pos`` is missing, not float32 or
            float64, not ``[N, D]`` or not finite.

    Cost: O(N D).

    Source: with this range in Wang et al., "Dynamic Graph CNN" (TOG 2019).

    Example:
        >>> import torch
        >>> data = Data(pos=torch.zeros(2, 3))
        >>> RandomShift(0.2, torch.Generator().manual_seed(0))(data).pos
        tensor([[-0.0015,  0.1073, -0.1646],
                [-0.0015,  0.1073, -0.1646]])
    """

    def __init__(self, shift: float = 0.2, generator: torch.Generator | None = None) -> None:
        self.shift, self.generator = check_number("shift", shift, 0), check_generator(generator)

    def forward(self, data: Data) -> Data:
        """Move the points."""
        pos = positions(data)
        data.pos = pos + self.shift * (2 * _uniform_per_graph(self, pos, data.batch) - 1).to(pos)
        return data

    def __repr__(self) -> str:
        return repr_of(self, "shift")


class RandomPointDropout(CarriesGenerator, Transform):
    r"""Drop each point of a cloud with probability p, with all its attributes.

    At least one point of each graph stays. Every attribute with a row for each point is cut to
    those that stay, which keep their order. Drop points before building a graph: data with edges or
    faces raises an error.

    Args:
        p: the probability, in [0, 1). (default: :obj:`0.2`)
        generator: the source of randomness; in a worker process of a ``DataLoader`` as for
            :class:`PickVariant`. (default: :obj:`None`, the operating system)

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if p is outside of [0, 1); if ``data`` has edges or faces, or no valid ``pos``.

    Cost: O(N) and a copy of the attributes.

    Source: Qi et al., "PointNet++" (NeurIPS 2017), section 3.3, who draw p for each cloud.

    Example:
        >>> import torch
        >>> data = Data(pos=torch.arange(8.0).unsqueeze(1), y=torch.tensor([3]))
        >>> RandomPointDropout(0.5, torch.Generator().manual_seed(0))(data).pos.flatten()
        tensor([1., 5., 7.])
    """

    def __init__(self, p: float = 0.2, generator: torch.Generator | None = None) -> None:
        self.p, self.generator = check_probability("p", p), check_generator(generator)

    def forward(self, data: Data) -> Data:
        """Keep the points that stay."""
        pos = positions(data)
        check_without_edges(data)
        if isinstance(data, Batch):
            return Batch.from_data_list([self.forward(graph) for graph in data.to_data_list()])
        draw, graph = self.uniform(len(pos)).to(pos.device), graph_numbers(pos, data.batch)
        keep = draw >= self.p
        keep |= draw == scatter(draw, graph, reduce="max")[graph]
        return keep_points(data, keep.nonzero().squeeze(1))

    def __repr__(self) -> str:
        return repr_of(self, "p")


def _uniform_per_graph(transform: CarriesGenerator, pos: Tensor, batch: Tensor | None) -> Tensor:
    """``[N, D]`` uniform numbers, the same for all points of a graph."""
    graph = graph_numbers(pos, batch)
    num_graphs = int(graph.max()) + 1 if len(graph) else 0
    return transform.uniform(num_graphs, pos.shape[1]).to(pos.device)[graph]
