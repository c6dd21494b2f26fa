"""Backbones in named pieces: the base class, and the small ones for each kind of input."""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from longtail.checks import is_whole
from longtail.errors import ConfigError, UnknownNameError

__all__ = ["MLP", "Backbone", "HashedText", "Pieces", "SmallCNN", "initialise"]


def initialise(module: nn.Module) -> None:
    """Draw fresh weights for every layer inside, from torch's generator.

    Convolutions: He normal, fan out. Linear, norm and embedding layers: their own
    ``reset_parameters`` (norms: weight 1, bias 0, running statistics cleared).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        else:
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()


class Pieces(nn.Module):
    """An ordered chain of named pieces that can be cut after each of them.

    Attributes:
        pieces: name -> module, in the order of the forward pass.
        features: ``D``, width of the output.
    """

    features: int
    pieces: nn.ModuleDict

    def __init__(self, pieces: Mapping[str, nn.Module] | None = None, features: int = 0) -> None:
        super().__init__()
        self.features = features
        self.pieces = nn.ModuleDict(pieces)

    @property
    def cuts(self) -> tuple[str, ...]:
        """Names of the places where the chain can be cut: after each piece."""
        return tuple(self.pieces)

    def _after(self, cut: str) -> int:
        if cut not in self.pieces:
            raise UnknownNameError(f"cut of {type(self).__name__}", cut, self.cuts)
        return self.cuts.index(cut) + 1

    def forward(self, x: Tensor) -> Tensor:
        """``(B, ...)`` to ``(B, D)``."""
        for piece in self.pieces.values():
            x = piece(x)
        return x

    def forward_to(self, x: Tensor, cut: str) -> Tensor:
        """The hidden state after the piece ``cut``."""
        for piece in list(self.pieces.values())[: self._after(cut)]:
            x = piece(x)
        return x

    def forward_from(self, h: Tensor, cut: str) -> Tensor:
        """From the hidden state after ``cut`` to ``(B, D)``; rows may have been added."""
        for piece in list(self.pieces.values())[self._after(cut) :]:
            h = piece(h)
        return h

    def trunk(self, cut: str) -> Pieces:
        """The pieces up to ``cut`` themselves (shared, not copied)."""
        return Pieces(dict(list(self.pieces.items())[: self._after(cut)]), self.features)

    def tail(self, cut: str) -> Pieces:
        """A copy of the pieces after ``cut`` with fresh weights from torch's generator."""
        rest = dict(list(self.pieces.items())[self._after(cut) :])
        fresh = Pieces(copy.deepcopy(rest), self.features)
        initialise(fresh)
        return fresh


def whole_numbers(values: Any) -> tuple[int, ...]:
    """``values`` as a tuple; an empty one where they are no list of whole numbers."""
    found = tuple(values) if isinstance(values, Iterable) else ()
    return tuple(int(n) for n in found) if is_whole(*found) else ()


class Backbone(Pieces):
    """Base of all backbones.

    A subclass takes ``input_shape`` (image ``(c, h, w)``, table ``(F,)``, text ``(L,)``) and
    hyper-parameters, and ends its constructor with :meth:`assemble`.

    Attributes:
        last_block_cut: after it only the last block (and pooling) remains.
    """

    last_block_cut: str = ""
    rank: ClassVar[int] = 1

    def __init__(self, input_shape: Sequence[int]) -> None:
        super().__init__()
        self.input_shape = whole_numbers(input_shape)
        if len(self.input_shape) != self.rank or min(self.input_shape) < 1:
            wanted = "(channels, height, width)" if self.rank == 3 else "(length,)"
            raise ConfigError(
                f"{type(self).__name__} takes an input shape {wanted}, not {input_shape}",
                "choose a backbone for this kind of input",
            )

    def assemble(self, features: int, **pieces: nn.Module) -> None:
        """Take the pieces in order, and draw their weights."""
        self.features = features
        self.pieces = nn.ModuleDict(pieces)
        initialise(self)


class MLP(Backbone):
    """Dense layers for tables: ``[Linear, LayerNorm, ReLU]`` a layer.

    No BatchNorm and no dropout: a row's output does not depend on the rest of its batch.

    Args:
        input_shape: ``(F,)``, columns after encoding.
        hidden: widths; the last one is ``D``.

    Shapes:
        ``(B, F)`` to ``(B, D)``. Pieces ``layer1``, ``layer2``, ...
    """

    last_block_cut = "layer1"

    def __init__(self, input_shape: Sequence[int], *, hidden: Sequence[int] = (256, 128)) -> None:
        super().__init__(input_shape)
        self.hidden = whole_numbers(hidden)
        if len(self.hidden) < 2 or min(self.hidden) < 1:
            raise ConfigError(
                f"mlp needs at least two hidden widths of 1 or more, not {hidden}",
                "try hidden=(256, 128)",
            )
        widths = (self.input_shape[0], *self.hidden)
        layers = {
            f"layer{i + 1}": nn.Sequential(
                OrderedDict(linear=nn.Linear(a, b), norm=nn.LayerNorm(b), act=nn.ReLU())
            )
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        }
        self.last_block_cut = f"layer{len(hidden) - 1}"
        self.assemble(self.hidden[-1], **layers)


