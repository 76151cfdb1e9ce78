"""The reference against hand computation, networkx, closed forms and finite differences."""

from __future__ import annotations

import ast
import doctest
import inspect
import pkgutil
from functools import partial
from importlib import import_module
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import torch
from torch.autograd import gradcheck, gradgradcheck

from graphmask import reference

DOUBLE = torch.float64
NORMALIZATIONS = ["sym", "rw", None]


def close(actual, expected, rtol=1e-12, atol=1e-12):
    expected = torch.as_tensor(np.asarray(expected), dtype=DOUBLE)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def undirected():
    """A weighted graph with a self-loop and an isolated node, as networkx knows it and as we do."""
    graph = nx.gnm_random_graph(12, 25, seed=1)
    rng = np.random.default_rng(1)
    nx.set_edge_attributes(graph, {edge: rng.uniform(0.2, 2.0) for edge in graph.edges}, "weight")
    graph.add_edge(3, 3, weight=0.7)
    graph.add_node(12)
    both_ways = [edge for u, v, w in graph.edges(data="weight") for edge in {(u, v, w), (v, u, w)}]
    source, target, weight = zip(*both_ways, strict=True)
    return graph, torch.tensor([source, target]), torch.tensor(weight, dtype=DOUBLE)


@pytest.fixture
def W(undirected):
    graph, edge_index, weight = undirected
    return reference.adjacency(edge_index, len(graph), weight)


def random_directed(generator, num_nodes=9, num_edges=30):
    edge_index = torch.randint(num_nodes, (2, num_edges), generator=generator)
    return edge_index, torch.randn(num_edges, generator=generator, dtype=DOUBLE)


def random_walks(generator, num_nodes=5, num_hops=2, entries=20):
    row, col = torch.randint(num_nodes, (2, entries), generator=generator)
    hop = torch.randint(num_hops + 1, (entries,), generator=generator)
    return row, col, hop, torch.randn(entries, generator=generator, dtype=DOUBLE)


def heads(generator, num_nodes=5, num_heads=2, channels=3):
    return torch.randn(num_nodes, num_heads, channels, generator=generator, dtype=DOUBLE)


def assert_derivatives(function, *leaves):
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_every_definition_has_an_example_that_runs():
    names = [module.name for module in pkgutil.iter_modules(reference.__path__)]
    modules = [import_module(f"graphmask.reference.{name}") for name in names]
    assert all(doctest.testmod(module).failed == 0 for module in modules)
    public = {name: value for name, value in vars(reference).items() if name[0] != "_"}
    functions = [value for value in public.values() if inspect.isfunction(value)]
    assert len(functions) > 20
    assert all(">>>" in function.__doc__ for function in functions)


def test_it_depends_on_nothing_that_it_tests():
    files = Path(reference.__file__).parent.glob("*.py")
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imports = [node for node in nodes if isinstance(node, ast.Import)]
    import_froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    imported = {alias.name for node in imports for alias in node.names}
    imported |= {node.module or "graphmask" for node in import_froms if node.level == 0}
    assert all(node.level < 2 for node in import_froms)
    allowed = {"__future__", "itertools", "math", "typing", "torch", "numpy", "scipy", "warnings"}
    assert {name.split(".")[0] for name in imported} <= allowed


def test_a_former_name_works_and_warns():
    with pytest.warns(DeprecationWarning, match="approximate_distances"):
        former = getattr(reference, "told_distances")  # noqa: B009
    assert former is reference.approximate_distances
    with pytest.raises(AttributeError, match="nothing"):
        _ = reference.nothing


# adjacency


# Parallel edges add before absolute values are computed; loops count.
PARALLEL = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]]), torch.tensor([1.0, 2.0, -1.0, 4.0])
OPPOSITE = torch.tensor([[0, 0, 1], [1, 1, 1]]), torch.tensor([1.0, -1.0, 5.0])


@pytest.mark.parametrize(
    ("graph", "normalization", "expected"),
    [
        ((torch.tensor([[0], [1]]), torch.tensor([3.0])), None, [[0, 0], [3, 0]]),
        (PARALLEL, None, [[0, 4], [3, -1]]),
        (PARALLEL, "rw", [[0, 1], [0.75, -0.25]]),
        (PARALLEL, "sym", [[0, 4 / 20**0.5], [3 / 12**0.5, -1 / 20**0.5]]),
        (OPPOSITE, "rw", [[0, 0], [0, 1]]),
    ],
)
def test_adjacency_by_hand(graph, normalization, expected):
    edge_index, weight = graph
    close(reference.adjacency(edge_index, 2, weight, normalization), expected)


