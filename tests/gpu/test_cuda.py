"""What only a GPU shows; skipped without one (the group ``gpu`` of the tests)."""

from __future__ import annotations

import pytest
import torch

from longtail.engine.runner import RunConfig, fit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("recipe", ["ce", "balanced_softmax", "crt", "sade", "paco", "mixup"])
@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
def test_trains_on_cuda(recipe: str, precision: str) -> None:
    run = fit(
        RunConfig("digits-lt", recipe, epochs=4, device="cuda", precision=precision, progress=False)
    )
    assert run.metrics["device"].startswith("cuda")
    assert run.metrics["test"]["balanced_accuracy"] > 0.2


def test_sees_the_same_samples_as_the_cpu() -> None:
    first = fit(RunConfig("digits-lt", "ce", epochs=1, device="cuda", progress=False))
    second = fit(RunConfig("digits-lt", "ce", epochs=1, device="cpu", progress=False))
    x = torch.randint(0, 255, (8, 1, 8, 8), dtype=torch.uint8)
    assert torch.allclose(first.predict_logits(x), second.predict_logits(x), atol=0.05)
