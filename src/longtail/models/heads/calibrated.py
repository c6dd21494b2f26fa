"""Linear classifiers with a correction of their logits that a second stage learns.

The correction is the identity when the head is made, so a first stage that trains ``head.weight``
and ``head.bias`` alone trains a plain linear classifier.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtail.errors import UnknownNameError
from longtail.functional.calibration import align_distribution, calibrate_margins
from longtail.models.heads.basic import LinearHead

__all__ = ["DisAlignHead", "MarcHead"]

FORMS = ("paper", "code")


class DisAlignHead(LinearHead):
    """``z'_c = s(h) (alpha_c z_c + beta_c) + (1 - s(h)) z_c``, ``z = W h + b``, ``s = sigmoid(v.h + v_0)``.

    In the form ``code`` it is ``(1 + s alpha_c) z_c + s beta_c``, the same family with
    ``alpha`` of the paper less one. ``alpha`` starts where ``z' = z``: at 1 (paper), at 0 (code);
    ``beta`` starts at 0 and every entry of ``v`` at 0.1.

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        form: ``paper`` or ``code``; they differ in what weight decay pulls ``alpha`` to.

    Shapes:
        ``(B, D)`` to ``(B, C)``; ``alpha``, ``beta`` ``(C,)``, ``confidence`` ``(B, D)`` to
        ``(B, 1)``.

    Reference: Zhang et al., *Distribution alignment*, CVPR 2021.
    """

    def __init__(self, in_features: int, num_classes: int, *, form: str = "paper") -> None:
        if form not in FORMS:
            raise UnknownNameError("form of distribution alignment", form, FORMS)
        super().__init__(in_features, num_classes)
        self.form = form
        self.alpha = nn.Parameter(torch.empty(num_classes))
        self.beta = nn.Parameter(torch.empty(num_classes))
        self.confidence = nn.Linear(in_features, 1)
        self.settle()

    def settle(self) -> None:
        """The correction back to the identity."""
        with torch.no_grad():
            self.alpha.fill_(1.0 if self.form == "paper" else 0.0)
            self.beta.zero_()
            self.confidence.weight.fill_(0.1)
            self.confidence.bias.zero_()

    def reset_parameters(self) -> None:
        """Fresh linear weights as for :class:`LinearHead`; no correction."""
        super().reset_parameters()
        if "alpha" in self._parameters:
            self.settle()

    def affine(self) -> tuple[Tensor, Tensor | None] | None:  # type: ignore[override]
        """``None``: the confidence makes the logits no linear function."""
        return None

    def forward(self, features: Tensor) -> Tensor:
        """Aligned logits."""
        logits = super().forward(features)
        sure = torch.sigmoid(self.confidence(features))
        return align_distribution(logits, sure, self.alpha, self.beta, form=self.form)


class MarcHead(LinearHead):
    """``z'_c = omega_c z_c + beta_c |w_c|``, ``z = W h + b``: margins calibrated class by class.

    The norms are those of the weights as they are, without a gradient, in training and at test.
    ``omega`` starts at 1, ``beta`` at 0.

    Args:
        in_features: ``D``.
        num_classes: ``C``.

    Shapes:
        ``(B, D)`` to ``(B, C)``; ``omega``, ``beta`` ``(C,)``.

    Reference: Wang et al., *Margin calibration for long-tailed visual recognition*, ACML 2022.
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__(in_features, num_classes)
        self.omega = nn.Parameter(torch.ones(num_classes))
        self.beta = nn.Parameter(torch.zeros(num_classes))

    def reset_parameters(self) -> None:
        """Fresh linear weights as for :class:`LinearHead`; no correction."""
        super().reset_parameters()
        if "omega" in self._parameters:
            with torch.no_grad():
                self.omega.fill_(1.0)
                self.beta.zero_()

    def affine(self) -> tuple[Tensor, Tensor]:
        """The calibrated weights and the bias, the margins in it."""
        bias = torch.zeros_like(self.omega) if self.bias is None else self.bias
        return self.omega[:, None] * self.weight, calibrate_margins(
            bias, self.weight, self.omega, self.beta
        )

    def forward(self, features: Tensor) -> Tensor:
        """Calibrated logits."""
        logits = super().forward(features)
        return calibrate_margins(logits, self.weight, self.omega, self.beta)
