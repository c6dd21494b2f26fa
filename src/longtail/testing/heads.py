"""Checks of heads."""

from __future__ import annotations

import pickle

import torch
from torch import Tensor, nn

from longtail.errors import ConfigError
from longtail.registry import Record
from longtail.testing.contract import check
from longtail.testing.tools import (
    all_gradients,
    build,
    close,
    deterministic,
    noise,
    raises_two_lines,
    same_state,
)

__all__: list[str] = []

ROWS = 5


def _features(record: Record) -> Tensor:
    return noise(ROWS, dict(record.case)["in_features"])


@check("heads")
def shapes_and_gradients(record: Record) -> None:
    """``(B, D)`` to ``(B, C)`` (a projector: ``(B, d)``); a gradient for every parameter."""
    head = build(record)
    out = head(_features(record))
    width = head.out_features if "projector" in record.tags else head.num_classes
    assert out.shape == (ROWS, width)
    assert out.dtype == torch.float32
    all_gradients(head, (out * noise(*out.shape)).sum())


@check("heads")
def eval_is_deterministic(record: Record) -> None:
    """No state moves; a state dict and a pickle give the same outputs."""
    head, x = build(record), _features(record)
    deterministic(head, lambda: head(x))
    other = build(record)
    with torch.random.fork_rng(devices=[]):
        other.reset_parameters()
    same_state(head, other, lambda module: module(x))
    close(pickle.loads(pickle.dumps(head))(x), head(x), tol=0)


@check("heads")
def fresh_weights_come_from_torch(record: Record) -> None:
    """``reset_parameters`` draws from torch's generator: same seed, same weights."""
    head = build(record)
    first = [p.clone() for p in head.parameters()]
    drawn = []
    for seed in (11, 11, 12):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            head.reset_parameters()
        drawn.append([p.clone() for p in head.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn[0], first, strict=True))


@check("heads", without="projector")
def renaming_classes(record: Record) -> None:
    """Rows of the weight renamed: columns of the logits renamed."""
    head, x = build(record), _features(record)
    order = torch.tensor([2, 0, 3, 1])
    before = head(x)
    with torch.no_grad():
        head.weight.copy_(head.weight[order].clone())
        if head.bias is not None:
            head.bias.copy_(head.bias[order].clone())
    close(head(x), before[:, order], tol=1e-6)


@check("heads", tag="cosine")
def logits_are_scaled_cosines(record: Record) -> None:
    """``|z| <= scale``; the length of a feature does not matter."""
    head, x = build(record), _features(record)
    z = head(x).detach()
    assert float(z.abs().max()) <= head.scale * (1 + 1e-5)
    close(head(7.0 * x), z, tol=1e-4)
    cosine = nn.functional.cosine_similarity(x[:, None], head.weight[None], dim=2)
    close(z, head.scale * cosine, tol=1e-4)


@check("heads")
def refuses_what_does_not_fit(record: Record) -> None:
    """Sizes that no head has: two lines."""
    case = dict.fromkeys(dict(record.case), 0)
    if "projector" in record.tags:
        case = {"in_features": 6, "num_classes": 4, "out_features": 0}
    raises_two_lines(ConfigError, lambda: record.load()(**case))
