"""The definitions: every object of the library as a dense float64 formula, to judge the fast code by.

Nothing here is fast, and nothing here is shared with the fast code. Inputs are plain tensors, results are float64 and
differentiable. An edge j -> i stands in ``edge_index`` as the column (j, i) and in every matrix at row i, column j.

Letters: N nodes, E edges, H heads, K hops, m features, d channels, W weighted adjacency, M mask, S walks.

References:
    Reid et al. 2025, Linear Transformer Topological Masking with Graph Random Features, ICLR.
    Reid et al. 2024, General Graph Random Features, ICLR.
    Choromanski et al. 2025, Graph Random Features++, arXiv 2510.07716.
    Gasteiger et al. 2019, Diffusion Improves Graph Learning, NeurIPS.
    Smola and Kondor 2003, Kernels and Regularization on Graphs, COLT.
    Choromanski et al. 2022, From block-Toeplitz matrices to differential equations on graphs, ICML.
    Choromanski et al. 2024, Fast Tree-Field Integrators, NeurIPS.
    Floyd 1962, Algorithm 97: Shortest Path, CACM.
    Katharopoulos et al. 2020, Transformers are RNNs, ICML.
    Ying et al. 2021, Do Transformers Really Perform Bad for Graph Representation?, NeurIPS.
    Fearnhead and Clifford 2003, On-line inference for hidden Markov models via particle filters, JRSS-B.
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
from .features import elu_plus_one as elu_plus_one
from .features import relu_features as relu_features
from .paths import shortest_path_mask as shortest_path_mask
from .paths import told_distances as told_distances
from .series import global_mask as global_mask
from .series import grf_mask as grf_mask
from .series import power_series as power_series
from .series import stitched_mask as stitched_mask
from .series import walk_mask as walk_mask
from .trees import exponential_distance as exponential_distance
from .trees import path_distances as path_distances
from .trees import polynomial_exponential_distance as polynomial_exponential_distance
from .trees import table_distance as table_distance
from .walks import adjacency as adjacency
from .walks import path_walks as path_walks
from .walks import resampling_threshold as resampling_threshold
from .walks import symmetric_part as symmetric_part
from .walks import walk_matrices as walk_matrices
from .walks import walk_powers as walk_powers