def test_adjacency_agrees_with_networkx(undirected):
    graph, edge_index, weight = undirected
    A = nx.to_numpy_array(graph)
    close(reference.adjacency(edge_index, len(graph), weight, normalization=None), A)
    connected = A.sum(1) > 0
    sym = np.diag(connected.astype(float)) - nx.normalized_laplacian_matrix(graph).toarray()
    close(reference.adjacency(edge_index, len(graph), weight, normalization="sym"), sym)
    rw = reference.adjacency(edge_index, len(graph), weight, normalization="rw")
    close(rw[connected], A[connected] / A.sum(1)[connected][:, None])


def test_adjacency_counts_unit_weights_by_default():
    graph = nx.karate_club_graph()
    edge_index = torch.tensor([(u, v) for u, v in graph.to_directed().edges]).T
    counts = reference.adjacency(edge_index, 34, normalization=None)
    close(counts, nx.to_numpy_array(graph, weight=None))
    sym = reference.adjacency(edge_index, 34)
    close(sym, np.eye(34) - nx.normalized_laplacian_matrix(graph, weight=None).toarray())
    close(torch.linalg.eigvalsh(sym).max(), 1.0)


@pytest.mark.parametrize("seed", range(10))
def test_normalised_adjacency_is_bounded_on_directed_signed_graphs(seed):
    edge_index, weight = random_directed(torch.Generator().manual_seed(seed))
    assert torch.linalg.matrix_norm(reference.adjacency(edge_index, 9, weight), ord=2) <= 1 + 1e-12
    row_sums = reference.adjacency(edge_index, 9, weight, "rw").abs().sum(1)
    close(row_sums, (row_sums > 0).double())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_adjacency_of_no_edges_is_zero(normalization):
    no_edges = torch.empty(2, 0, dtype=torch.long)
    close(reference.adjacency(no_edges, 3, normalization=normalization), np.zeros((3, 3)))
    assert reference.adjacency(no_edges, 0, normalization=normalization).shape == (0, 0)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_adjacency_gradients_are_true_and_finite_where_degrees_vanish(normalization, generator):
    edge_index = torch.tensor([[0, 1, 2, 2], [1, 2, 3, 3]])
    weight = torch.tensor([1.0, 0.0, 2.0, -2.0], dtype=DOUBLE, requires_grad=True)
    A = reference.adjacency(edge_index, 5, weight, normalization)
    (gradient,) = torch.autograd.grad(A.square().sum() + A.sum(), weight)
    assert A.isfinite().all()
    assert gradient.isfinite().all()
    edge_index, weight = random_directed(generator, num_nodes=5, num_edges=12)
    adjacency = partial(reference.adjacency, edge_index, 7, normalization=normalization)
    assert_derivatives(lambda w: adjacency(edge_weight=w), weight.requires_grad_())


# walks and masks


def test_walk_powers(W):
    for k, power in enumerate(reference.walk_powers(W, 4)):
        close(power, np.linalg.matrix_power(W.numpy(), k))
    close(reference.walk_powers(W, 0), np.eye(13)[None])
    path = reference.adjacency(torch.tensor([[0, 1], [1, 2]]), 3, normalization=None)
    assert reference.walk_powers(path, 2)[2].nonzero().tolist() == [[2, 0]]


def test_walk_matrices_add_coinciding_entries_and_invert_the_powers(W, generator):
    row, col, hop, weight = random_walks(generator)
    S = torch.zeros(3, 5, 5, dtype=DOUBLE)
    for i, j, t, w in zip(row, col, hop, weight, strict=True):
        S[t, i, j] += w
    close(reference.walk_matrices(row, col, hop, weight, 5, 2), S)
    powers = reference.walk_powers(W, 3)
    hop, row, col = powers.nonzero(as_tuple=True)
    exact = reference.walk_matrices(row, col, hop, powers[hop, row, col], len(W), 3)
    close(exact, powers, rtol=0, atol=0)


