"""What checks are made of: small inputs, a watch on global randomness, building from a record."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.registry import Record, instantiate, part

__all__ = [
    "CLASSES",
    "COUNTS",
    "RENAMED",
    "build",
    "close",
    "constructor_values",
    "generator",
    "global_state",
    "guarded",
    "labels",
    "logits_and_labels",
    "raises_two_lines",
]

#: training counts of most checks: neither sorted nor free of ties of rank and id, one class of one
COUNTS = (300, 4, 57, 19, 1)
CLASSES = len(COUNTS)
#: class ``RENAMED[i]`` is called ``i`` after the renaming
RENAMED = torch.tensor([3, 0, 4, 1, 2])


def global_state() -> tuple[Any, ...]:
    """Fingerprints of the global generators of torch, NumPy and Python."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    seen = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), kind, np.asarray(keys).tobytes(), tuple(rest), seen


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Raise ``AssertionError`` when a global random generator was moved inside."""
    before = global_state()
    yield
    assert global_state() == before, "a global random generator was moved"


def generator(seed: int = 0) -> torch.Generator:
    """A generator of one's own."""
    return torch.Generator().manual_seed(seed)


def logits_and_labels(
    rows: int = 12, classes: int = CLASSES, *, seed: int = 0, scale: float = 3.0
) -> tuple[Tensor, Tensor]:
    """``(B, C)`` float64 logits and ``(B,)`` labels in which every class occurs."""
    g = generator(seed)
    z = scale * torch.randn(rows, classes, generator=g, dtype=torch.float64)
    y = torch.randint(0, classes, (rows,), generator=g)
    y[: min(rows, classes)] = torch.arange(min(rows, classes))
    return z, y


def labels(counts: Sequence[int] = COUNTS, *, seed: int = 0) -> Tensor:
    """``(N,)`` labels with these counts, in random order."""
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return y[torch.randperm(len(y), generator=generator(seed))]


def build(record: Record, **extra: Any) -> Any:
    """The object that a record's case describes; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return instantiate(record.kind, part(record.name, **dict(record.case)), **extra)


def close(actual: Any, expected: Any, *, tol: float = 1e-9, what: str = "") -> None:
    """Equal up to ``tol``, absolutely and relatively."""
    a, b = torch.as_tensor(actual), torch.as_tensor(expected)
    torch.testing.assert_close(
        a.double(), b.double(), rtol=tol, atol=tol, equal_nan=False, msg=lambda m: f"{what}: {m}"
    )


def constructor_values(record: Record) -> dict[str, Any]:
    """Each hyper-parameter of a record's class with the value its case gives it."""
    parameters = inspect.signature(record.load()).parameters.values()
    skipped = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    case = dict(record.case)
    return {
        p.name: case.get(p.name, p.default)
        for p in parameters
        if p.kind not in skipped and (p.name in case or p.default is not inspect.Parameter.empty)
    }


def raises_two_lines(kind: type[Exception], call: Any) -> None:
    """The call raises an error of that kind, which says what was wrong and what to do."""
    try:
        call()
    except kind as error:
        text = str(error)
    else:
        raise AssertionError(f"no {kind.__name__} was raised")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 2, f"not two lines: {text}"
