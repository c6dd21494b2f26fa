"""Node scores along a tree, against two forms in NumPy: walks over the tree, dense codewords."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from longtail.functional import (
    node_consistency,
    path_sums,
    sampled_cut,
    sampled_tree_loss,
    sibling_log_softmax,
)
from longtail.models import Taxonomy
from longtail.models.taxonomy import grow, star

Array = Any
#: two groups, one of them with a group of its own, and a class right below the root
LINES = {
    "cat": "pet", "dog": "pet", "car": "wheels", "bus": "wheels", "van": "vans", "minivan": "vans",
    "vans": "wheels", "pet": "all", "wheels": "all", "rose": "all",
}  # fmt: skip
NAMES = ("van", "rose", "cat", "bus", "minivan", "dog", "car")
TREES = {"deep": grow(LINES, NAMES, NAMES)[0], "star": star(7)}
ROWS = 6


class Forms:
    """What both forms start from: children and ancestors, found by walking."""

    def __init__(self, tree: Taxonomy, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.tree, self.c = tree, tree.num_classes
        self.nodes = len(tree.parents)
        self.o = 3 * rng.normal(size=(self.nodes, ROWS))
        self.y = rng.integers(0, self.c, ROWS)
        self.keep = rng.random((tree.inner, ROWS)) >= 0.4
        self.children = [
            [n for n in range(self.nodes) if tree.parents[n] == v] for v in range(tree.inner + 1)
        ]

    def inner_of(self, node: int) -> int:
        return node - self.c + 1

    def up(self, node: int) -> list[int]:
        """The node and those above it, the root left out, by its own walk."""
        out = [node]
        while self.tree.parents[out[-1]] != 0:
            out.append(self.c + self.tree.parents[out[-1]] - 1)
        return out

    def below(self, node: int) -> list[int]:
        return [c for c in range(self.c) if node in self.up(c)]

    def tables(self) -> tuple[torch.Tensor, tuple[int, ...], torch.Tensor, torch.Tensor]:
        paths = [self.tree.path(c) for c in range(self.c)]
        longest = max(map(len, paths))
        path = torch.tensor([p + [p[-1]] * (longest - len(p)) for p in paths])
        depth = torch.tensor([len(p) for p in paths])
        return torch.tensor(self.tree.parents), self.tree.levels(), path, depth

    # -- form one: row by row, walking ---------------------------------------------------------

    def walked_log_p(self) -> Array:
        out = np.empty_like(self.o)
        for members in self.children:
            for b in range(ROWS):
                total = math.log(sum(math.exp(self.o[m, b]) for m in members))
                for m in members:
                    out[m, b] = self.o[m, b] - total
        return out

    def walked_sums(self) -> Array:
        return np.array([sum(self.o[u] for u in self.up(n)) for n in range(self.nodes)])

    def walked_consistency(self) -> Array:
        log_p = self.walked_log_p()
        return np.array([-np.mean([log_p[n, b] for n in self.up(c)]) for b, c in enumerate(self.y)])

    def ends(self, b: int) -> list[int]:
        """Where the tree of row ``b`` ends: grown from the root, node by node."""
        out, todo = [], list(self.children[0])
        while todo:
            node = todo.pop()
            if node < self.c or not self.keep[node - self.c, b]:
                out.append(node)
            else:
                todo += self.children[self.inner_of(node)]
        return out

    def walked_sampled(self) -> Array:
        z, out = self.walked_sums(), []
        for b, c in enumerate(self.y):
            (own,) = [n for n in self.ends(b) if n in self.up(c)]
            out.append(math.log(sum(math.exp(z[n, b]) for n in self.ends(b))) - z[own, b])
        return np.array(out)

    # -- form two: codewords, gates and masks, as dense matrices -------------------------------

    def codewords(self) -> list[Array]:
        """``Q_v``: child by class, 1 where the class lies below the child."""
        return [
            np.array([[float(m in self.up(c)) for c in range(self.c)] for m in members])
            for members in self.children
        ]

    def dense_logits(self, gates: Array) -> Array:
        """``sum_v g_v (prod of gates above v) (o_v . Q_v)``, ``(C, B)``."""
        total = np.zeros((self.c, ROWS))
        for v, (members, word) in enumerate(zip(self.children, self.codewords(), strict=True)):
            gate = gates[v].copy()
            for u in self.up(self.c + v - 1) if v else []:
                gate *= gates[self.inner_of(u)]
            if v:
                gate *= gates[0]
            total += gate * (word.T @ self.o[members])
        return total

    def dense_consistency(self) -> Array:
        total, count = np.zeros(ROWS), np.zeros(ROWS)
        for members, word in zip(self.children, self.codewords(), strict=True):
            shifted = self.o[members] - self.o[members].max(0)
            log_p = shifted - np.log(np.exp(shifted).sum(0))
            label = word[:, self.y]  # one-hot, or nothing where the class is not below
            total -= (label * log_p).sum(0)
            count += label.sum(0)
        return total / count

    def dense_sampled(self) -> Array:
        """Gated logits; the classes below a closed node share one, of which one is counted."""
        gates = np.concatenate([np.ones((1, ROWS)), self.keep.astype(float)])
        z = self.dense_logits(gates)
        alive = np.ones((self.c, ROWS))
        for v in range(1, len(self.children)):
            others = self.below(self.c + v - 1)[1:]
            alive[others] *= gates[v]
        total = np.log((alive * np.exp(z)).sum(0))
        return total - z[self.y, np.arange(ROWS)]


CASES = [(name, seed) for name in TREES for seed in range(4)]


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_two_forms(name: str, seed: int) -> None:
    forms = Forms(TREES[name], seed)
    parent, levels, path, depth = forms.tables()
    o, y, keep = (torch.from_numpy(a) for a in (forms.o, forms.y, forms.keep))
    log_p = sibling_log_softmax(o, parent, forms.tree.inner + 1)
    np.testing.assert_allclose(log_p, forms.walked_log_p(), rtol=1e-12, atol=1e-13)
    sums = path_sums(o, parent, levels, forms.c)
    np.testing.assert_allclose(sums, forms.walked_sums(), rtol=1e-12)
    open_ = np.ones((forms.tree.inner + 1, ROWS))
    np.testing.assert_allclose(sums[: forms.c], forms.dense_logits(open_), rtol=1e-12)
    ncc = node_consistency(log_p, y, path, depth)
    np.testing.assert_allclose(ncc, forms.walked_consistency(), rtol=1e-12)
    np.testing.assert_allclose(ncc, forms.dense_consistency(), rtol=1e-12)
    cut = sampled_cut(keep, parent, levels, forms.c)
    for b in range(ROWS):
        assert torch.nonzero(cut[:, b]).flatten().tolist() == sorted(forms.ends(b))
    sts = sampled_tree_loss(sums, cut, y, path)
    np.testing.assert_allclose(sts, forms.walked_sampled(), rtol=1e-12)
    np.testing.assert_allclose(sts, forms.dense_sampled(), rtol=1e-12)


@pytest.mark.parametrize("name", TREES)
def test_gradient(name: str) -> None:
    forms = Forms(TREES[name])
    parent, levels, path, depth = forms.tables()
    y, keep = torch.from_numpy(forms.y), torch.from_numpy(forms.keep)
    cut = sampled_cut(keep, parent, levels, forms.c)

    def loss(o: torch.Tensor) -> torch.Tensor:
        log_p = sibling_log_softmax(o, parent, forms.tree.inner + 1)
        sums = path_sums(o, parent, levels, forms.c)
        return node_consistency(log_p, y, path, depth) + sampled_tree_loss(sums, cut, y, path)

    assert torch.autograd.gradcheck(loss, torch.from_numpy(forms.o).requires_grad_())


def test_on_a_star_both_losses_are_cross_entropy() -> None:
    forms = Forms(TREES["star"])
    parent, levels, path, depth = forms.tables()
    o, y = torch.from_numpy(forms.o), torch.from_numpy(forms.y)
    expected = torch.nn.functional.cross_entropy(o.t(), y, reduction="none")
    log_p = sibling_log_softmax(o, parent, 1)
    cut = sampled_cut(torch.ones(0, ROWS, dtype=torch.bool), parent, levels, 7)
    for got in (node_consistency(log_p, y, path, depth), sampled_tree_loss(o, cut, y, path)):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


def test_nothing_dropped_is_cross_entropy_of_the_path_sums() -> None:
    forms = Forms(TREES["deep"])
    parent, levels, path, _ = forms.tables()
    o, y = torch.from_numpy(forms.o), torch.from_numpy(forms.y)
    sums = path_sums(o, parent, levels, 7)
    cut = sampled_cut(torch.ones(forms.tree.inner, ROWS, dtype=torch.bool), parent, levels, 7)
    assert cut[:7].all()
    assert not cut[7:].any()
    expected = torch.nn.functional.cross_entropy(sums[:7].t(), y, reduction="none")
    torch.testing.assert_close(sampled_tree_loss(sums, cut, y, path), expected)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_groups_far_apart_stay_finite(scale: float) -> None:
    """One group's scores at 1e4 while another's are at -1e4: each has a maximum of its own."""
    forms = Forms(TREES["deep"])
    parent, levels, path, depth = forms.tables()
    o = torch.from_numpy(forms.o).float()
    o[torch.tensor(forms.children[1])] += scale
    o[torch.tensor(forms.children[2])] -= scale
    o.requires_grad_()
    log_p = sibling_log_softmax(o, parent, forms.tree.inner + 1)
    y = torch.from_numpy(forms.y)
    sums = path_sums(o, parent, levels, 7)
    cut = sampled_cut(torch.from_numpy(forms.keep), parent, levels, 7)
    total = node_consistency(log_p, y, path, depth) + sampled_tree_loss(sums, cut, y, path)
    total.sum().backward()
    assert torch.isfinite(total).all()
    assert torch.isfinite(o.grad).all()
    np.testing.assert_allclose(log_p.detach(), forms.walked_log_p(), atol=2e-3)
