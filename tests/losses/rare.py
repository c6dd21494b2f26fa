"""What the tests of count-dependent losses share."""

from __future__ import annotations

import math

import torch

from longtail import create

N = [100, 10, 1]
Z = torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64).expand(3, 3)
COS = torch.tensor([[0.5, 0.3, 0.1]], dtype=torch.float64).expand(3, 3)
Y = torch.arange(3)
COUNTS = [3, 400, 17, 58, 1]


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def make(name, of=N, reduction="none", noise=None, **options):
    """A loss by name; ``noise`` are the absolute normal numbers (or uniforms) it shall draw."""
    loss = create("loss", name, class_counts=of, reduction=reduction, **options)
    if noise is not None:
        loss.noise = lambda logits: noise.expand_as(logits).clone()
    return loss


def uniform_of(absolute):
    """Uniform numbers whose half-normal quantile, times 1/3, is ``absolute``."""
    return torch.erf(3 * absolute.abs() / math.sqrt(2))


def rows_of_numbers():
    g = torch.Generator().manual_seed(1)
    z = 2.5 * torch.randn(12, 5, generator=g, dtype=torch.float64).clamp(-3, 3)
    y = torch.randint(0, 5, (12,), generator=g)
    return z, y, torch.rand(12, 5, generator=g, dtype=torch.float64)
