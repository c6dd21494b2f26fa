"""Learning-rate schedules as pure functions of the fraction of a stage that is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real

from longtail.errors import ConfigError

__all__ = ["allocate", "check_switch", "constant", "cosine", "steps"]

Schedule = Callable[[float], float]


def _warm(fraction: float, warmup: float) -> float:
    return min(1.0, (fraction + 1e-9) / warmup) if warmup > 0 else 1.0


def constant(*, warmup: float = 0.0) -> Schedule:
    """The same rate throughout, after a linear warm-up over ``warmup`` of the stage."""
    _check(warmup)
    return lambda f: _warm(f, warmup)


def cosine(*, warmup: float = 0.0, floor: float = 0.0) -> Schedule:
    """``floor + (1 - floor) * (1 + cos(pi f)) / 2`` after a linear warm-up.

    Reference: Loshchilov and Hutter, ICLR 2017.
    """
    _check(warmup)
    if not _finite(floor) or not 0 <= floor <= 1:
        raise ConfigError(f"floor must lie in [0, 1], not {floor}", "it is a share of the rate")

    def rate(fraction: float) -> float:
        if fraction < warmup:
            return max(_warm(fraction, warmup), 1e-3)
        done = (fraction - warmup) / max(1e-9, 1 - warmup)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return rate


def steps(
    *, at: Sequence[float] = (0.8, 0.9), factor: float = 0.01, warmup: float = 0.025
) -> Schedule:
    """Times ``factor`` at each fraction in ``at``, after a linear warm-up (Cao et al., 2019)."""
    _check(warmup)
    listed = isinstance(at, Sequence) and not isinstance(at, str)
    if not listed or not _finite(factor, *at) or factor < 0:
        raise ConfigError(
            f"steps needs fractions of the stage and a factor of 0 or more, not {at} and {factor}",
            "try at=(0.8, 0.9), factor=0.01",
        )

    def rate(fraction: float) -> float:
        drops = sum(fraction >= a for a in at)
        return max(_warm(fraction, warmup), 1e-3) * factor**drops

    return rate


def _finite(*values: object) -> bool:
    return all(isinstance(v, Real) and math.isfinite(v) for v in values)


def _check(warmup: float) -> None:
    if not _finite(warmup) or not 0 <= warmup < 1:
        raise ConfigError(
            f"warmup must lie in [0, 1), not {warmup}", "give a fraction of the stage"
        )


def check_switch(name: str, fraction: float) -> float:
    """A fraction of the stage from which something else holds: in ``[0, 1)``."""
    if not isinstance(fraction, Real) or not 0 <= fraction < 1:
        late = "; at 1 the stage ends before the switch" if fraction == 1 else ""
        raise ConfigError(
            f"{name} must lie in [0, 1), not {fraction}{late}",
            "it is the fraction of the stage before the switch, for example 0.8",
        )
    return fraction


def allocate(total: int, shares: Sequence[float]) -> list[int]:
    """Whole epochs by largest remainder, at least one each, adding up to ``total``.

    When there are fewer epochs than stages every stage gets one.
    """
    if any(s <= 0 for s in shares):
        raise ConfigError(
            f"epoch shares must be positive, got {list(shares)}", "give each stage > 0"
        )
    if total <= len(shares):
        return [1] * len(shares)
    exact = [total * s / sum(shares) for s in shares]
    out = [max(1, math.floor(e)) for e in exact]
    while sum(out) != total:
        up = sum(out) < total
        gaps = [e - o for e, o in zip(exact, out, strict=True)]
        free = [i for i in range(len(out)) if up or out[i] > 1]
        pick = max(free, key=lambda i: gaps[i]) if up else min(free, key=lambda i: gaps[i])
        out[pick] += 1 if up else -1
    return out
