"""Residual networks: ResNet-32 for CIFAR, and ResNet-18, -50 and -152."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from longtail.errors import ConfigError
from longtail.models.backbones import Backbone, GlobalPool, whole_numbers

__all__ = ["ResNet18", "ResNet32", "ResNet50", "ResNet152"]


def _conv(inside: int, outside: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, size, stride, padding=size // 2, bias=False)


class PadShortcut(nn.Module):
    """Option A shortcut: every second pixel, new channels zero; no parameters."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.before = (outside - inside) // 2
        self.after = outside - inside - self.before

    def forward(self, x: Tensor) -> Tensor:
        """``(B, a, h, w)`` to ``(B, b, ceil(h/2), ceil(w/2))``."""
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    expansion: ClassVar[int] = 1

    def __init__(self, inside: int, width: int, stride: int, *, pad_shortcut: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inside, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inside, width, stride, pad_shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Residual sum."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu_(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (with the stride), 1 x 1 convolutions and a shortcut."""

    expansion: ClassVar[int] = 4

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inside, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inside, 4 * width, stride, False)

    def forward(self, x: Tensor) -> Tensor:
        """Residual sum."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return torch.relu_(out + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inside: int, outside: int, stride: int, pad: bool) -> nn.Module | None:
    if stride == 1 and inside == outside:
        return None
    if pad:
        return PadShortcut(inside, outside)
    return nn.Sequential(_conv(inside, outside, 1, stride), nn.BatchNorm2d(outside))


def _stem(channels: int, width: int, *, large: bool) -> nn.Sequential:
    """``conv1, bn1, relu`` and, for large images, ``maxpool``."""
    conv = nn.Conv2d(channels, width, 7, 2, 3, bias=False) if large else _conv(channels, width, 3)
    layers = OrderedDict[str, nn.Module](
        conv1=conv, bn1=nn.BatchNorm2d(width), relu=nn.ReLU(inplace=True)
    )
    if large:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(layers)


class ResNet32(Backbone):
    """ResNet-32 of the CIFAR papers: 5-5-5 basic blocks, option A shortcuts, ``D = 64``.

    Args:
        input_shape: ``(c, h, w)``, made for 32 x 32.
        widths: channels of the three layers; the last one is ``D``.

    Shapes:
        ``(B, c, h, w)`` to ``(B, D)``. Pieces ``stem``, ``layer1``, ``layer2``, ``layer3_body``
        (all but the last block), ``layer3`` (the last block), ``pool``.

    Reference: He et al., CVPR 2016, section 4.2.
    """

    last_block_cut = "layer3_body"
    rank = 3

    def __init__(
        self, input_shape: Sequence[int], *, widths: tuple[int, int, int] = (16, 32, 64)
    ) -> None:
        super().__init__(input_shape)
        self.widths = whole_numbers(widths)
        if len(self.widths) != 3 or min(self.widths) < 1:
            raise ConfigError(
                f"resnet32 has three widths of 1 or more, not {widths}", "try widths=(16, 32, 64)"
            )
        a, b, c = self.widths
        third = _basic_layer(b, c, 2)
        self.assemble(
            c,
            stem=_stem(self.input_shape[0], a, large=False),
            layer1=nn.Sequential(_basic_layer(a, a, 1)),
            layer2=nn.Sequential(_basic_layer(a, b, 2)),
            **_split_last("layer3", third),
            pool=GlobalPool(),
        )


def _basic_layer(
    inside: int, width: int, stride: int, blocks: int = 5
) -> OrderedDict[str, nn.Module]:
    made = OrderedDict[str, nn.Module]()
    for i in range(blocks):
        first = i == 0
        made[str(i)] = BasicBlock(
            inside if first else width, width, stride if first else 1, pad_shortcut=True
        )
    return made


def _split_last(name: str, blocks: OrderedDict[str, nn.Module]) -> dict[str, nn.Module]:
    """``name_body`` with all blocks but the last, and ``name`` with the last, under its number."""
    items = list(blocks.items())
    return {
        f"{name}_body": nn.Sequential(OrderedDict(items[:-1])),
        name: nn.Sequential(OrderedDict(items[-1:])),
    }


class _ImageNetResNet(Backbone):
    """Four layers of residual blocks.

    Images of at most 64 pixels get a 3 x 3 stem without max-pooling, larger ones the 7 x 7 stem
    with stride 2 and max-pooling. Within a piece keys are torchvision's; see
    :func:`longtail.models.weights.load_backbone`.

    Args:
        input_shape: ``(c, h, w)``.

    Shapes:
        ``(B, c, h, w)`` to ``(B, D)``. Pieces ``stem``, ``layer1``, ``layer2``, ``layer3``,
        ``layer4_body`` (all but the last block), ``layer4`` (the last block), ``pool``.

    Reference: He et al., CVPR 2016 (stride in the 3 x 3 convolution of a bottleneck).
    """

    last_block_cut = "layer4_body"
    rank = 3
    block: ClassVar[type[BasicBlock] | type[Bottleneck]] = BasicBlock
    depths: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)

    def __init__(self, input_shape: Sequence[int]) -> None:
        super().__init__(input_shape)
        large = max(self.input_shape[1:]) > 64
        pieces: dict[str, nn.Module] = {"stem": _stem(self.input_shape[0], 64, large=large)}
        inside = 64
        for i, depth in enumerate(self.depths):
            width, stride = 64 * 2**i, 1 if i == 0 else 2
            blocks = OrderedDict[str, nn.Module]()
            for k in range(depth):
                blocks[str(k)] = self.block(inside, width, stride if k == 0 else 1)
                inside = width * self.block.expansion
            name = f"layer{i + 1}"
            pieces.update(_split_last(name, blocks) if i == 3 else {name: nn.Sequential(blocks)})
        self.assemble(inside, **pieces, pool=GlobalPool())


class ResNet18(_ImageNetResNet):
    __doc__ = f"ResNet-18, ``D = 512``. {_ImageNetResNet.__doc__}"


class ResNet50(_ImageNetResNet):
    __doc__ = f"ResNet-50, ``D = 2048``. {_ImageNetResNet.__doc__}"
    block = Bottleneck
    depths = (3, 4, 6, 3)


class ResNet152(_ImageNetResNet):
    __doc__ = f"ResNet-152, ``D = 2048``. {_ImageNetResNet.__doc__}"
    block = Bottleneck
    depths = (3, 8, 36, 3)
