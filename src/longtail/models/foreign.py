"""Backbones of the package timm, behind the extra ``timm``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from longtail.errors import ConfigError, MissingExtraError, nearest
from longtail.models.backbones import Backbone

__all__ = ["TimmBackbone", "import_timm"]


def import_timm() -> Any:
    """The package timm, or an error that says how to get it."""
    try:
        import timm
    except Exception as error:  # a torchvision that does not fit its torch raises RuntimeError
        missing = isinstance(error, ImportError)
        raise MissingExtraError(
            f"backbones 'timm:...' need the package timm, which cannot be imported: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            "install it: pip install 'longtail[timm]' -c constraints.txt"
            if missing
            else "install the torchvision that was built for this torch (CPU or CUDA), or leave timm out",
        ) from error
    return timm


class TimmBackbone(Backbone):
    """A model of timm without its classifier; methods that cut a backbone refuse it.

    Args:
        input_shape: ``(c, h, w)``.
        model: timm's name, as in ``timm:resnet18``.
        pretrained: load timm's published weights (timm fetches them).
        options: passed to ``timm.create_model``.

    Shapes:
        ``(B, c, h, w)`` to ``(B, D)``. No cuts.
    """

    rank = 3

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        model: str,
        pretrained: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(input_shape)
        timm = import_timm()
        if not timm.is_model(model):
            raise ConfigError(f"timm has no model {model!r}", nearest(model, timm.list_models()))
        channels, *size = self.input_shape
        extra = dict(options or {})
        try:
            made = timm.create_model(
                model,
                pretrained=pretrained,
                num_classes=0,
                in_chans=channels,
                img_size=size[0],
                **extra,
            )
        except TypeError:  # only some models take an image size
            made = timm.create_model(
                model, pretrained=pretrained, num_classes=0, in_chans=channels, **extra
            )
        self.model: nn.Module = made
        self.features = int(made.num_features)

    def forward(self, x: Tensor) -> Tensor:
        """Features before the classifier."""
        out: Tensor = self.model(x)
        return out
