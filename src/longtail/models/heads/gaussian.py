"""Classifiers that model the features of a class as a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from longtail.checks import is_finite
from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.functional.heads import gaussian_logits
from longtail.models.heads.base import Head, wide
from longtail.models.heads.fitted import FittedHead, class_means
from longtail.types import ClassStats

__all__ = ["GaussianHead", "LdaHead"]

COVARIANCES = ("balanced", "pooled")
PRIORS = ("uniform", "natural")
MEANS = ("learned", "moving")
TIES = ("tail", "all", "none")


class LdaHead(FittedHead):
    """Linear discriminant analysis of the training features; linear while it trains.

    ``z_c = m_c' S^-1 h - m_c' S^-1 m_c / 2 (+ log pi_c)`` up to a constant of the row: features and
    means are taken relative to the overall mean, which the softmax does not see. The covariance is
    shrunk, ``S = (1 - rho) S_0 + rho (tr S_0 / D) I``, and never inverted: ``S`` is factored once
    (Cholesky) and solved for the means. Under its own model the softmax answers to the uniform
    prior (``natural``: to that of training).

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        rho: shrinkage in ``[0, 1]``; 0 needs more rows than features.
        covariance: ``balanced``: ``S_0`` is the mean of the covariances of the classes with two
            rows or more (each unbiased), so that large classes do not dominate; ``pooled``: all
            rows count alike.
        prior: ``uniform``, or ``natural`` to add the log of the training shares.

    Attributes:
        centre: ``(D,)`` mean of the class means.
        planes: ``(C, D)`` rows ``S^-1 (m_c - centre)``.
        offsets: ``(C,)``.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Raises:
        DataError: a covariance that cannot be factored.

    Reference: Fisher, Annals of Eugenics 1936; with class-balanced pooling after Hayes and Kanan,
    CVPR Workshops 2020.
    """

    centre: Tensor
    planes: Tensor
    offsets: Tensor

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        rho: float = 0.1,
        covariance: str = "balanced",
        prior: str = "uniform",
    ) -> None:
        if not is_finite(rho) or not 0 <= rho <= 1:
            raise ConfigError(f"rho must lie in [0, 1], not {rho}", "try rho=0.1")
        if covariance not in COVARIANCES:
            raise UnknownNameError("covariance", covariance, COVARIANCES)
        if prior not in PRIORS:
            raise UnknownNameError("prior of the head", prior, PRIORS)
        super().__init__(in_features, num_classes)
        self.rho, self.covariance, self.prior = rho, covariance, prior
        self.register_buffer("centre", torch.zeros(in_features))
        self.register_buffer("planes", torch.zeros(num_classes, in_features))
        self.register_buffer("offsets", torch.zeros(num_classes))

    def on_fit(self, features: Tensor, labels: Tensor, counts: Tensor) -> None:
        d = self.in_features
        if self.rho == 0 and len(features) <= d:
            raise DataError(
                f"a covariance of {d} features from {len(features)} rows has no inverse",
                "shrink it: rho=0.1",
            )
        means = class_means(features, labels, counts)
        spread = self._spread(features - means[labels], labels, counts)
        level = spread.diagonal().mean()
        shrunk = (1 - self.rho) * spread + self.rho * level * torch.eye(d, dtype=spread.dtype)
        factor, failed = torch.linalg.cholesky_ex(shrunk)
        if bool(failed) or float(factor.diagonal().min()) <= 1e-7 * float(level.sqrt()):
            raise DataError(
                f"the covariance of the features cannot be factored with rho={self.rho} "
                "(features that never vary, or vary together)",
                "give a larger rho, or train the network first",
            )
        centre = means[counts > 0].mean(0)
        planes = torch.cholesky_solve((means - centre).T, factor).T
        offsets = -0.5 * (planes * (means - centre)).sum(1)
        if self.prior == "natural":
            offsets = offsets + (counts.clamp_min(1) / counts.sum()).log()
        self.centre.copy_(centre)
        self.planes.copy_(planes)
        self.offsets.copy_(offsets)

    def _spread(self, rest: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """``(D, D)`` covariance from what the class means leave."""
        if self.covariance == "pooled":
            free = counts.sum() - (counts > 0).sum()
            return rest.T @ rest / free.clamp_min(1)
        share = torch.where(counts > 1, 1 / (counts - 1).clamp_min(1), 0.0)
        share = share / (counts > 1).sum().clamp_min(1)
        return (rest * share[labels, None]).T @ rest

    def answer(self, features: Tensor) -> Tensor:
        h = features - self.centre.to(features.dtype)
        return nn.functional.linear(h, self.planes.to(h.dtype), self.offsets.to(h.dtype))


class GaussianHead(Head):
    """``z_c = -|h - m_c|^2 / (2 s_c^2)``: a prototype and a width a class.

    As the formula has no term for the volume of a Gaussian, a wide class gains by its width; ``tie``
    therefore keeps the widths of tail classes together, which few rows cannot tell apart.
    Trained by cross-entropy the softmax answers to the training prior.

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        means: ``learned`` by gradient, or ``moving``: ``m_c <- mu m_c + (1 - mu) mean of its rows``
            after every step (the objective ``moving_head``); the first rows of a class set it.
        tie: classes that share one ``log s`` (their mean): ``tail``, the group of few training
            rows (known after :meth:`bind`), ``all``, or ``none``.
        sigma: width at the start.
        momentum: ``mu`` of moving means.

    Attributes:
        weight: ``(C, D)`` means: a parameter, or a buffer where they move.
        widths: ``(C,)`` parameter, zero at the start: ``log s_c = log sigma + widths_c / D^0.5``, so
            that a width learns no faster than a mean, whatever the number of features.
        tail: ``(C,)`` bool: classes that share a width.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: after Snell et al., NeurIPS 2017.
    """

    tail: Tensor
    seen: Tensor

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        means: str = "learned",
        tie: str = "tail",
        sigma: float = 1.0,
        momentum: float = 0.9,
    ) -> None:
        if means not in MEANS:
            raise UnknownNameError("kind of means", means, MEANS)
        if tie not in TIES:
            raise UnknownNameError("tie of widths", tie, TIES)
        if not is_finite(sigma, momentum) or sigma <= 0 or not 0 <= momentum < 1:
            raise ConfigError(
                f"sigma must be positive and momentum in [0, 1), not {sigma} and {momentum}",
                "try sigma=1.0, momentum=0.9",
            )
        super().__init__(in_features, num_classes)
        self.means, self.tie, self.sigma, self.momentum = means, tie, float(sigma), momentum
        self.moving = means == "moving"
        moved = ({"objective": "moving_head"},) if self.moving else ()
        self.partners = (*moved, *(({"before": "bind_head"},) if tie == "tail" else ()))
        if self.moving:
            del self.weight
            self.register_buffer("weight", torch.empty(num_classes, in_features))
        self.widths = nn.Parameter(torch.empty(num_classes))
        self.register_buffer("tail", torch.full((num_classes,), tie == "all"))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.bool))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Means uniform in ``+-1/sqrt(D)``, widths as constructed."""
        bound = self.in_features**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.widths)
        self.seen.fill_(False)

    def bind(self, stats: ClassStats) -> None:
        """Learn which classes are the tail."""
        if self.tie == "tail":
            self.tail.fill_(False)
            self.tail[stats.groups()[0]["few"].to(self.tail.device)] = True

    @torch.no_grad()
    def watch(
        self, features: Tensor, targets: Sequence[tuple[Tensor, Tensor | None]]
    ) -> dict[str, Tensor]:
        """Sums of features and numbers of rows of each class."""
        h = wide(features)
        sums, rows = h.new_zeros(self.num_classes, h.shape[1]), h.new_zeros(self.num_classes)
        for target, share in targets:
            part = h.new_ones(len(h)) if share is None else share.to(h.dtype)
            sums.index_add_(0, target, h * part[:, None])
            rows.index_add_(0, target, part)
        return {"sum": sums, "rows": rows}

    @torch.no_grad()
    def fold(self, found: dict[str, Tensor], pace: float = 1.0) -> None:
        """Move the means of the classes that had rows."""
        there = found["rows"] > 0
        mean = found["sum"] / torch.where(there, found["rows"], 1)[:, None]
        step = torch.where(self.seen, (1 - self.momentum) * pace, 1.0)[:, None].to(mean.dtype)
        moved = self.weight + step * (mean - self.weight)
        self.weight.copy_(torch.where(there[:, None], moved, self.weight))
        self.seen.logical_or_(there)

    def log_sigma(self) -> Tensor:
        """``(C,)``: ``log s``, that of the classes that share one the same."""
        own, tail = wide(self.widths), self.tail
        shared = (own * tail).sum() / tail.sum().clamp_min(1)
        widths = torch.where(tail, shared, own) / math.sqrt(self.in_features)
        return widths + math.log(self.sigma)

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        with torch.autocast(features.device.type, enabled=False):
            return gaussian_logits(wide(features), wide(self.weight), self.log_sigma())
