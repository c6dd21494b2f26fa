"""What checks are made of: small inputs, a watch on global randomness, building from a record."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from longtail.registry import Record, instantiate, part

__all__ = [
    "CLASSES",
    "COUNTS",
    "RENAMED",
    "all_gradients",
    "build",
    "close",
    "constructor_values",
    "deterministic",
    "generator",
    "global_state",
    "guarded",
    "labels",
    "logits_and_labels",
    "noise",
    "raises_two_lines",
    "same_state",
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
    case = dict(record.case)
    parameters = inspect.signature(record.load()).parameters.values()
    many = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL and p.name in case]
    inner = [v for name in many for v in case.pop(name)]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return instantiate(record.kind, part(record.name, *inner, **case), **extra)


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


def raises_two_lines(kind: type[Exception] | tuple[type[Exception], ...], call: Any) -> None:
    """The call raises an error of that kind, which says what was wrong and what to do."""
    try:
        call()
    except kind as error:
        text = str(error)
    else:
        raise AssertionError(f"no {kind} was raised")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 2, f"not two lines: {text}"


def noise(*shape: int, seed: int = 2) -> Tensor:
    """Standard normal numbers of one's own generator."""
    return torch.randn(*shape, generator=generator(seed))


def all_gradients(module: nn.Module, total: Tensor) -> None:
    """Every trainable parameter gets a finite gradient."""
    module.zero_grad(set_to_none=True)
    total.backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"no gradient reaches {name}"
            assert torch.isfinite(parameter.grad).all(), name
    module.zero_grad(set_to_none=True)


def deterministic(module: nn.Module, call: Any) -> None:
    """In eval mode a call gives the same twice, and changes nothing in the module."""
    module.eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with torch.no_grad():
        close(call(), call(), tol=0)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def same_state(module: nn.Module, other: nn.Module, call: Any) -> None:
    """A state dict makes another module give the same output; ``call`` takes the module."""
    other.load_state_dict(module.state_dict())
    module.eval(), other.eval()
    with torch.no_grad():
        close(call(other), call(module), tol=0)
