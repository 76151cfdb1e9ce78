"""Independent walks, the published estimator, and walks in antithetic pairs."""

from __future__ import annotations

from graphmask._deprecation import deprecated_arguments
from graphmask.topology import Normalization

from .length_laws import Antithetic, Geometric
from .paths import PathSampler


class IIDWalks(PathSampler):
    r"""n independent simple random walks from every node, which halt with a probability per hop.

    A walk that has made the hops :math:`u_0 \to \dots \to u_t` leaves
    :math:`\frac1n \prod_{s<t} W_{u_s u_{s+1}} \deg(u_s) / (1 - p_{halt})` at hop t: the product of
    its weights over the probability of this prefix. ``deg`` counts the entries of a row of W; a
    walk ends where there are none. Under another length law :math:`P(L \ge t)` takes the place of
    :math:`(1 - p_{halt})^t`.

    The walks carry a gradient with respect to the edge weights, unbiased for that of the powers of
    W.

    Args:
        num_walks: n. (default: :obj:`32`)
        p_halt: the halting probability, in [0, 1). (default: :obj:`None`, 0.1 unless a length law
            is given)
        hops: K, after which a walk is cut; the hops up to K stay unbiased. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)
        length_law: of the lengths of walks, instead of ``p_halt``. (default: :obj:`None`,
            ``Geometric(p_halt)``)

    Raises:
        ValueError: for n < 1, a probability outside [0, 1), an unknown normalisation, both
            ``p_halt`` and ``length_law``, or a law by which walks do not reach hop K.

    Cost: O(N n E[min(L, K)]) time, plus sorting; at most n (K + 1) entries per node, about n /
    p_halt.

    Source: Reid et al. (ICLR 2025), eqs. 9-10.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> walks = gm.walks.IIDWalks(num_walks=16, p_halt=0.25, hops=3)(path)
        >>> walks.to_dense()[0].diagonal()  # zero hops are exact
        tensor([1., 1., 1.])
    """


@deprecated_arguments(n_walks="num_walks")
class AntitheticWalks(PathSampler):
    """Walks as of :class:`IIDWalks`, in pairs that halt at different hops.

    :class:`Antithetic` geometric lengths.

    Every walk by itself is what it is among independent ones, and all stays unbiased. For the
    2-regularised Laplacian kernel the source proves a lower variance, under conditions on the
    graph.

    Args:
        num_walks: n; of an odd number the last has no partner. (default: :obj:`32`)
        p_halt: the halting probability, in [0, 1). (default: :obj:`0.1`)
        hops: K, after which a walk is cut; the hops up to K stay unbiased. (default: :obj:`8`)
        normalization: of W. (default: :obj:`"sym"`)

    Raises:
        ValueError: as for :class:`IIDWalks`.

    Cost: that of :class:`IIDWalks`.

    Source: Reid, Choromanski and Weller, "Quasi-Monte Carlo Graph Random Features" (NeurIPS 2023).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> walks = gm.walks.AntitheticWalks(num_walks=16, p_halt=0.5, hops=3)(path)
        >>> walks.to_dense()[1, 0]  # of every pair one makes the first hop, 0 -> 1: exact
        tensor([0.0000, 0.7071, 0.0000])
    """

    def __init__(
        self,
        num_walks: int = 32,
        p_halt: float = 0.1,
        hops: int = 8,
        normalization: Normalization = "sym",
    ) -> None:
        law = Antithetic(Geometric(p_halt))
        super().__init__(num_walks, None, hops, normalization, law)
