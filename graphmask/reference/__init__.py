"""Definitions: every object of the library as a dense float64 formula, to test the fast code with.

Nothing here is fast, and nothing here is shared with the fast code. Inputs are plain tensors,
results are float64 and differentiable. An edge j -> i stands in ``edge_index`` as the column (j, i)
and in every matrix at row i, column j.

Letters: N nodes, E edges, H heads, K hops, m features, d channels, W adjacency, M mask, S walks.

References:
    Chen et al. 2024, Masked Graph Transformer for Large-Scale Recommendation, SIGIR.
    Choromanski et al. 2021, Rethinking Attention with Performers, ICLR.
    Choromanski et al. 2022, From block-Toeplitz matrices to differential equations on graphs, ICML.
    Choromanski et al. 2022, Hybrid Random Features, ICLR.
    Choromanski et al. 2023, Efficient Graph Field Integrators Meet Point Clouds (RFD), ICML.
    Choromanski et al. 2024, Fast Tree-Field Integrators, NeurIPS.
    Choromanski et al. 2024, Learning a Fourier Transform (FLT), AISTATS.
    Choromanski et al. 2025, Graph Random Features++, arXiv 2510.07716.
    Cho and Saul 2009, Kernel Methods for Deep Learning, NeurIPS.
    Fearnhead and Clifford 2003, On-line inference for hidden Markov models, JRSS-B.
    Floyd 1962, Algorithm 97: Shortest Path, CACM.
    Gasteiger et al. 2019, Diffusion Improves Graph Learning, NeurIPS.
    Hua et al. 2022, Transformer Quality in Linear Time, ICML.
    Huang et al. 2022, Efficient Representation Learning via Adaptive Context Pooling, ICML.
    Katharopoulos et al. 2020, Transformers are RNNs, ICML.
    Kondor and Lafferty 2002, Diffusion Kernels on Graphs, ICML.
    Lahoti et al. 2025, Chimera: State Space Models Beyond Sequences, TMLR.
    Likhosherstov et al. 2022, Chefs' Random Tables, NeurIPS.
    Rahimi and Recht 2007, Random Features for Large-Scale Kernel Machines, NeurIPS.
    Reid et al. 2024, General Graph Random Features, ICLR.
    Reid et al. 2025, Linear Transformer Topological Masking with Graph Random Features, ICLR.
    Sehanobish et al. 2024, Scalable Neural Network Kernels, ICLR.
    Shen et al. 2021, Efficient Attention, WACV.
    Smola and Kondor 2003, Kernels and Regularization on Graphs, COLT.
    Sun, Ovsjanikov and Guibas 2009, A Concise and Provably Informative Multi-Scale Signature, SGP.
    Vaswani et al. 2017, Attention Is All You Need, NeurIPS.
    Ying et al. 2021, Do Transformers Really Perform Bad for Graph Representation?, NeurIPS.
    Zeng et al. 2022, Multi Resolution Analysis (MRA) for Approximate Self-Attention, ICML.
    Zhang et al. 2024, The Hedgehog and the Porcupine, ICLR.
    Zheng et al. 2022, Linear Complexity Randomized Self-attention Mechanism, ICML.
    Zheng et al. 2022, Ripple Attention for Visual Perception with Sub-quadratic Complexity, ICML.
"""

import warnings

