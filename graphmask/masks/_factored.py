"""What masks that are products of walks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphmask._checks import check_integer, value_error
from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator, ProductOperator
from graphmask.topology import Topology
from graphmask.walks import WalkSampler

from ._on_walks import MaskOnWalks
from .coefficients import Coefficients, NonNegative, make_coefficients
from .deconvolution import Deconvolution


class FactoredMask(MaskOnWalks):
    r""":math:`\Phi_1 \Phi_2^T \cdots \Phi_{2l-1} \Phi_{2l}^T` with :math:`\Phi_i = \sum_t f_t S^{(i)}_t`."""

    def __init__(
        self,
        degree: int,
        hops: int,
        heads: int,
        f: Callable[[int, int], Coefficients] | None,
        alpha: Callable[[int, int], Coefficients] | None,
        sampler: WalkSampler | None,
        seed: int,
    ) -> None:
        if f is not None and alpha is not None:
            raise value_error(
                "f, alpha",
                "given one at most: the coefficients of each factor, or of the product",
                "both",
            )
        check_integer("degree", degree, 1)
        if alpha is None:
            modulation = make_coefficients(NonNegative if f is None else f, hops, heads)
        else:
            modulation = Deconvolution(make_coefficients(alpha, hops, heads), 2 * degree)
        super().__init__(modulation, sampler, seed)
        self.degree = degree

    @property
    def f(self) -> Coefficients:
        """The modulation function."""
        return self.coefficients

    @property
    def num_sets(self) -> int:
        return 2 * self.degree

    def target(self, topology: Topology) -> MaskOperator:
        factor = self._series(topology)
        return ProductOperator(*[factor, factor.mT] * self.degree)

    def _operator(self, topology: Topology) -> MaskOperator:
        factors = self._factors(topology)
        return ProductOperator(
            *(factor.mT if number % 2 else factor for number, factor in enumerate(factors))
        )

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        sets = self._read(topology)
        return [*super()._patterns(topology), *(walks.pattern.mT for walks in sets[1::2] or sets)]

    def _describe_f(self) -> str:
        """The argument that f was made from."""
        return (
            f"alpha={type(self.f.alpha).__name__}"
            if isinstance(self.f, Deconvolution)
            else f"f={type(self.f).__name__}"
        )
