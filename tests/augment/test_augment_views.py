"""View transforms: pure, row by row, identity at zero strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from longtail import registry
from longtail.augment import Chain, CropFlip, Flip, Identity, Shift, Strong, ViewAugment
from longtail.errors import ConfigError, DataError
from longtail.registry import part

VIEWS: list[ViewAugment] = [
    Identity(),
    Shift(2),
    Flip(),
    CropFlip(),
    CropFlip(flip=False),
    Strong(),
    Strong(flip=True, padding=3),
    Chain(Shift(1), Flip()),
]


def draw(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pure_row_by_row_and_in_range(view: ViewAugment, channels: int) -> None:
    x = draw(6, channels * 48, 1).reshape(6, channels, 8, 6)
    kept, u = x.clone(), draw(6, view.draws)
    state = torch.random.get_rng_state()
    out = view(x, u)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(x, kept)
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(out, view(x, u))
    for i in range(6):  # a slice of the batch gives a slice of the result
        torch.testing.assert_close(view(x[i : i + 1], u[i : i + 1]), out[i : i + 1])


@pytest.mark.parametrize(
    "view", [Identity(), Shift(0), CropFlip(0, False), Strong(0.0), Strong(0.0, padding=2)], ids=str
)
def test_identity_at_zero_strength(view: ViewAugment) -> None:
    x = torch.rand(5, 3, 8, 8)
    assert torch.equal(view(x, draw(5, view.draws)), x)


def test_shift_moves_by_whole_pixels_with_zeros() -> None:
    x = torch.rand(9, 1, 4, 5) + 0.1
    places = [(i / 3 + 0.1, j / 3 + 0.1) for i in range(3) for j in range(3)]
    out = Shift(1)(x, torch.tensor(places)).numpy()
    wanted = np.zeros_like(out)
    for row, (dy, dx) in enumerate((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
        padded = np.pad(x[row, 0].numpy(), 1)
        wanted[row, 0] = padded[1 + dy : 5 + dy, 1 + dx : 6 + dx]
    np.testing.assert_array_equal(out, wanted)
    assert torch.isfinite(Shift(1)(x, torch.ones(9, 2))).all()  # u rounded up to 1


def test_flip_by_the_draw() -> None:
    x = torch.rand(2, 1, 3, 3)
    out = Flip()(x, torch.tensor([[0.49], [0.5]]))
    assert torch.equal(out[0], x[0].flip(2))
    assert torch.equal(out[1], x[1])


def test_all_shifts_are_equally_likely() -> None:
    x = torch.zeros(9000, 1, 3, 3)
    x[:, :, 1, 1] = 1
    mean = Shift(1)(x, draw(9000, 2)).mean(0)[0]
    np.testing.assert_allclose(mean.numpy(), 1 / 9, atol=0.02)


def test_no_python_loop_over_rows() -> None:
    class Count(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.calls += 1
            return func(*args, **(kwargs or {}))

    for view in VIEWS:
        counts = []
        for rows in (2, 200):
            with Count() as count:
                view(torch.rand(rows, 3, 8, 8), draw(rows, view.draws))
            counts.append(count.calls)
        assert counts[0] == counts[1]


def test_erasing_takes_the_asked_share() -> None:
    x = torch.rand(400, 1, 20, 20)
    view = Strong(padding=0, brightness=0, contrast=0, saturation=0, erase=1.0)
    changed = (view(x, draw(400, 11)) != x).float().mean((1, 2, 3))
    assert 0.03 < changed.min() < changed.max() < 0.3
    assert changed.mean().item() == pytest.approx(0.15, abs=0.02)


def test_refusals() -> None:
    with pytest.raises(DataError, match="random numbers"):
        Shift(1)(torch.rand(4, 1, 3, 3), draw(4, 3))
    with pytest.raises(DataError, match="float images"):
        Flip()(torch.zeros(4, 1, 3, 3, dtype=torch.uint8), draw(4, 1))
    with pytest.raises(ConfigError, match="whole number"):
        Shift(0.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="strength"):
        Strong(2.0)
    with pytest.raises(ConfigError, match="view transforms"):
        Chain(torch.nn.ReLU())  # type: ignore[arg-type]


def test_registry_builds_chains() -> None:
    view = registry.instantiate("augments", part("chain", part("shift", pixels=2), part("flip")))
    assert view.draws == 3
    names = {r.name for r in registry.records("augments")}
    assert {"identity", "shift", "flip", "crop_flip", "strong", "chain", "mixup"} <= names