def test_global_mask():
    close(reference.global_mask(2), np.ones((1, 2, 2)))
    mask = reference.global_mask(4, torch.tensor([2, 0, 2, 1]))
    close(mask, [[[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]])


def test_power_series_is_a_function_of_the_spectrum(W, generator):
    alpha = torch.randn(2, 4, generator=generator, dtype=DOUBLE)
    eigenvalues, vectors = np.linalg.eigh(W.numpy())
    for M, coefficients in zip(reference.power_series(W, alpha), alpha.numpy(), strict=True):
        spectrum = np.polynomial.polynomial.polyval(eigenvalues, coefficients)
        close(M, vectors * spectrum @ vectors.T)


def test_grf_mask_of_a_directed_graph_needs_key_walks_on_the_reversed_graph(generator):
    W = reference.adjacency(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), 4)
    f = torch.randn(1, 3, generator=generator, dtype=DOUBLE)
    powers, reversed_powers = reference.walk_powers(W, 2), reference.walk_powers(W.mT, 2)
    expected = reference.power_series(W, reference.convolution(f))
    close(reference.grf_mask(powers, reversed_powers, f), expected)
    assert not torch.allclose(reference.grf_mask(powers, powers, f), expected)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_stitched_mask_of_the_powers_is_the_power_series_of_the_convolution(W, degree, generator):
    f = torch.randn(3, 3, generator=generator, dtype=DOUBLE)
    powers = reference.walk_powers(W, 2)
    expected = reference.power_series(W, reference.convolution(f, 2 * degree))
    close(reference.walk_mask(powers, f), reference.power_series(W, f))
    close(reference.stitched_mask([powers] * 2 * degree, f), expected, rtol=1e-10, atol=1e-10)


def test_stitched_mask_keeps_its_factors_in_order(generator):
    S = list(torch.randn(4, 3, 5, 5, generator=generator, dtype=DOUBLE))
    f = torch.tensor([[1.0, 0.5, -2.0]], dtype=DOUBLE)
    a, b, c, d = ((hops[0] + 0.5 * hops[1] - 2 * hops[2]).numpy() for hops in S)
    close(reference.stitched_mask(S, f)[0], a @ b.T @ c @ d.T)
    close(reference.stitched_mask(S[:2], f), reference.grf_mask(*S[:2], f))
    close(reference.grf_mask(*S[:2], f)[0], a @ b.T)
    assert torch.linalg.eigvalsh(reference.grf_mask(S[0], S[0], f)[0]).min() > -1e-9
    close(reference.symmetric_part(S[0]), [(hop + hop.T) / 2 for hop in S[0].numpy()])


def test_mask_gradients(generator):
    edge_index, weight = random_directed(generator, num_nodes=4, num_edges=8)
    alpha = torch.randn(2, 3, generator=generator, dtype=DOUBLE, requires_grad=True)
    row, col, hop, load = random_walks(generator, num_nodes=4)
    weight.requires_grad_()
    load.requires_grad_()

    def series(w, a):
        return reference.power_series(reference.adjacency(edge_index, 4, w), a)

    def walks(s, a):
        return reference.walk_mask(reference.walk_matrices(row, col, hop, s, 4, 2), a)

    def factors(s, a):
        S = reference.walk_matrices(row, col, hop, s, 4, 2)
        return reference.grf_mask(S, S.flip(1), a)

    def stitches(s, a):
        S = reference.symmetric_part(reference.walk_matrices(row, col, hop, s, 4, 2))
        return reference.stitched_mask([S, S.flip(1), S, S], a)

    for mask, structure in [(series, weight), (walks, load), (factors, load), (stitches, load)]:
        assert_derivatives(mask, structure, alpha)


