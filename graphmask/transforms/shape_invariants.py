"""Features of the surroundings of a point that are the same in every pose."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer
from graphmask.kernels import spmm
from graphmask.transforms._batches import Transform
from graphmask.transforms._graph_alone import topology_alone
from graphmask.transforms._points import centred, graph_numbers, positions

# Added to lengths, so that the logarithm of zero is finite.
_FLOOR = 1e-3


class ShapeInvariants(Transform):
    r"""Write features of each point's surroundings to ``data.x``, the same in every pose.

    They do not change when the shape is turned, mirrored or moved. With the positions p about the
    mean of their graph, and s_t = W^t p their means over t steps of the random walk (W = D^-1 A,
    edge weights included), the columns are log(|p|) and, for t = 1, 2, 4, ..., 2^(scales - 1),

    .. math:: \log |s_t|, \quad \log |p - s_t|, \quad \cos\angle(p, p - s_t)

    the distance of the neighbourhood from the centre, how far smoothing moves the point
    (curvature), and whether it moves it inwards or outwards (bulge or dent). Lengths are in units
    of ``pos``: scale shapes first, with :class:`UnitSphere`. 0.001 is added to each length before
    its logarithm is taken.

    The shape must have edges, from :class:`KNNGraph`, :class:`RadiusGraph` or :class:`MeshToGraph`.
    A point without edges has s_t = 0. An earlier ``x`` is replaced.

    Cost: O(2^scales E D) time, O(N (D + scales)) memory.

    Args:
        scales: number of steps t, at least 1. (default: :obj:`5`)

    Raises:
        TypeError: if ``scales`` is not an integer.
        ValueError: if ``scales`` is below 1; ``pos`` is missing, not float32 or float64, not
            ``[N, D]`` or not finite.

    Source: a smoothed position less the position is the Laplacian coordinate of O. Sorkine,
    "Laplacian Mesh Processing", Eurographics STAR 2005; here at several scales.

    Example:
        >>> import torch
        >>> data = Data(pos=torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
        >>> from graphmask.transforms import KNNGraph
        >>> transform = ShapeInvariants(scales=2)
        >>> x = transform(KNNGraph(4)(data)).x
        >>> mirrored = Data(pos=data.pos.flip(1) + 7)
        >>> x.shape, torch.allclose(x, transform(KNNGraph(4)(mirrored)).x, atol=1e-4)
        (torch.Size([20, 7]), True)
    """

    def __init__(self, scales: int = 5) -> None:
        self.scales = check_integer("scales", scales, 1)

    def forward(self, data: Data) -> Data:
        """Write the columns ``[N, 1 + 3 scales]``."""
        pos = positions(data)
        graph = graph_numbers(pos, data.batch)
        position = centred(pos, graph).to(pos.dtype)
        pattern, weight = topology_alone(data).adjacency("rw")
        weight = weight.to(position).unsqueeze(0)
        smooth, columns = position, [_log_norm(position)]
        for step in range(1, 2 ** (self.scales - 1) + 1):
            smooth = spmm(pattern, weight, smooth.unsqueeze(0))[0]
            if step & (step - 1) == 0:
                moved = position - smooth
                cosine = torch.cosine_similarity(position, moved)
                columns += [_log_norm(smooth), _log_norm(moved), cosine]
        data.x = torch.stack(columns, 1)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scales={self.scales})"


def _log_norm(vectors: Tensor) -> Tensor:
    return (vectors.norm(dim=1) + _FLOOR).log()
