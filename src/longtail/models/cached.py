"""A network that starts from features computed before."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from longtail.models.networks import Network
from longtail.types import Outputs

__all__ = ["FeatureNetwork"]


class FeatureNetwork(nn.Module):
    """The heads of a network, fed with what all before them gave.

    ``FeatureNetwork(network)(network.to_rows(hidden))`` are the outputs of ``network``, with
    ``hidden = network.hidden(network.normalise(x))``.

    Args:
        network: shared, not copied.

    Shapes:
        ``(B, ...)`` hidden rows to the outputs of the network.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, rows: Tensor, *, features_only: bool = False) -> Outputs:
        """Outputs of hidden rows; with ``features_only`` the logits are empty ``(B, 0)``."""
        hidden = self.network.from_rows(rows)
        if features_only:
            features = self.network.mean_features(hidden)
            return Outputs(features.new_empty((len(features), 0)), features)
        return self.network.read_out(hidden)

    @property
    def head(self) -> nn.Module:
        """The classifier of the network."""
        return self.network.head

    @property
    def projector(self) -> nn.Module | None:
        """The projector of the network."""
        return self.network.projector

    @property
    def features(self) -> int:
        """``D``."""
        return self.network.features

    @property
    def scale(self) -> float | None:
        """The scale of a cosine head, or ``None``."""
        return self.network.scale

    @property
    def cuts(self) -> tuple[str, ...]:
        """None: what lies before the heads is not run."""
        return ()

    def classify(self, features: Tensor) -> Tensor:
        """``(B, D)`` features to ``(B, C)`` logits."""
        return self.network.classify(features)

    def head_parameters(self) -> list[Any]:
        """Parameters of all classifiers."""
        return self.network.head_parameters()
