"""Networks: how first layer, backbone and heads are put together."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from longtail.errors import ConfigError, UnknownNameError
from longtail.models.backbones import Backbone, Pieces
from longtail.models.heads import Head
from longtail.types import Outputs

__all__ = ["Branches", "ExpertNetwork", "Network", "SingleNetwork", "TwoBranchNetwork"]


class Network(nn.Module):
    """Base of all networks: ``Outputs = network(x)``.

    Attributes:
        normalise: first layer (standardises; one-hot for tables).
        backbone: ``(B, ...)`` to features; all its weights lie under ``backbone.``.
        head: a classifier, or a ``ModuleList`` of one an expert.
        projector: features to a projection, or ``None``.
        features: ``D``, width of the head's input.
    """

    features: int
    normalise: nn.Module
    backbone: nn.Module
    head: nn.Module
    projector: nn.Module | None

    def __init__(
        self,
        normalise: nn.Module,
        backbone: nn.Module,
        head: nn.Module,
        projector: nn.Module | None,
        features: int,
    ) -> None:
        super().__init__()
        self.normalise, self.backbone, self.head = normalise, backbone, head
        self.projector = projector
        self.features = features

    @property
    def scale(self) -> float | None:
        """The scale of a cosine head, or ``None``."""
        return cast("float | None", getattr(self._heads()[0], "scale", None))

    @property
    def cuts(self) -> tuple[str, ...]:
        """Names that :meth:`forward_to` and :meth:`forward_from` take."""
        raise NotImplementedError

    @property
    def decider(self) -> Head | None:
        """The one head that reads :attr:`Outputs.features`, or ``None``."""
        return None

    def _heads(self) -> list[nn.Module]:
        return list(self.head) if isinstance(self.head, nn.ModuleList) else [self.head]

    def affine(self) -> tuple[Tensor, Tensor | None] | None:
        """``(W, b)`` where the logits are ``W h + b`` of the features, else ``None``."""
        head = getattr(self, "head", None)  # a tree of networks has none of its own
        return head.affine() if isinstance(head, Head) else None

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of all classifiers (not of the projector)."""
        return list(self.head.parameters())

    def hidden(self, x: Tensor) -> Any:
        """What :meth:`read_out` takes: everything before the heads."""
        raise NotImplementedError

    def read_out(self, hidden: Any) -> Outputs:
        """Heads and projector."""
        raise NotImplementedError

    def mean_features(self, hidden: Any) -> Tensor:
        """``(B, D)`` of what :meth:`hidden` gave."""
        return cast(Tensor, hidden)

    def to_rows(self, hidden: Any) -> Tensor:
        """What :meth:`hidden` gave as ``(B, ...)``, to be kept row by row."""
        return cast(Tensor, hidden)

    def from_rows(self, rows: Tensor) -> Any:
        """The inverse of :meth:`to_rows`."""
        return rows

    def forward(self, x: Tensor, *, features_only: bool = False) -> Outputs:
        """Outputs of a batch; with ``features_only`` the logits are empty ``(B, 0)``."""
        hidden = self.hidden(self.normalise(x))
        if features_only:
            features = self.mean_features(hidden)
            return Outputs(features.new_empty((len(features), 0)), features)
        return self.read_out(hidden)

    def forward_to(self, x: Tensor, cut: str) -> Tensor:
        """From raw inputs to the hidden state after ``cut``."""
        raise NotImplementedError

    def forward_from(self, h: Tensor, cut: str) -> Outputs:
        """From the hidden state after ``cut`` (rows may have been added) to outputs."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """``(B, D)`` features to ``(B, C)`` logits; with experts the mean over their heads."""
        logits = [head(features) for head in self._heads()]
        return cast(Tensor, logits[0] if len(logits) == 1 else torch.stack(logits).mean(0))

    def _project(self, features: Tensor) -> Tensor | None:
        return None if self.projector is None else self.projector(features)

    def _check_cut(self, cut: str) -> None:
        if cut not in self.cuts:
            raise UnknownNameError(f"cut of {type(self).__name__}", cut, self.cuts)


class SingleNetwork(Network):
    """One backbone, one head.

    Shapes:
        ``logits (B, C)``, ``features (B, D)``, ``projection (B, d)`` or ``None``.
    """

    backbone: Backbone

    @property
    def cuts(self) -> tuple[str, ...]:
        return self.backbone.cuts

    @property
    def decider(self) -> Head | None:
        return self.head if isinstance(self.head, Head) else None

    def hidden(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.backbone(x))

    def read_out(self, hidden: Tensor) -> Outputs:
        return Outputs(self.head(hidden), hidden, projection=self._project(hidden))

    def forward_to(self, x: Tensor, cut: str) -> Tensor:
        return self.backbone.forward_to(self.normalise(x), cut)

    def forward_from(self, h: Tensor, cut: str) -> Outputs:
        return self.read_out(self.backbone.forward_from(h, cut))


class Branches(nn.Module):
    """A shared trunk and several tails of a backbone.

    Every tail has fresh weights of its own.

    Args:
        backbone: a backbone with cuts.
        cut: the last piece that is shared.
        count: number of tails.
    """

    def __init__(self, backbone: Backbone, cut: str, count: int) -> None:
        super().__init__()
        self.cut, self.features = cut, backbone.features
        self.stem = backbone.trunk(cut)
        self.tails = nn.ModuleList(backbone.tail(cut) for _ in range(count))

    @property
    def cuts(self) -> tuple[str, ...]:
        """Cuts of the shared trunk."""
        return self.stem.cuts

    def forward(self, x: Tensor) -> Tensor:
        """``(B, ...)`` to ``(E, B, D)``."""
        return self.branch(self.stem(x))

    def branch(self, h: Tensor) -> Tensor:
        """From the end of the trunk to ``(E, B, D)``."""
        return torch.stack([tail(h) for tail in self.tails])

    def forward_from(self, h: Tensor, cut: str) -> Tensor:
        """From a cut of the trunk to ``(E, B, D)``."""
        return self.branch(self.stem.forward_from(h, cut))


class ExpertNetwork(Network):
    """Experts on a shared trunk; the logits are the mean of the experts' logits.

    Every expert owns the pieces after the cut and a head.

    Shapes:
        ``expert_logits (E, B, C)``, ``logits (B, C)`` their mean, ``features (B, D)`` the mean
        of the experts' features.

    Reference: after Wang et al., ICLR 2021 (RIDE).
    """

    backbone: Branches

    @property
    def cuts(self) -> tuple[str, ...]:
        return self.backbone.cuts

    def hidden(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.backbone(x))

    def mean_features(self, hidden: Tensor) -> Tensor:
        return hidden.mean(0)

    def to_rows(self, hidden: Tensor) -> Tensor:
        return hidden.movedim(0, 1)

    def from_rows(self, rows: Tensor) -> Tensor:
        return rows.movedim(1, 0)

    def read_out(self, hidden: Tensor) -> Outputs:
        each = torch.stack([head(f) for head, f in zip(self._heads(), hidden, strict=True)])
        features = self.mean_features(hidden)
        return Outputs(each.mean(0), features, each, self._project(features))

    def forward_to(self, x: Tensor, cut: str) -> Tensor:
        self._check_cut(cut)
        return self.backbone.stem.forward_to(self.normalise(x), cut)

    def forward_from(self, h: Tensor, cut: str) -> Outputs:
        self._check_cut(cut)
        return self.read_out(self.backbone.forward_from(h, cut))


class TwoBranchNetwork(Network):
    """Bilateral branches: all shared but the last block, one head on ``f = cat(f_c, f_r)``.

    ``forward`` is the test form, ``f = 2 cat(0.5 f_c, 0.5 f_r)``; :meth:`mix` the training form,
    ``f = 2 cat(a f_c(x_c), (1 - a) f_r(x_r))``.

    Shapes:
        ``features (B, 2 D)``, ``logits (B, C)``.

    Reference: Zhou et al., CVPR 2020 (BBN).
    """

    backbone: Branches

    @property
    def cuts(self) -> tuple[str, ...]:
        return self.backbone.cuts

    def hidden(self, x: Tensor) -> Tensor:
        return self._join(self.backbone(x))

    def _join(self, branches: Tensor) -> Tensor:
        return torch.cat([branches[0], branches[1]], 1)

    def read_out(self, hidden: Tensor) -> Outputs:
        return Outputs(self.head(hidden), hidden, projection=self._project(hidden))

    def mix(self, x_c: Tensor, x_r: Tensor, alpha: Tensor | float) -> Outputs:
        """Outputs for rows ``x_c`` of the conventional and ``x_r`` of the re-balancing branch.

        Args:
            x_c: ``(B, ...)``.
            x_r: ``(B, ...)``, as many rows.
            alpha: share of the conventional branch, 0-d or a number.
        """
        stem, (conventional, balancing) = self.backbone.stem, self.backbone.tails
        first = conventional(stem(self.normalise(x_c)))
        second = balancing(stem(self.normalise(x_r)))
        return self.read_out(2 * torch.cat([alpha * first, (1 - alpha) * second], 1))

    def forward_to(self, x: Tensor, cut: str) -> Tensor:
        self._check_cut(cut)
        return self.backbone.stem.forward_to(self.normalise(x), cut)

    def forward_from(self, h: Tensor, cut: str) -> Outputs:
        self._check_cut(cut)
        return self.read_out(self._join(self.backbone.forward_from(h, cut)))


def expert_cut(backbone: Pieces, cut: str) -> str:
    """The cut that experts share up to; where ``"layer1"`` is missing, the first there is."""
    if not backbone.cuts:
        raise ConfigError(
            f"{type(backbone).__name__} has no cuts, and experts need one",
            "choose a backbone with cuts, such as small_cnn, resnet32 or mlp",
        )
    if cut in backbone.cuts:
        return cut
    if cut == "layer1":
        return backbone.cuts[0]
    raise UnknownNameError(f"cut of {type(backbone).__name__}", cut, backbone.cuts)


def need_last_block(backbone: Backbone) -> str:
    """The cut before the last block, or an error for a backbone without one."""
    if backbone.last_block_cut not in backbone.cuts:
        raise ConfigError(
            f"{type(backbone).__name__} has no cut before its last block, and two branches need one",
            "choose a backbone with cuts, such as small_cnn, resnet32 or mlp",
        )
    return backbone.last_block_cut
