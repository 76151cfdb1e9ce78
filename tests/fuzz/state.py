"""A layer and a topology after any sequence of uses equal new ones of the same numbers."""

from __future__ import annotations

import pickle
from copy import deepcopy

import cases
import torch
from torch import Tensor

import graphmask as gm
from graphmask.testing._numbers import default_dtype

from . import graphs
from .campaign import Draw
from .definition import assert_close
from .forward import feature_map, operator_of
from .masks import Masks

CASES = 2_000
_STEPS = 8
_FIELDS = ("edge_index", "edge_weight", "batch", "pos", "edge_attr")


class State:
    """A layer, a topology, and the tensors that the topology was made of."""

    def __init__(self, draw: Draw) -> None:
        self.draw, self.family, self.dtype = draw, Masks(draw), torch.float64
        mask = self.family.mask(draw.choice([0, 1, 2]))
        self.new_graph()
        operator_of(mask, self.topology)  # a mask that is not defined is refused here
        phi = deepcopy(feature_map(draw.choice(cases.FEATURES).name, torch.float64))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.integer(0, 99))
            self.layer = gm.nn.TopologicalAttention(
                5 * self.family.heads, self.family.heads, mask, phi
            )
        self.pristine = deepcopy(self.layer)

    @property
    def x(self) -> Tensor:
        n, channels = self.topology.num_nodes, self.layer.channels
        return torch.linspace(-1, 1, n * channels).reshape(n, channels).to(self.dtype)

    # Uses, in alphabetical order

    def backward(self) -> None:
        """A step so long that learned numbers change their signs."""
        loss = (self.layer(self.x, self.topology) * self.x).sum()
        parameters = [p for p in self.layer.parameters() if p.requires_grad]
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for p, grad in zip(parameters, grads, strict=True):
                if grad is not None and grad.isfinite().all():
                    p -= grad * (0.5 / (1e-9 + grad.abs().max()))

    def change_positions(self) -> None:
        self.tensors["pos"].add_(1.0).mul_(0.5)

    def change_weights(self) -> None:
        weight = self.tensors["edge_weight"]
        if weight is None:
            return
        if self.family.kind in (graphs.LENGTHS, graphs.TREE):
            weight.mul_(self.draw.choice([0.5, 3.0]))
        else:
            weight.copy_(self.draw.normal(len(weight)))

    def convert(self) -> None:
        self.dtype = self.draw.choice([torch.float32, torch.float64])
        self.layer.to(self.dtype)

    def copy(self) -> None:
        self.layer = deepcopy(self.layer)

    def forward(self) -> None:
        self.layer(self.x, self.topology)

    def inference(self) -> None:
        with torch.inference_mode():
            self.layer(self.x, self.topology)

    def load(self) -> None:
        other = deepcopy(self.pristine).to(self.dtype)
        other.load_state_dict(self.layer.state_dict())
        self.layer = other

    def negate(self) -> None:
        with torch.no_grad():
            for p in self.layer.mask.parameters():
                p.neg_()

    def new_graph(self) -> None:
        self.topology = graphs.topology(
            self.draw, self.family.kind, torch.float64, self.family.size
        )
        self.tensors = {name: getattr(self.topology, name) for name in _FIELDS}

    def no_grad(self) -> None:
        with torch.no_grad():
            self.layer(self.x, self.topology)

    def pickled(self) -> None:
        self.layer = pickle.loads(pickle.dumps(self.layer))

    def pickled_topology(self) -> None:
        self.topology = pickle.loads(pickle.dumps(self.topology))
        self.tensors = {name: getattr(self.topology, name) for name in _FIELDS}

    def prepare(self) -> None:
        self.topology = self.layer.mask.prepare(self.topology)

    def prepare_in_inference(self) -> None:
        with torch.inference_mode():
            self.layer.mask.prepare(self.topology)

    def reset(self) -> None:
        with torch.random.fork_rng(devices=[]):
            self.layer.reset_parameters()

    def reorder_edges(self) -> None:
        """The same graph, whose edges stand in another order."""
        order = self.draw.permutation(self.topology.num_edges)
        for name in ("edge_index", "edge_weight", "edge_attr"):
            if (x := self.tensors[name]) is not None:
                x.copy_(
                    x.movedim(-1, 0)[order].movedim(0, -1) if name == "edge_index" else x[order]
                )

    def train(self) -> None:
        self.layer.train(self.draw.chance(0.5))

    def check(self) -> None:
        """Compare with a new layer of the same numbers on a new topology of the same tensors."""
        layer = deepcopy(self.pristine).to(self.dtype)
        with torch.no_grad():
            for new, old in zip(layer.parameters(), self.layer.parameters(), strict=True):
                new.copy_(old)
            for new, old in zip(layer.buffers(), self.layer.buffers(), strict=True):
                new.copy_(old)
        fields = {k: None if x is None else x.detach().clone() for k, x in self.tensors.items()}
        graph = gm.Topology(
            num_nodes=self.topology.num_nodes, num_graphs=self.topology.num_graphs, **fields
        )
        expected = layer(self.x, graph).detach()
        try:
            actual = self.layer(self.x, self.topology)
        except ValueError as error:
            # Walks that were drawn before a change are refused: draw new ones.
            if "draw the walks again" not in str(error):
                raise
            self.topology = self.topology.with_walks()
            actual = self.layer(self.x, self.topology)
        tolerance = 1e-7 if self.dtype == torch.float64 else 1e-3
        assert_close(actual.double(), expected.double(), tolerance, "used and new")


USES = [
    name
    for name, use in vars(State).items()
    if callable(use) and name[0] != "_" and name != "check"
]


def case(seed: int) -> None:
    draw = Draw("state", seed)
    with default_dtype(torch.float64):
        state, history = State(draw), []
        for _ in range(_STEPS):
            history.append(draw.choice(USES))
            try:
                getattr(state, history[-1])()
                state.check()
            except Exception as error:
                message = f"{type(error).__name__}: {error} | {history} | {state.layer.mask!r}"
                raise AssertionError(f"after {history[-1]}: {message}") from error
