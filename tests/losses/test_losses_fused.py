"""Gradients that are built with the value: equal to autograd's, and differentiable again."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail import create
from longtail.functional import fused
from longtail.functional.adjusted import adjusted_cross_entropy
from longtail.functional.binary import binary_cross_entropy, softplus
from longtail.functional.suppress import equalized, seesaw
from longtail.registry import part

ROWS, CLASSES = 7, 5
COUNTS = [3, 400, 17, 58, 1]


def numbers(rows: int = ROWS, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(3)
    z = 2 * torch.randn(rows, classes, generator=g, dtype=torch.float64)
    return z.requires_grad_(), torch.randint(0, classes, (rows,), generator=g)


def positive(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64) + 0.2


FORMS = {
    "offset": {"offset": positive(CLASSES)},
    "row offset": {"offset": positive(ROWS, CLASSES)},
    "scale": {"scale": positive(CLASSES)},
    "label shift": {"label_shift": positive(ROWS)},
    "all": {
        "scale": positive(CLASSES),
        "offset": -positive(ROWS, CLASSES),
        "label_shift": -positive(ROWS),
        "row_scale": 1 + positive(ROWS),
    },
}
CALLS = {
    **{k: lambda z, y, o=o: adjusted_cross_entropy(z, y, **o) for k, o in FORMS.items()},
    "binary": lambda z, y: binary_cross_entropy(z, y),
    "binary, weighted": lambda z, y: binary_cross_entropy(z, y, weight=positive(CLASSES)),
    "binary, confident": lambda z, y: binary_cross_entropy(
        z, y, weight=positive(ROWS, CLASSES), least=0.5
    ),
    "equalized": lambda z, y: equalized(z, y, torch.tensor([0, -torch.inf, 0, -0.3, 0])),
    "seesaw, no compensation": lambda z, y: seesaw(z, y, torch.tensor(COUNTS), q=0.0),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("size", [1, 11, 1 << 17])
def test_first_and_second_derivatives(call, size, monkeypatch):
    """In blocks of one row, of two rows, and in one block."""
    monkeypatch.setattr(fused, "_BLOCK", size)
    z, y = numbers()
    assert torch.autograd.gradcheck(lambda z: call(z, y), (z,))
    assert torch.autograd.gradgradcheck(lambda z: call(z, y), (z,))
    with torch.no_grad():
        plain = call(z, y)
    torch.testing.assert_close(call(z, y).detach(), plain)


def test_the_factors_of_seesaw_get_no_gradient():
    z, y = numbers()
    counts = torch.tensor(COUNTS)
    (grad,) = torch.autograd.grad(seesaw(z, y, counts).sum(), z)
    held = F.log_softmax(z.detach(), 1)
    log_n = counts.double().log()
    label = y[:, None]
    s = 0.8 * (log_n - log_n[label]).clamp_max(0)
    s = s + 2 * (
        held - held.gather(1, label).clamp_min(torch.tensor(0.01).double().log())
    ).clamp_min(0)
    s = s.scatter(1, label, 0.0)
    (expected,) = torch.autograd.grad(F.cross_entropy(z + s, y, reduction="sum"), z)
    torch.testing.assert_close(grad, expected)


def test_a_graph_may_be_walked_twice():
    z, y = numbers()
    total = CALLS["all"](z, y).mean()
    (one,) = torch.autograd.grad(total, z, retain_graph=True)
    kept = one.clone()
    (two,) = torch.autograd.grad(2 * total, z)
    torch.testing.assert_close(one, kept)
    torch.testing.assert_close(two, 2 * kept)


def test_it_works_under_functorch():
    z, y = numbers()
    (expected,) = torch.autograd.grad(CALLS["offset"](z, y).sum(), z)
    got = torch.func.grad(lambda v: CALLS["offset"](v, y).sum())(z.detach())
    torch.testing.assert_close(got, expected)


def test_a_virtual_step_can_be_taken_through_every_loss():
    """What bi-level objectives do: differentiate through a gradient."""
    z, y = numbers()
    for name in ("la", "ldam", "vs", "seesaw", "eql", "acsl", "elm", "kps", "gcl", "focal"):
        loss = create("loss", name, class_counts=COUNTS)
        share = torch.ones(ROWS, dtype=torch.float64, requires_grad=True)
        rows = create("loss", name, class_counts=COUNTS, reduction="none").eval()
        (grad,) = torch.autograd.grad((share * rows(z, y)).sum(), z, create_graph=True)
        (meta,) = torch.autograd.grad(loss.eval()(z - 0.1 * grad, y), share)
        step = 1e-5
        nudge = torch.zeros(ROWS, dtype=torch.float64)
        nudge[2] = step
        after = []
        for sign in (1, -1):
            g = torch.autograd.grad(((1 + sign * nudge) * rows(z, y)).sum(), z)[0]
            after.append(loss(z - 0.1 * g, y).item())
        slope = (after[0] - after[1]) / (2 * step)
        assert meta[2].item() == pytest.approx(slope, rel=1e-4, abs=1e-8), name


def test_nothing_is_kept_alive():
    z, y = numbers()
    gc.collect()
    gc.disable()
    try:
        before = sum(type(o) is Tensor for o in gc.get_objects())
        for _ in range(20):
            CALLS["all"](z, y).sum()
        after = sum(type(o) is Tensor for o in gc.get_objects())
    finally:
        gc.enable()
    assert after - before < 10


def test_softplus_without_gradient():
    x = torch.tensor([-200.0, -50, -3, 0, 2, 60, 1e4])
    torch.testing.assert_close(softplus(x), F.softplus(x), rtol=3e-6, atol=0)


@pytest.mark.parametrize("name", ["vs", "eql", "seesaw", "acsl", "elm", "kps", "gcl"])
def test_extreme_half_precision_and_many_classes(name):
    counts = torch.arange(1, 8143)
    loss = create("loss", name, class_counts=counts, weight=part("effective_number"))
    g = torch.Generator().manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16):
        z = (1e4 * torch.randn(4, 8142, generator=g)).to(dtype).requires_grad_()
        value = loss(z, torch.tensor([0, 8141, 4000, 17]))
        (grad,) = torch.autograd.grad(value, z)
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize("name", ["vs", "eql", "seesaw", "acsl", "elm", "kps", "gcl"])
def test_losses_trace_into_one_graph(name):
    z, y = numbers()
    loss = create("loss", name, class_counts=COUNTS, weight=part("deferred", part("uniform")))
    loss.eval()
    torch.compiler.reset()
    traced = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(z, y), loss(z, y))
    (one,) = torch.autograd.grad(traced(z, y), z)
    (other,) = torch.autograd.grad(loss(z, y), z)
    torch.testing.assert_close(one, other)


def test_a_label_out_of_range_is_refused():
    z, y = numbers()
    for name in ("vs", "eql", "seesaw", "acsl", "elm", "kps", "gcl", "la", "ldam"):
        loss = create("loss", name, class_counts=COUNTS)
        with pytest.raises(ValueError, match="label lies outside"):
            loss(z, y.clamp_min(5))
