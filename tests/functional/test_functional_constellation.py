"""Cosines to constellations, against two forms written in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.functional import constellation_cosines

Array = np.ndarray


def draw(rows: int = 5, classes: int = 4, moves: int = 3, width: int = 6, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    return (rng.normal(size=s) for s in ((rows, width), (classes, width), (moves, width)))


def by_loops(h: Array, w: Array, d: Array) -> Array:
    """The definition: row by class by point."""
    out = np.empty((len(h), len(w)))
    for i, x in enumerate(h):
        for j, centre in enumerate(w):
            points = [centre, *(centre + move for move in d)]
            out[i, j] = max(x @ p / np.linalg.norm(x) / np.linalg.norm(p) for p in points)
    return out


def by_expansion(h: Array, w: Array, d: Array) -> Array:
    """``<h, w + d>`` and ``|w + d|`` from products of the parts, in one broadcast."""
    d = np.concatenate([np.zeros((1, d.shape[1])), d])
    inner = (h @ w.T)[:, :, None] + (h @ d.T)[:, None, :]
    length = (w**2).sum(1)[:, None] + 2 * w @ d.T + (d**2).sum(1)[None]
    return (inner / np.sqrt(length)[None] / np.linalg.norm(h, axis=1)[:, None, None]).max(2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_forms(seed: int) -> None:
    h, w, d = draw(seed=seed)
    got = constellation_cosines(*(torch.from_numpy(x) for x in (h, w, d))).numpy()
    np.testing.assert_allclose(got, by_loops(h, w, d), rtol=1e-12)
    np.testing.assert_allclose(got, by_expansion(h, w, d), rtol=1e-10)


def test_gradient() -> None:
    inputs = [torch.from_numpy(x).requires_grad_() for x in draw()]
    assert torch.autograd.gradcheck(constellation_cosines, inputs)


def test_no_displacement_is_the_cosine() -> None:
    h, w, d = draw()
    got = constellation_cosines(*(torch.from_numpy(x) for x in (h, w, 0 * d))).numpy()
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (h, w)]
    np.testing.assert_allclose(got, unit[0] @ unit[1].T, rtol=1e-12)


def test_displacements_leave_zero() -> None:
    """Published pooling gives a tie to the centre: displacements of zero then never move."""
    h, w, d = (torch.from_numpy(x) for x in draw(rows=40))
    moves = torch.zeros_like(d).requires_grad_()
    y = torch.arange(40) % 4
    for _ in range(30):
        z = 16 * constellation_cosines(h, w, moves)
        (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(z, y), moves)
        moves = (moves - 0.1 * gradient).detach().requires_grad_()
    lengths = moves.norm(dim=1)
    assert (lengths > 0).all(), "every displacement moved"
    assert (torch.pdist(moves) > 1e-6).all(), "each to a place of its own"


def test_a_zero_feature_has_no_direction() -> None:
    _, w, d = (torch.from_numpy(x) for x in draw())
    h = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    out = constellation_cosines(h, w, d)
    assert (out == 0).all()
    out.sum().backward()
    assert torch.isfinite(h.grad).all()


def test_memory_is_points_and_cosines() -> None:
    """Nothing of shape (B, C (S + 1), D): at C = 2000 that would be 2.6 GB."""
    tensors: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                tensors.append(out.numel())
            return out

    h, w, d = torch.randn(256, 256), torch.randn(2000, 256), torch.randn(4, 256)
    with Watch():
        constellation_cosines(h, w, d)
    assert max(tensors) <= max(2000 * 5 * 256, 256 * 2000 * 5)
