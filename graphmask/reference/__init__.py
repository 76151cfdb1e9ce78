"""The definitions: every object of the library as a dense float64 formula, to judge the fast code by.

Nothing here is fast, and nothing here is shared with the fast code. Inputs are plain tensors,
results are float64 and differentiable. An edge j -> i stands in ``edge_index`` as the column (j, i)
and in every matrix at row i, column j.

Letters: N nodes, E edges, H heads, K hops, m features, d channels, W weighted adjacency, M mask, S
walks.

References:
    Reid et al. 2025, Linear Transformer Topological Masking with Graph Random Features, ICLR.
    Reid et al. 2024, General Graph Random Features, ICLR.
    Choromanski et al. 2022, From block-Toeplitz matrices to differential equations on graphs, ICML.
    Choromanski et al. 2025, Graph Random Features++, arXiv 2510.07716.
    Gasteiger et al. 2019, Diffusion Improves Graph Learning, NeurIPS.
    Choromanski et al. 2023, Efficient Graph Field Integrators Meet Point Clouds, ICML.
    Kondor and Lafferty 2002, Diffusion Kernels on Graphs, ICML.
    Lahoti et al. 2025, Chimera: State Space Models Beyond Sequences, TMLR.
    Choromanski et al. 2024, Learning a Fourier Transform for Linear Relative Positional Encodings,
    AISTATS. Smola and Kondor 2003, Kernels and Regularization on Graphs, COLT. Choromanski et al.
    2022, From block-Toeplitz matrices to differential equations on graphs, ICML. Choromanski et al.
    2024, Fast Tree-Field Integrators, NeurIPS.
    Floyd 1962, Algorithm 97: Shortest Path, CACM.
    Katharopoulos et al. 2020, Transformers are RNNs, ICML.
    Shen et al. 2021, Efficient Attention, WACV.
    Choromanski et al. 2021, Rethinking Attention with Performers, ICLR.
    Choromanski et al. 2022, Hybrid Random Features, ICLR.
    Likhosherstov et al. 2022, Chefs' Random Tables, NeurIPS.
    Rahimi and Recht 2007, Random Features for Large-Scale Kernel Machines, NeurIPS.
    Vaswani et al. 2017, Attention Is All You Need, NeurIPS.
    Zhang et al. 2024, The Hedgehog and the Porcupine, ICLR.
    Ying et al. 2021, Do Transformers Really Perform Bad for Graph Representation?, NeurIPS.
    Chen et al. 2024, Masked Graph Transformer for Large-Scale Recommendation, SIGIR.
    Fearnhead and Clifford 2003, On-line inference for hidden Markov models via particle filters,
    JRSS-B.
"""

from .attention import attention as attention
from .attention import attention_rows as attention_rows
from .coefficients import convolution as convolution
from .coefficients import cosine as cosine
from .coefficients import deconvolution as deconvolution
from .coefficients import diffusion as diffusion
from .coefficients import p_step_walk as p_step_walk
from .coefficients import pagerank as pagerank
from .coefficients import regularized_laplacian as regularized_laplacian
from .degree import degree_mask as degree_mask
from .features import elu_plus_one as elu_plus_one
from .features import exponential_features as exponential_features
from .features import learned_features as learned_features
from .features import relu_features as relu_features
from .features import softmax_scores as softmax_scores
from .features import softplus_features as softplus_features
from .features import squared_relu_features as squared_relu_features
from .grids import blocks_of as blocks_of
from .grids import causal_mask as causal_mask
from .grids import grid_diffusion_mask as grid_diffusion_mask
from .grids import grid_distance_mask as grid_distance_mask
from .grids import grid_laplacian as grid_laplacian
from .grids import hypercube_mask as hypercube_mask
from .grids import kronecker_mask as kronecker_mask
from .grids import toeplitz_mask as toeplitz_mask
from .grids import with_class_token as with_class_token
from .heat import heat_kernel as heat_kernel
from .heat import resolvent as resolvent
from .paths import shortest_path_mask as shortest_path_mask
from .paths import told_distances as told_distances
from .points import cloud_diffusion as cloud_diffusion
from .points import fourier_bias as fourier_bias
from .points import gaussian_mixture as gaussian_mixture
from .points import hadamard as hadamard
from .points import positive_product as positive_product
from .points import wave_adjacency as wave_adjacency
from .random_features import hybrid_key_features as hybrid_key_features
from .random_features import hybrid_query_features as hybrid_query_features
from .random_features import optimal_curvature as optimal_curvature
from .random_features import optimal_positive_features as optimal_positive_features
from .random_features import positive_random_features as positive_random_features
from .random_features import sharp_positive_features as sharp_positive_features
from .random_features import trigonometric_features as trigonometric_features
from .random_features import trigonometric_softmax_features as trigonometric_softmax_features
from .series import global_mask as global_mask
from .series import grf_mask as grf_mask
from .series import power_series as power_series
from .series import stitched_mask as stitched_mask
from .series import walk_mask as walk_mask
from .trees import exponential_distance as exponential_distance
from .trees import path_distances as path_distances
from .trees import polynomial_exponential_distance as polynomial_exponential_distance
from .trees import table_distance as table_distance
from .walk_kernel import random_walk_kernel as random_walk_kernel
from .walks import adjacency as adjacency
from .walks import edge_weights as edge_weights
from .walks import path_walks as path_walks
from .walks import resampling_threshold as resampling_threshold
from .walks import symmetric_part as symmetric_part
from .walks import walk_matrices as walk_matrices
from .walks import walk_powers as walk_powers
