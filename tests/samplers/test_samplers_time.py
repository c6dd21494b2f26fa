"""Samplers that move over the stage: ramps, clocks, and the epoch they end with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.samplers import ClassBalanced, Deferred, Progressive

pytestmark = pytest.mark.usefixtures("untouched_randomness")

N = [100, 10, 1]
Y = torch.repeat_interleave(torch.arange(3), torch.tensor(N))


def test_worked_progressive():
    sampler = Progressive(labels=Y, reach=False, epochs=90)
    for epoch, expected in (
        (0, (0.900901, 0.090090, 0.009009)),
        (45, (0.617117, 0.211712, 0.171171)),
        (89, (0.339640, 0.330631, 0.329730)),
    ):
        got = sampler.class_marginal(sampler.at(epoch))
        np.testing.assert_allclose(got, expected, atol=1e-6)
    last = Progressive(labels=Y, epochs=90)
    assert (last.at(0), last.at(89)) == (0.0, 1.0)
    up = Progressive(1, labels=Y)
    assert [round(up.share(f), 6) for f in (0, 1 / 6, 0.5, 5 / 6, 1)] == [0, 0.5, 0.5, 0.5, 1]
    wave = Progressive(2, labels=Y)
    assert [round(wave.share(f), 6) for f in (0, 0.3, 0.4, 0.6, 0.7)] == [0, 0.9, 0.8, 0.2, 0.1]


@pytest.mark.parametrize("cycle", [0, 1, 2])
@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 9, 10, 11, 90, 100, 200])
def test_progressive_ramps_reach_both_ends(cycle, epochs):
    """As published: ``linspace(0, 1, T // 3)`` three times, the middle one turned for cycle 2."""
    sampler = Progressive(cycle, labels=Y, epochs=epochs)
    got = [sampler.share(sampler.at(e)) for e in range(epochs)]
    ramp = np.linspace(0, 1, epochs // 3) if epochs >= 6 else np.ones(epochs // 3)
    middle = ramp[::-1] if cycle == 2 else ramp
    expected = np.concatenate([ramp, middle, ramp, np.ones(epochs % 3)])
    if cycle == 0:
        expected = np.linspace(0, 1, epochs) if epochs > 1 else np.ones(1)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    paper = Progressive(cycle, labels=Y, epochs=epochs, reach=False)
    steps = np.arange(epochs) * (3 if cycle else 1) % epochs / epochs
    middle = (np.arange(epochs) * 3 // epochs == 1) & (cycle == 2)
    got = [paper.share(paper.at(e)) for e in range(epochs)]
    np.testing.assert_allclose(got, np.where(middle, 1 - steps, steps), atol=1e-12)


@pytest.mark.parametrize("inner", [Progressive(reach=False), Progressive(1), Progressive(2)])
@pytest.mark.parametrize("epochs", [1, 2, 5, 9])
def test_deferred_draws_what_it_promises(inner, epochs):
    """The sampler that takes over keeps its own clock, in its draws and in what is said of them."""
    sampler = Deferred(inner, after=0.0, labels=Y, epochs=epochs)
    for e in range(epochs):
        said = sampler.class_marginal(sampler.at(e))
        np.testing.assert_allclose(said, inner.marginal(inner.at(e)))
        assert torch.equal(sampler.draw(e), inner.draw(e))
    np.testing.assert_allclose(sampler.final_marginal(), inner.marginal(inner.at(epochs - 1)))


def test_the_last_epoch_as_it_is_drawn():
    """Without ``reach`` the stage ends short of balance."""
    sampler = Progressive(labels=Y, reach=False, epochs=4)
    expected = 0.25 * np.array(N) / 111 + 0.75 / 3
    np.testing.assert_allclose(sampler.final_marginal(), expected)
    np.testing.assert_allclose(ClassBalanced(labels=Y).final_marginal(), np.full(3, 1 / 3))