# coefficients


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("scale", [0.0, 0.3, 2.0])
def test_coefficients_converge_to_their_closed_forms(undirected, normalization, scale):
    graph, edge_index, weight = undirected
    W = reference.adjacency(edge_index, len(graph), weight, normalization)
    I, w = np.eye(len(W)), W.numpy()  # noqa: E741
    teleport = 1 / (1 + scale)
    laplacian = I + scale * (I - w)
    inverse = np.linalg.inv(laplacian)
    regularized = reference.regularized_laplacian
    page_rank = teleport * np.linalg.inv(I - (1 - teleport) * w)
    # Up to a constant the inverse cosine kernel.
    cosine = 2**0.5 * scipy.linalg.cosm(np.pi / 4 * I - scale * w)
    families = {
        "diffusion": (reference.diffusion, scale, scipy.linalg.expm(-scale * (I - w))),
        "pagerank": (reference.pagerank, teleport, page_rank),
        "regularized": (regularized, scale, inverse),
        "regularized^2": (partial(regularized, power=2), scale, inverse @ inverse),
        "regularized^0.5": (partial(regularized, power=0.5), scale, scipy.linalg.sqrtm(inverse)),
        "cosine": (reference.cosine, scale, cosine),
    }
    for name, (family, argument, closed_form) in families.items():
        series = (reference.power_series(W, family(argument, K)[None])[0] for K in (2, 8, 100))
        errors = [abs(M.numpy() - closed_form).max() for M in series]
        assert errors[-1] < 1e-12, name
        assert scale == 0 or errors[0] > errors[1] > errors[2], name


@pytest.mark.parametrize("steps", [0, 1, 4, 9])
def test_p_step_walk_is_a_power_of_the_lazy_walk(W, steps):
    lazy = 0.7 * torch.eye(13, dtype=DOUBLE) + 0.3 * W
    alpha = reference.p_step_walk(0.3, 9, steps)
    close(reference.power_series(W, alpha[None])[0], torch.linalg.matrix_power(lazy, steps))
    close(reference.p_step_walk(0.3, 3, steps), alpha[:4])
    close(alpha.sum(), 1.0)


DISTRIBUTIONS = [
    reference.diffusion,
    reference.pagerank,
    reference.regularized_laplacian,
    partial(reference.regularized_laplacian, power=2.5),
    partial(reference.p_step_walk, steps=7),
]


@pytest.mark.parametrize("family", DISTRIBUTIONS)
def test_coefficients_are_a_distribution_and_broadcast_over_scales(family):
    scale = torch.tensor([[0.2, 0.7], [0.05, 0.9]])
    alpha = family(scale, 400)
    assert alpha.shape == (2, 2, 401)
    assert alpha.dtype == DOUBLE
    assert (alpha >= 0).all()
    close(alpha.sum(-1), torch.ones(2, 2), rtol=0, atol=1e-8)
    close(alpha[1, 0], family(scale[1, 0].item(), 400))


@pytest.mark.parametrize("family", [*DISTRIBUTIONS, reference.cosine])
def test_coefficient_gradients(family):
    scale = torch.tensor([0.3, 0.8], dtype=DOUBLE, requires_grad=True)
    assert_derivatives(lambda s: family(s, 5), scale)
    if family in (reference.diffusion, reference.regularized_laplacian):
        zero = torch.zeros((), dtype=DOUBLE)
        close(family(zero, 3), [1, 0, 0, 0])
        slope = torch.autograd.functional.jacobian(lambda s: family(s, 3), zero)
        close(slope, [-1, 1, 0, 0])


def test_convolution_multiplies_polynomials(generator):
    f = torch.randn(2, 5, generator=generator, dtype=DOUBLE)
    close(reference.convolution(f), [np.convolve(row, row) for row in f.numpy()])
    close(reference.convolution(torch.tensor([3.0])), [9.0])
    thrice = [np.convolve(np.convolve(row, row), row) for row in f.numpy()]
    close(reference.convolution(f, factors=3), thrice)
    close(reference.convolution(f, factors=1), f)


def _factorial(k):
    return torch.lgamma(k + 1.0).exp()


def _odd_over_even(k):
    """(2k - 1)!! / (2k)!!"""
    return torch.cat([torch.ones(1, dtype=DOUBLE), ((2 * k[1:] - 1) / (2 * k[1:])).cumprod(0)])


K = torch.arange(12, dtype=DOUBLE)


@pytest.mark.parametrize(
    ("alpha", "f"),
    [
        pytest.param(torch.ones_like(K), _odd_over_even(K), id="1-regularised Laplacian"),
        pytest.param(K + 1, torch.ones_like(K), id="2-regularised Laplacian"),
        pytest.param(1 / _factorial(K), 1 / (2**K * _factorial(K)), id="diffusion"),
        pytest.param(torch.tensor([1.0, 2, 1, 0]), torch.tensor([1.0, 1, 0, 0]), id="2-step walk"),
        pytest.param(
            reference.pagerank(0.1, 11), 0.1**0.5 * 0.9**K * _odd_over_even(K), id="PageRank"
        ),
    ],
)
def test_deconvolution_of_the_published_kernels(alpha, f):
    close(reference.deconvolution(alpha), f.double())


