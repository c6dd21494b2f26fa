"""The gradient that teaches Meta-Weight-Net, against differentiating the step: ``python benchmarks/speed_meta.py``.

ResNet-32 at 32 x 32, 128 rows and 128 meta rows, float32. Both give the gradient of the meta loss
after one virtual step for the weight of each row; the first is the library's.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from longtail.engine.stage import make_recipe
from longtail.registry import get
from longtail.testing.toy import first_batch, toy_stage
from timing import ratios, save

ROWS = 128


class Bench:
    """One stage of the recipe with images of real size in its batch."""

    def __init__(self) -> None:
        self.built = toy_stage(make_recipe(get("recipes", "meta_weight_net")), backbone="resnet32")
        self.ctx, self.net = self.built.ctx, self.built.objective
        self.ctx.model.to(memory_format=torch.channels_last)  # as the engine has it
        small = first_batch(self.built)
        g = torch.Generator().manual_seed(0)

        def images() -> Tensor:
            x = torch.rand(ROWS, 1, 32, 32, generator=g)
            return x.contiguous(memory_format=torch.channels_last)

        y = torch.arange(ROWS) % 4
        self.meta = small.extra["meta"].with_(views=(images(),), target=y)
        self.batch = small.with_(views=(images(),), target=y)
        self.inner: list[nn.Parameter] = list(self.net.parameters())

    def plain(self) -> None:
        """A step of cross-entropy without the optimiser."""
        loss = F.cross_entropy(self.ctx.model(self.batch.views[0]).logits, self.batch.target)
        torch.autograd.grad(loss, list(self.ctx.model.parameters()))

    def ours(self) -> tuple[Tensor, ...]:
        """By one pass of forward differentiation."""
        taught = self.net._taught(self.ctx, self.batch, self.meta)
        return torch.autograd.grad(taught, self.inner)

    def through(self) -> tuple[Tensor, ...]:
        """By differentiating the step."""
        model = self.ctx.model
        params: dict[str, Any] = dict(model.named_parameters())
        buffers = {k: b.clone() for k, b in model.named_buffers()}

        def losses(rows: Any, changed: dict[str, Tensor]) -> Tensor:
            z = functional_call(model, {**params, **changed, **buffers}, (rows.views[0],)).logits
            return F.cross_entropy(z, rows.target, reduction="none")

        before = losses(self.batch, {})
        weights = self.net.weigh(before.detach()[:, None])[:, 0]
        grads = torch.autograd.grad(
            (weights * before).mean(), list(params.values()), create_graph=True
        )
        lr = self.ctx.optimizers["model"].param_groups[0]["lr"]
        ahead = {k: p - lr * g for (k, p), g in zip(params.items(), grads, strict=True)}
        return torch.autograd.grad(losses(self.meta, ahead).mean(), self.inner)


def main() -> None:
    """Check that both agree, time them and keep the ratios."""
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ask.add_argument("--rounds", type=int, default=3)
    rounds = ask.parse_args().rounds
    bench = Bench()
    for a, b in zip(bench.ours(), bench.through(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))
    found = ratios(
        {"plain": bench.plain, "ours": bench.ours, "step": bench.through}, "plain", rounds=rounds
    )
    what = f"ResNet-32, {ROWS} rows"
    rows = [
        {"what": f"{name}, {what}", "against": "a step of cross-entropy", **found[key], "goal": ""}
        for key, name in (
            ("ours", "meta gradient"),
            ("step", "meta gradient by differentiating the step"),
        )
    ]
    for row in rows:
        print(f"{row['what']:70s} {row['ratio']:.2f}")
    save("meta", rows, f"python benchmarks/speed_meta.py --rounds {rounds}")


if __name__ == "__main__":
    main()
