"""The linear classifier with one learned scale a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtail.errors import UnknownNameError
from longtail.models.heads.basic import LinearHead

__all__ = ["ScaledHead"]

FORMS = ("logit", "weight")


class ScaledHead(LinearHead):
    """``z_c = f_c (w_c . h + b_c)``: a linear classifier with a learned scale a class.

    Scales start at one, where the head is the linear one, so that a later stage may learn them
    alone (``trains="head.scales"``).

    Args:
        in_features: ``D``.
        num_classes: ``C``.
        bias: add ``b``.
        form: ``logit`` scales the whole logit, as published code does; ``weight`` scales the
            weights only, ``f_c w_c . h + b_c``, as the paper writes it.

    Attributes:
        scales: ``(C,)`` parameter ``f``.

    Shapes:
        ``(B, D)`` to ``(B, C)``.

    Reference: Kang et al., ICLR 2020 (learnable weight scaling).
    """

    def __init__(
        self, in_features: int, num_classes: int, *, bias: bool = True, form: str = "logit"
    ) -> None:
        if form not in FORMS:
            raise UnknownNameError("form of scaling", form, FORMS)
        super().__init__(in_features, num_classes, bias=bias)
        self.form = form
        self.scales = nn.Parameter(torch.ones(num_classes))

    def reset_parameters(self) -> None:
        """Weights and bias uniform in ``+-1/sqrt(D)``, scales one."""
        super().reset_parameters()
        if "scales" in self._parameters:  # not yet there when the linear part is made
            nn.init.ones_(self.scales)

    def affine(self) -> tuple[Tensor, Tensor | None]:
        weight = self.scales[:, None] * self.weight
        if self.bias is None or self.form != "logit":
            return weight, self.bias
        return weight, self.scales * self.bias

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        if self.form == "logit":
            return self.scales * super().forward(features)
        z = self.scales * nn.functional.linear(features, self.weight)
        return z if self.bias is None else z + self.bias