class SmallCNN(Backbone):
    """Four convolution blocks ``[Conv, BatchNorm, ReLU]`` for small images.

    The map is halved until it is about 4 x 4 (images of more than 16 pixels: 5 x 5 with stride 2
    first); the last block is 3 x 3 without padding, which keeps what stands where, and its
    2 x 2 map is averaged. A 28 x 28 image costs
    3.9 MFLOP forward.

    Args:
        input_shape: ``(c, h, w)``, at least 4 pixels high and wide.
        widths: channels of the blocks; the last one is ``D``.

    Shapes:
        ``(B, c, h, w)`` to ``(B, D)``. Pieces ``stem``, ``layer1``, ``layer2``, ``layer3``,
        ``pool``.
    """

    last_block_cut = "layer2"
    rank = 3

    def __init__(
        self, input_shape: Sequence[int], *, widths: Sequence[int] = (32, 64, 64, 128)
    ) -> None:
        super().__init__(input_shape)
        channels, *size = self.input_shape
        self.widths = whole_numbers(widths)
        if min(size) < 4 or len(self.widths) != 4 or min(self.widths) < 1:
            raise ConfigError(
                f"small_cnn needs images of 4 pixels or more and four widths, not {size} and "
                f"{widths}",
                "enlarge the images, or give widths=(32, 64, 64, 128)",
            )
        a, b, c, d = self.widths
        large = min(size) > 16
        left = -(-min(size) // (8 if large else 2))  # pixels before the last block
        self.assemble(
            d,
            stem=_conv_block(channels, a, 5 if large else 3, 2 if large else 1),
            layer1=_conv_block(a, b, 3, 2),
            layer2=_conv_block(b, c, 3, 2 if large else 1),
            layer3=_conv_block(c, d, 3, 1, padding=0 if left > 3 else 1),
            pool=GlobalPool(),
        )


def _conv_block(
    inside: int, outside: int, size: int, stride: int, *, padding: int | None = None
) -> nn.Sequential:
    around = size // 2 if padding is None else padding
    conv = nn.Conv2d(inside, outside, size, stride, padding=around, bias=False)
    return nn.Sequential(
        OrderedDict(conv=conv, norm=nn.BatchNorm2d(outside), act=nn.ReLU(inplace=True))
    )


class GlobalPool(nn.Module):
    """Mean over the map: ``(B, D, h, w)`` to ``(B, D)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        return x.mean((2, 3))


class BagOfTokens(nn.Module):
    """Mean of token embeddings, padding left out: ``(B, L)`` ids to ``(B, d)``.

    A row of nothing but padding gives zeros. Written with a plain embedding, whose gradient
    can be differentiated again (``EmbeddingBag`` has no second derivative).
    """

    def __init__(self, buckets: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(buckets, dim))

    def reset_parameters(self) -> None:
        """Small normal rows; row 0 (padding) is zero and stays so."""
        nn.init.normal_(self.weight, std=0.1)
        with torch.no_grad():
            self.weight[0].zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up and average."""
        rows = nn.functional.embedding(tokens, self.weight, padding_idx=0)
        count = (tokens != 0).sum(1, keepdim=True).clamp(min=1)
        return rows.sum(1) / count.to(rows.dtype)


class HashedText(Backbone):
    """Bag of hashed word n-grams, then a dense layer.

    Args:
        input_shape: ``(L,)`` token ids a text.
        buckets: number of token ids, padding (0) included.
        dim: width of an embedding.
        hidden: ``D``.

    Shapes:
        ``(B, L)`` int32 to ``(B, D)``. Pieces ``embedding``, ``hidden``.
    """

    last_block_cut = "embedding"

    def __init__(
        self, input_shape: Sequence[int], *, buckets: int = 65536, dim: int = 64, hidden: int = 128
    ) -> None:
        super().__init__(input_shape)
        if not is_whole(buckets, dim, hidden) or buckets < 2 or min(dim, hidden) < 1:
            raise ConfigError(
                f"hashed_text needs at least 2 buckets and widths of 1 or more, not {buckets}, "
                f"{dim} and {hidden}",
                "try buckets=65536, dim=64, hidden=128",
            )
        self.buckets, self.dim, self.hidden = buckets, dim, hidden
        self.assemble(
            hidden,
            embedding=nn.Sequential(
                OrderedDict(bag=BagOfTokens(buckets, dim), norm=nn.LayerNorm(dim))
            ),
            hidden=nn.Sequential(OrderedDict(linear=nn.Linear(dim, hidden), act=nn.ReLU())),
        )
