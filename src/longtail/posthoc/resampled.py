"""Resamples of an estimated class mix: many at a time, by matrix products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from longtail.posthoc.bbse import bbse
from longtail.posthoc.temperature import temperature_error, temperature_losses

__all__ = ["Resampled", "information_error"]

_BLOCK = 25  #: resamples that share a temperature
_CELLS = 1 << 22


@dataclass
class Resampled:
    """What an estimate is made from, and the same estimate on resamples of it.

    Attributes:
        new: ``(U, C)`` scores of unlabelled rows in the uniform frame.
        old: ``(M, C)`` of labelled rows, ``target`` their labels.
        heat: temperature.
        live: ``(C,)`` classes that are not masked.
        known: the temperature comes from the labelled rows; else it is kept in resamples.
        left_out: labelled rows of masked classes, which ``old`` does not hold.
    """

    new: Tensor
    old: Tensor
    target: Tensor
    heat: float
    live: Tensor
    known: bool = True
    left_out: int = 0

    @property
    def classes(self) -> int:
        """``C``."""
        return self.new.shape[1]

    def probabilities(self, heat: float | None = None) -> tuple[Tensor, Tensor]:
        """``softmax(u / T)`` of unlabelled and of labelled rows."""
        t = self.heat if heat is None else heat
        return (self.new / t).softmax(1), (self.old / t).softmax(1)

    def em(self, start: Tensor, alpha: Tensor, resamples: int, seed: int) -> Tensor:
        """``(R, C)`` estimates by expectation maximisation, all of a block at once."""
        rng = _generator(seed, 1)
        heats, _ = self._heats(resamples, rng)
        out = []
        u = len(self.new)
        block = max(1, min(_BLOCK, _CELLS // u))
        for first in range(0, resamples, block):
            here = heats[first : first + block]
            p = (self.new / float(np.exp(np.log(here).mean()))).softmax(1)
            weight = torch.from_numpy(rng.multinomial(u, np.full(u, 1 / u), len(here)).T).double()
            out.append(_em(p, weight, start, alpha).T)
        return torch.cat(out)

    def bbse(self, resamples: int, seed: int, *, hard: bool) -> Tensor:
        """``(R, C)`` estimates from resampled confusions and mean predictions."""
        rng = _generator(seed, 2)
        heats, copies = self._heats(resamples, rng)
        u, counts = len(self.new), torch.bincount(self.target, minlength=self.classes)
        out = []
        for first in range(0, resamples, _BLOCK):
            here = heats[first : first + _BLOCK]
            p, known = self.probabilities(float(np.exp(np.log(here).mean())))
            if hard:
                p, known = (torch.zeros_like(v).scatter_(1, v.argmax(1, keepdim=True), 1.0)
                            for v in (p, known))  # fmt: skip
            for k in range(len(here)):
                weight = rng.multinomial(u, np.full(u, 1 / u)) / u
                mean = torch.from_numpy(weight) @ p
                rows = torch.from_numpy(copies[first + k]).double()[:, None] * known
                sums = torch.zeros(self.classes, self.classes, dtype=torch.float64)
                sums.index_add_(0, self.target, rows)
                columns = sums / counts.clamp_min(1)[:, None]
                eye = torch.eye(self.classes, dtype=torch.float64)
                confusion = torch.where(counts[:, None] > 0, columns, eye).T
                out.append(bbse(confusion, mean, rows=u))
        return torch.stack(out)

    def by_information(
        self, found: Tensor, alpha: Tensor, fit: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """``(C,)`` standard errors without resamples: those of the rows, and of the temperature.

        Args:
            found: ``(C,)`` the estimate by expectation maximisation.
            alpha: ``(C,)`` its pseudo-counts.
            fit: the estimate from other probabilities ``(U, C)``.
        """
        rows = information_error(self.probabilities()[0], found, alpha)
        step = temperature_error(self.old, self.target, self.heat) if self.known else 0.0
        ends = [fit(self.probabilities(self.heat * float(np.exp(k * step)))[0]) for k in (-1, 1)]
        return (rows**2 + ((ends[1] - ends[0]) / 2) ** 2).sqrt()

    def _heats(self, resamples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """``(R,)`` temperatures of resampled labelled rows, ascending, and ``(R, M)`` copies."""
        copies = np.zeros((resamples, len(self.target)), dtype=np.int64)
        balanced = np.zeros(len(self.target))
        target = self.target.numpy()
        for label in np.unique(target):
            rows = np.flatnonzero(target == label)
            copies[:, rows] = rng.multinomial(
                len(rows), np.full(len(rows), 1 / len(rows)), resamples
            )
            balanced[rows] = 1 / len(rows)
        if not self.known:
            return np.full(resamples, self.heat), copies
        grid = np.log(self.heat) + np.linspace(-1, 1, 41)
        losses = temperature_losses(self.old, self.target, torch.from_numpy(np.exp(grid))).numpy()
        found = _lowest(grid, (copies * balanced) @ losses)
        order = np.argsort(found, kind="stable")
        return np.exp(found[order]), copies[order]


def _em(p: Tensor, weight: Tensor, start: Tensor, alpha: Tensor) -> Tensor:
    """``(C, R)`` estimates from rows ``(U, C)`` that count ``weight (U, R)`` times."""
    q = start.clamp_min(1e-12)[:, None].expand(-1, weight.shape[1])
    total = weight.sum(0) + alpha.sum()
    for _ in range(500):
        mixed = (p @ q).clamp_min_(1e-300)
        new = (q * (p.T @ (weight / mixed)) + alpha[:, None]) / total
        moved = float((new - q).abs().max())
        q = new
        if moved < 1e-5:
            break
    return q / q.sum(0)


def _lowest(grid: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Lowest point of the parabola through the lowest entry of each row and its neighbours."""
    at = losses.argmin(1).clip(1, len(grid) - 2)
    rows = np.arange(len(losses))
    left, mid, right = (losses[rows, at + k] for k in (-1, 0, 1))
    bend = np.maximum(left - 2 * mid + right, 1e-300)
    step = grid[1] - grid[0]
    shift: np.ndarray = grid[at] + step * ((left - right) / (2 * bend)).clip(-1, 1)
    return shift


def information_error(p: Tensor, q: Tensor, alpha: Tensor) -> Tensor:
    """``(C,)`` standard errors of expectation maximisation from the observed information.

    ``H = sum_i v_i v_i' + diag(alpha / q^2)`` with ``v_ic = p_ic / sum_k q_k p_ik``, inverted within
    the plane of shares that sum to one.

    Args:
        p: ``(U, C)`` probabilities that answer to the uniform prior.
        q: ``(C,)`` the estimate.
        alpha: ``(C,)`` pseudo-counts.
    """
    live = q > 0
    out = torch.zeros_like(q)
    v = p[:, live] / (p @ q).clamp_min(1e-300)[:, None]
    share = q[live]
    information = v.T @ v + torch.diag(alpha[live].clamp_min(1e-6) / share**2)
    inverse = torch.linalg.inv(information)
    ones = inverse.sum(1)
    out[live] = (inverse.diagonal() - ones**2 / ones.sum()).clamp_min(0).sqrt()
    return out


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([0xB1A5, *key])))
