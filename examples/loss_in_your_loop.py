"""A loss, a sampler and a metric of longtail in a training loop of your own.

python examples/loss_in_your_loop.py
"""

from __future__ import annotations

import torch
from torch import nn

import longtail
from longtail.data import load
from longtail.metrics import Accumulator


def main() -> float:
    torch.manual_seed(0)
    data = load("digits-lt")
    x, y = data.train.store.fetch(torch.arange(len(data.train.labels))), data.train.labels
    counts = torch.bincount(y, minlength=10)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)

    loss = longtail.create("loss", "balanced_softmax", class_counts=counts)
    order = longtail.create("sampler", "instance", labels=y)
    for epoch in range(10):
        order.set_epoch(epoch)
        for rows in torch.tensor(list(order)).split(16):
            optimizer.zero_grad()
            loss(model(x[rows].float() / 255), y[rows]).backward()
            optimizer.step()

    counter = Accumulator(10)
    test = data.test
    assert test is not None
    with torch.no_grad():
        rows = torch.arange(len(test.labels))
        counter.update(model(test.store.fetch(rows).float() / 255), test.labels)
    score = float(counter.compute(longtail.ClassStats(counts))["balanced_accuracy"])
    print(f"balanced accuracy {100 * score:.1f} %")
    return score


if __name__ == "__main__":
    main()
