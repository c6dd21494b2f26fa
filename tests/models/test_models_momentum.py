"""Slow copies and queues."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from longtail.errors import ConfigError
from longtail.models import Queue, Twin


def test_twin_follows_in_place_and_gives_no_gradient() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    twin = Twin(net)
    x = torch.randn(8, 2)
    assert not twin(x).requires_grad
    places = [p.data_ptr() for p in twin.parameters()]
    start = net[0].weight.detach().clone()
    with torch.no_grad():
        net[0].weight.add_(1)
        net[1].running_mean.fill_(5)
    twin.update(net, 0.9)
    torch.testing.assert_close(twin.module[0].weight, start + 0.1)
    twin.update(net, torch.tensor(0.5))
    torch.testing.assert_close(twin.module[0].weight, start + 0.55)
    assert (twin.module[1].running_mean == 5).all()
    assert places == [p.data_ptr() for p in twin.parameters()]
    assert not any(p.requires_grad for p in twin.parameters())
    with pytest.raises(ConfigError, match="momentum"):
        twin.update(net, 1.5)


def test_queue_wraps_around_and_keeps_labels_beside_keys() -> None:
    queue = Queue(5, 2)
    assert not queue.filled.any()
    seen: list[int] = []
    for start, count in ((0, 3), (3, 4), (7, 1), (8, 12), (20, 5)):
        labels = torch.arange(start, start + count)
        queue.push(labels[:, None].float().expand(-1, 2), labels)
        seen += labels.tolist()
        kept = queue.labels[queue.filled]
        assert sorted(kept.tolist()) == seen[-5:]
        assert torch.equal(queue.keys[queue.filled][:, 0], kept.float())
        assert int(queue.pointer) == len(seen) % 5
    assert queue.labels[(int(queue.pointer) - 1) % 5] == seen[-1]
    copy = Queue(5, 2)
    copy.load_state_dict(queue.state_dict())
    assert torch.equal(copy.labels, queue.labels)
    with pytest.raises(ConfigError, match="do not fit"):
        queue.push(torch.zeros(2, 3), torch.zeros(2))