@pytest.mark.parametrize("factors", [1, 2, 3, 6])
def test_deconvolution_of_many_factors(factors, generator):
    alpha = torch.randn(3, 6, generator=generator, dtype=DOUBLE)
    alpha[:, 0] = 1 + alpha[:, 0].abs()
    f = reference.deconvolution(alpha, factors)
    convolved = reference.convolution(f, factors)[..., :6]
    close(convolved, alpha)
    close(reference.deconvolution(convolved, factors), f)
    assert (f[:, 0] > 0).all()
    leaf = alpha.abs().add(0.5).requires_grad_()
    assert gradcheck(lambda a: reference.deconvolution(a, factors), leaf)
    assert gradcheck(lambda f: reference.convolution(f, factors), leaf)
    exponential = reference.diffusion(1.5, 8)
    close(reference.deconvolution(exponential, factors), reference.diffusion(1.5 / factors, 8))


def test_arguments_without_a_definition_raise():
    with pytest.raises(ValueError, match="`normalization` must be 'sym', 'rw' or None, got 'col'"):
        reference.adjacency(torch.tensor([[0], [1]]), 2, normalization="col")
    for first in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`alpha` must have alpha_0 > 0"):
            reference.deconvolution(torch.tensor([[1.0, 1.0], [first, 1.0]]))


# attention


def test_feature_maps():
    x = torch.tensor([-2.0, 0.0, 3.0], dtype=DOUBLE)
    close(reference.relu_features(x, 1e-3), [1e-3, 1e-3, 3.001])
    close(reference.relu_features(x), [0, 0, 3])
    close(reference.elu_plus_one(x), [np.exp(-2), 1, 4])
    x = torch.tensor([-1.5, -0.2, 0.4], dtype=DOUBLE, requires_grad=True)
    assert gradcheck(reference.relu_features, x)
    assert gradcheck(reference.elu_plus_one, x)


def by_numbers(q, k, v, mask, normaliser):
    """Attention, one number at a time."""
    out = torch.zeros(len(q), q.shape[1], v.shape[-1], dtype=DOUBLE)
    for i, h in np.ndindex(*out.shape[:2]):
        score, row = [float(q[i, h] @ key[h]) for key in k], h % len(mask)
        total = sum(float(z) * s for z, s in zip(normaliser[row, i], score, strict=True))
        for j, s in enumerate(score):
            out[i, h] += 0 if total == 0 else float(mask[row, i, j]) * s / total * v[j, h]
    return out


@pytest.mark.parametrize("mask_heads", [1, 2])
def test_attention_is_its_sum_over_pairs(mask_heads, generator):
    q, k = (reference.relu_features(heads(generator), 0.1) for _ in range(2))
    v = heads(generator, channels=4)
    mask = torch.randn(mask_heads, 5, 5, generator=generator, dtype=DOUBLE)
    close(reference.attention(q, k, v, mask), by_numbers(q, k, v, mask, mask.abs()))
    normaliser = mask.abs() + 1
    close(reference.attention(q, k, v, mask, normaliser), by_numbers(q, k, v, mask, normaliser))


def test_attention_by_hand():
    q, k = torch.tensor([[1.0, 2, 0], [1, 3, 5]]).view(2, 3, 1, 1)
    v = torch.tensor([[1.0, 0], [0, 1], [2, 2]]).view(3, 1, 2)
    mask = torch.tensor([[[1.0, -1, 0], [0, 0, 2], [1, 1, 1]]])
    close(reference.attention(q, k, v, mask), [[[0.25, -0.75]], [[2, 2]], [[0, 0]]])


def test_attention_under_the_global_mask_is_linear_attention_of_each_graph(generator):
    q, k = (reference.elu_plus_one(heads(generator)) for _ in range(2))
    v = heads(generator)
    batch = torch.tensor([1, 0, 1, 1, 0])
    out = reference.attention(q, k, v, reference.global_mask(5, batch))
    for graph in (0, 1):
        nodes = (batch == graph).nonzero().squeeze(1)
        state = torch.einsum("jhm,jhd->hmd", k[nodes], v[nodes])
        numerator = torch.einsum("ihm,hmd->ihd", q[nodes], state)
        denominator = torch.einsum("ihm,hm->ih", q[nodes], k[nodes].sum(0))
        close(out[nodes], numerator / denominator[..., None])