from .attention import attention as attention
from .attention import attention_rows as attention_rows
from .attention import attention_sums as attention_sums
from .attention import degree_scaled as degree_scaled
from .attention import sink_attention as sink_attention
from .features import count_features as count_features
from .features import elu_plus_one as elu_plus_one
from .features import exponential_features as exponential_features
from .features import focused_features as focused_features
from .features import geometric_chance as geometric_chance
from .features import hybrid_key_features as hybrid_key_features
from .features import hybrid_query_features as hybrid_query_features
from .features import learned_features as learned_features
from .features import linear_randomized_features as linear_randomized_features
from .features import normalized_channels as normalized_channels
from .features import optimal_curvature as optimal_curvature
from .features import optimal_positive_features as optimal_positive_features
from .features import poisson_chance as poisson_chance
from .features import positive_random_features as positive_random_features
from .features import randomized_attention as randomized_attention
from .features import relu_features as relu_features
from .features import sharp_positive_features as sharp_positive_features
from .features import softmax_scores as softmax_scores
from .features import softplus_features as softplus_features
from .features import squared_relu_features as squared_relu_features
from .features import squared_relu_scores as squared_relu_scores
from .features import trigonometric_features as trigonometric_features
from .features import trigonometric_softmax_features as trigonometric_softmax_features
from .features import unit_plus_cosine as unit_plus_cosine
from .gated import gated_attention_unit as gated_attention_unit
from .local import row_max as row_max
from .local import support_max as support_max
from .multilevel import multilevel_attention as multilevel_attention
from .positions import approximate_distances as approximate_distances
from .positions import blocks_of as blocks_of
from .positions import causal_mask as causal_mask
from .positions import chebyshev_distances as chebyshev_distances
from .positions import cloud_diffusion as cloud_diffusion
from .positions import degree_mask as degree_mask
from .positions import exponential_distance as exponential_distance
from .positions import fourier_bias as fourier_bias
from .positions import gaussian_mixture as gaussian_mixture
from .positions import grid_diffusion_mask as grid_diffusion_mask
from .positions import grid_distance_mask as grid_distance_mask
from .positions import grid_laplacian as grid_laplacian
from .positions import hadamard as hadamard
from .positions import hypercube_mask as hypercube_mask
from .positions import kronecker_mask as kronecker_mask
from .positions import path_distances as path_distances
from .positions import polynomial_exponential_distance as polynomial_exponential_distance
from .positions import positive_product as positive_product
from .positions import ripple_mask as ripple_mask
from .positions import shortest_path_mask as shortest_path_mask
from .positions import table_distance as table_distance
from .positions import toeplitz_mask as toeplitz_mask
from .positions import wave_adjacency as wave_adjacency
from .positions import with_class_token as with_class_token
from .snnk import arc_cosine_kernel as arc_cosine_kernel
from .snnk import exponential_network_kernel as exponential_network_kernel
from .snnk import relu_network_kernel as relu_network_kernel
from .spectral import convolution as convolution
from .spectral import cosine as cosine
from .spectral import cotangent_laplacian as cotangent_laplacian
from .spectral import deconvolution as deconvolution
from .spectral import diffusion as diffusion
from .spectral import heat_kernel as heat_kernel
from .spectral import heat_kernel_signature as heat_kernel_signature
from .spectral import p_step_walk as p_step_walk
from .spectral import pagerank as pagerank
from .spectral import regularized_laplacian as regularized_laplacian
from .spectral import resolvent as resolvent
from .spectral import stick_breaking as stick_breaking
from .values import moment_invariants as moment_invariants
from .values import moments as moments
from .values import relative_values as relative_values
from .values import rotary_values as rotary_values
from .walks import adaptive_walk_mask as adaptive_walk_mask
from .walks import adjacency as adjacency
from .walks import edge_weights as edge_weights
from .walks import global_mask as global_mask
from .walks import grf_mask as grf_mask
from .walks import path_walks as path_walks
from .walks import power_series as power_series
from .walks import random_walk_kernel as random_walk_kernel
from .walks import resampling_threshold as resampling_threshold
from .walks import stitched_mask as stitched_mask
from .walks import symmetric_part as symmetric_part
from .walks import walk_mask as walk_mask
from .walks import walk_matrices as walk_matrices
from .walks import walk_powers as walk_powers


def __getattr__(name: str) -> object:
    """The former name of a function, for one release."""
    if name == "told_distances":
        message = "`told_distances` is now called `approximate_distances`"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return approximate_distances
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
