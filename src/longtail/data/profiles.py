"""Published long-tailed profiles: counts per class, and which samples make them up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longtail.checks import is_finite
from longtail.errors import ConfigError, UnknownNameError

__all__ = ["PROFILES", "profile_counts", "select", "select_prefix"]

PROFILES = ("exponential", "step")


def profile_counts(
    largest: float, num_classes: int, *, imbalance_factor: float, profile: str = "exponential"
) -> NDArray[np.int64]:
    """``(C,)`` training counts, classes in label order.

    ``exponential``: ``n_i = int(n_max * mu ** (i / (C - 1)))``; ``step``: the first half of the
    classes ``int(n_max)``, the second half ``int(n_max * mu)``; ``mu = 1 / IF``.

    Args:
        largest: ``n_max``.
        num_classes: ``C``.
        imbalance_factor: ``IF >= 1``, largest over smallest.
        profile: ``exponential`` or ``step``.

    Raises:
        ConfigError: an imbalance factor under 1, or one that leaves a class empty; a step
            profile of an odd number of classes.

    Reference: Cao et al., NeurIPS 2019; Cui et al., CVPR 2019.
    """
    if not is_finite(imbalance_factor) or imbalance_factor < 1:
        raise ConfigError(
            f"imbalance_factor={imbalance_factor} is not a number of at least 1",
            "give largest over smallest class, for example imbalance_factor=100",
        )
    mu = 1.0 / imbalance_factor
    if profile == "exponential":
        last = max(1, num_classes - 1)
        counts = [int(largest * mu ** (i / last)) for i in range(num_classes)]
    elif profile == "step":
        if num_classes % 2:
            raise ConfigError(
                f"a step profile needs an even number of classes, not {num_classes}",
                "use profile='exponential'",
            )
        half = num_classes // 2
        counts = [int(largest)] * half + [int(largest * mu)] * half
    else:
        raise UnknownNameError("profile", profile, PROFILES)
    if min(counts) < 1:
        raise ConfigError(
            f"imbalance_factor={imbalance_factor:g} leaves {counts.count(0)} classes without a "
            "sample",
            f"with {largest:g} samples in the largest class it can be {largest:g} at most",
        )
    return np.asarray(counts, dtype=np.int64)


def select(
    labels: NDArray[np.int64], counts: NDArray[np.int64], *, seed: int = 0
) -> NDArray[np.int64]:
    """Positions of the published choice, class by class, in shuffled order within a class.

    For class 0, 1, ... in turn its positions (ascending) are shuffled in place by one legacy
    NumPy stream, and the first ``n_i`` are kept; the global stream is not touched.

    Args:
        labels: ``(N,)`` class ids of the full training set.
        counts: ``(C,)`` how many to keep.
        seed: of the stream; 0 in the published sets.

    Reference: Cao et al., NeurIPS 2019 (``imbalance_cifar.py``).
    """
    stream = np.random.RandomState(seed)
    chosen = []
    for c, wanted in enumerate(counts.tolist()):
        positions = np.flatnonzero(labels == c)
        _enough(c, wanted, len(positions))
        stream.shuffle(positions)
        chosen.append(positions[:wanted])
    return np.concatenate(chosen)


def select_prefix(
    labels: NDArray[np.int64], counts: NDArray[np.int64], *, offset: int = 0
) -> NDArray[np.int64]:
    """Positions ``offset .. offset + n_i`` of each class in stored order, class by class."""
    chosen = []
    for c, wanted in enumerate(counts.tolist()):
        positions = np.flatnonzero(labels == c)[offset:]
        _enough(c, wanted, len(positions))
        chosen.append(positions[:wanted])
    return np.concatenate(chosen)


def _enough(c: int, wanted: int, have: int) -> None:
    if have < wanted:
        raise ConfigError(
            f"class {c} has {have} samples here and the profile asks for {wanted}",
            "choose a larger imbalance_factor, or put the original files beside these",
        )