def test_attention_rows_are_rows_of_the_attention_matrix(generator):
    q, k = (reference.relu_features(heads(generator), 0.1) for _ in range(2))
    mask = torch.randn(2, 5, 5, generator=generator, dtype=DOUBLE)
    identity = torch.eye(5, dtype=DOUBLE)[:, None].expand(5, 2, 5)
    nodes = torch.tensor([4, 0, 4])
    rows = reference.attention_rows(q, k, mask, nodes)
    assert rows.shape == (3, 2, 5)
    close(rows, reference.attention(q, k, identity, mask)[nodes])
    close(rows.abs().sum(-1), np.ones((3, 2)))
    averages = reference.attention_rows(q, k, mask.abs(), torch.arange(5))
    close(averages.sum(-1), np.ones((5, 2)))


@pytest.mark.parametrize("mask_heads", [1, 2])
def test_attention_gradients(mask_heads, generator):
    q, k = (reference.relu_features(heads(generator), 0.1).requires_grad_() for _ in range(2))
    v = heads(generator, channels=2).requires_grad_()
    mask = torch.randn(mask_heads, 5, 5, generator=generator, dtype=DOUBLE, requires_grad=True)
    assert_derivatives(reference.attention, q, k, v, mask)
    normaliser = (mask.detach().abs() + 1).requires_grad_()
    assert gradcheck(reference.attention, (q, k, v, mask, normaliser))


def test_attention_has_a_finite_gradient_where_the_normaliser_vanishes(generator):
    q, k, v = (heads(generator).relu() for _ in range(3))
    mask = torch.randn(2, 5, 5, generator=generator, dtype=DOUBLE)
    mask[:, 1] = 0  # a row of the mask
    q[2] = 0  # features that look at nothing
    leaves = [x.requires_grad_() for x in (q, k, v, mask)]
    out = reference.attention(*leaves)
    cancelling = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    ones, everything = torch.ones(2, 1, 1), reference.global_mask(2)
    close(reference.attention(ones, cancelling, ones, everything), np.zeros((2, 1, 1)))
    assert out.isfinite().all()
    assert (out[[1, 2]] == 0).all()
    for gradient in torch.autograd.grad(out.square().sum() + out.sum(), leaves):
        assert gradient.isfinite().all()


# sampling


@pytest.mark.parametrize("seed", range(5))
def test_resampling_threshold_solves_its_equation(seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(34, generator=generator, dtype=DOUBLE).exp()
    weights *= torch.randn(34, generator=generator).sign()
    weights[30:] = 0
    for budget in (1, 3, 10, 29):
        c = reference.resampling_threshold(weights, budget)
        close((weights.abs() / c).clamp(max=1).sum(), float(budget), rtol=1e-12, atol=0)
    assert reference.resampling_threshold(torch.tensor([100, -1.0, 1, 1]), 2) == pytest.approx(3)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [2.0, 0.0, -1.0], [2.0, -1.0, 0.5]])
def test_resampling_threshold_is_zero_where_nothing_needs_dropping(weights):
    assert reference.resampling_threshold(torch.tensor(weights), 3) == 0.0


# every result


def test_results_are_float64_for_float32_inputs(generator):
    edge_index, weight = random_directed(generator)
    single, q = torch.rand(3, 5, 5), torch.ones(5, 2, 3)
    alpha, entries = torch.ones(2, 3), (*random_walks(generator)[:3], torch.ones(20))
    results = [
        reference.adjacency(edge_index, 9, weight.float()),
        reference.walk_matrices(*entries, 5, 2),
        reference.power_series(single[0], alpha),
        reference.walk_mask(single, alpha),
        reference.stitched_mask([single, single], alpha),
        reference.symmetric_part(single),
        reference.global_mask(3),
        reference.deconvolution(reference.convolution(alpha.float())),
        reference.relu_features(q),
        reference.elu_plus_one(q),
        reference.attention(q, q, q, torch.ones(1, 5, 5)),
    ]
    assert all(result.dtype == DOUBLE for result in results)
