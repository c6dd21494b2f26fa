"""BatchNorm folded into convolutions: the same features, the network as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from longtail.models import InputSpec, Network, build_network, folded
from longtail.registry import part

NETWORKS = (part("single"), part("experts", count=3), part("two_branch"))
IMAGE = InputSpec("image", (3, 16, 16), (0.3,) * 3, (0.3,) * 3)


def make(network: object, backbone: str = "resnet32") -> Network:
    made = build_network(
        network,  # type: ignore[arg-type]
        input_spec=IMAGE, backbone=backbone, num_classes=4, seed=3, head=part("linear"),
    )  # fmt: skip
    torch.manual_seed(0)
    for m in made.modules():
        if isinstance(m, nn.BatchNorm2d):  # as after training: nothing is at its neutral value
            m.running_mean.normal_().mul_(0.1)
            m.running_var.uniform_(0.5, 2.0)
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_().mul_(0.1)
    return made.eval()


@pytest.mark.parametrize("backbone", ["resnet32", "resnet18", "resnet50", "small_cnn"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda p: p.name)
@torch.no_grad()
def test_folded_features_are_the_same(network: object, backbone: str) -> None:
    made, x = make(network, backbone), torch.rand(4, 3, 16, 16)
    trunk, before = made.backbone, {k: v.clone() for k, v in made.state_dict().items()}
    plain = made.hidden(made.normalise(x))
    with folded(made):
        assert made.backbone is not trunk
        assert not any(isinstance(m, nn.BatchNorm2d) for m in made.backbone.modules())
        close = made.hidden(made.normalise(x))
    assert made.backbone is trunk
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())
    torch.testing.assert_close(close, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


def test_the_backbone_is_put_back_after_an_error() -> None:
    made = make(NETWORKS[0])
    trunk = made.backbone
    with pytest.raises(RuntimeError, match="full"), folded(made):
        raise RuntimeError("disk full")
    assert made.backbone is trunk


class Unusual(nn.Module):
    """A backbone that asks for values: cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if float(x.mean()) > 0:
            x = x + 1
        return self.norm(self.conv(x)).mean((2, 3))


class Measured(Unusual):
    """A backbone that asks for the size of its batch, and calls a module by keyword."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(input=self.conv(input=x)).mean((2, 3)) * len(x)


def test_what_cannot_be_folded_is_left_alone() -> None:
    made = make(NETWORKS[0]).train()
    with folded(made) as same:
        assert same.backbone is made.backbone
        assert any(isinstance(m, nn.BatchNorm2d) for m in same.backbone.modules())
    for backbone in (Unusual(), Measured()):
        made.backbone = backbone
        made.eval()
        with folded(made):
            assert made.backbone is backbone


class ByKeyword(Unusual):
    """A backbone that can be traced and names its arguments."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(input=self.conv(input=x)).mean((2, 3))


@torch.no_grad()
def test_arguments_given_by_name_are_left_alone() -> None:
    made, x = make(NETWORKS[0]), torch.rand(2, 3, 16, 16)
    made.backbone = ByKeyword().eval()
    plain = made.hidden(x)
    with folded(made):
        torch.testing.assert_close(made.hidden(x), plain)
