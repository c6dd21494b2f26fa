"""Checks of networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longtail.errors import LongtailError
from longtail.models import InputSpec, build_network
from longtail.registry import Record, part
from longtail.testing.contract import check
from longtail.testing.tools import (
    all_gradients,
    close,
    deterministic,
    generator,
    noise,
    raises_two_lines,
    same_state,
)

__all__: list[str] = []

ROWS, CLASSES = 6, 4


def _network(record: Record, *, seed: int = 0, **extra: Any) -> Any:
    return build_network(
        part(record.name, **dict(record.case)),
        input_spec=InputSpec("image", (1, 8, 8), mean=(0.4,), std=(0.3,)),
        backbone="small_cnn",
        num_classes=CLASSES,
        seed=seed,
        **extra,
    )


def _x() -> Tensor:
    return torch.rand(ROWS, 1, 8, 8, generator=generator(3))


@check("networks")
def outputs_have_their_shapes(record: Record) -> None:
    """Logits ``(B, C)``, features ``(B, D)``, experts ``(E, B, C)`` whose mean the logits are."""
    network = _network(record).eval()
    out = network(_x())
    assert out.logits.shape == (ROWS, CLASSES)
    assert out.features.shape == (ROWS, network.features)
    if out.expert_logits is not None:
        assert out.expert_logits.shape[1:] == (ROWS, CLASSES)
        close(out.expert_logits.mean(0), out.logits, tol=1e-6)
    lean = network(_x(), features_only=True)
    assert lean.logits.shape == (ROWS, 0)
    close(lean.features, out.features, tol=1e-6)


@check("networks")
def gradients_reach_all(record: Record) -> None:
    """Every parameter has a part in the logits."""
    network = _network(record).train()
    all_gradients(network, (network(_x()).logits * noise(ROWS, CLASSES)).sum())


@check("networks")
def eval_is_deterministic(record: Record) -> None:
    """A row's outputs depend on the row alone; a state dict carries them."""
    network = _network(record)
    deterministic(network, lambda: network(_x()).logits)
    close(network(_x()[:2]).logits, network(_x()).logits[:2], tol=1e-5)
    same_state(network, _network(record, seed=5), lambda module: module(_x()).logits)


@check("networks")
def weights_come_from_the_seed(record: Record) -> None:
    """Same seed, same weights; another seed, others."""
    one, same, other = (_network(record, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


@check("networks")
def cuts_compose(record: Record) -> None:
    """Cut in two at any of its cuts it is the same network; without cuts it says so."""
    network = _network(record).eval()
    if not network.cuts:
        raises_two_lines(LongtailError, lambda: network.forward_to(_x(), "stem"))
        return
    whole = network(_x()).logits
    for cut in network.cuts:
        close(network.forward_from(network.forward_to(_x(), cut), cut).logits, whole, tol=1e-5)
    raises_two_lines(LongtailError, lambda: network.forward_to(_x(), "no_such_cut"))


@check("networks")
def head_and_scale(record: Record) -> None:
    """Heads are named apart; a cosine head's scale is the network's."""
    network = _network(record, head=part("cosine", scale=12.0))
    named = {p.data_ptr() for p in network.parameters()}
    heads = {p.data_ptr() for p in network.head_parameters()}
    assert heads
    assert heads < named
    assert network.scale in (12.0, None)


@check("networks", when=lambda r: r.name != "tree")
def projection_beside_the_head(record: Record) -> None:
    """A projector reads the features: ``(B, d)``."""
    network = _network(record, projector=part("mlp_projector", out_features=7))
    out = network(_x())
    assert out.projection.shape == (ROWS, 7)
    all_gradients(network, (out.projection * noise(ROWS, 7)).sum() + out.logits.square().sum())
