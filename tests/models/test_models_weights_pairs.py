"""Classifier and backbone of one checkpoint come from one network of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from longtail.models import LinearHead, SmallCNN
from longtail.models.weights import load_backbone, load_head


@pytest.mark.parametrize("longer", ["ema.", "average."])
def test_the_head_is_that_of_the_network_the_backbone_came_from(longer: str) -> None:
    backbone, head = SmallCNN((1, 8, 8)), LinearHead(128, 3)
    state: dict[str, torch.Tensor] = {}
    for number, top in enumerate(("model.", longer)):
        state |= {top + k: torch.full_like(v, number) for k, v in backbone.state_dict().items()}
        state[top + "fc.weight"] = torch.full((3, 128), float(number))
        state[top + "fc.bias"] = torch.full((3,), float(number))
    prefix = load_backbone(backbone, state)
    network: Any = SimpleNamespace(head=head)
    assert load_head(network, state, prefix)
    trunk = next(v for k, v in backbone.state_dict().items() if k.endswith("conv.weight"))
    assert head.weight[0, 0].item() == trunk.flatten()[0].item()
