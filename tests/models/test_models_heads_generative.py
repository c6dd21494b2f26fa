"""Simplex, Gaussian and von Mises-Fisher classifiers, and the neck before them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import multivariate_normal, vonmises_fisher

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.models import (
    EtfHead,
    GaussianHead,
    InputSpec,
    LdaHead,
    Neck,
    VmfHead,
    build_network,
    seeded,
)
from longtail.registry import part
from longtail.types import ClassStats


def array(x: torch.Tensor) -> Any:
    return x.detach().numpy()


def clouds(seed: int = 0) -> tuple[Any, Any, Any]:
    """Training rows of three classes (30, 9, 1), their labels, and new rows."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], [30, 9, 1])
    mix = rng.normal(size=(4, 4))
    x = rng.normal(size=(len(y), 4)) @ mix + 3 * rng.normal(size=(3, 4))[y]
    return x, y, rng.normal(size=(6, 4)) @ mix


@pytest.mark.parametrize(("d", "c"), [(5, 6), (8, 6), (128, 100)])
def test_etf_is_a_simplex(d: int, c: int) -> None:
    head = EtfHead(d, c, scale=8.0)
    w = array(head.weight.double())
    np.testing.assert_allclose(w @ w.T, np.eye(c) * c / (c - 1) - 1 / (c - 1), atol=1e-6)
    assert list(head.parameters()) == []
    assert "weight" in head.state_dict()
    h = torch.randn(3, d)
    np.testing.assert_allclose(array(head(h)), 8 * array(h) @ w.T, rtol=1e-4, atol=1e-4)


def test_etf_needs_room() -> None:
    with pytest.raises(ConfigError, match="need 5 features"):
        EtfHead(4, 6)
    with pytest.raises(ConfigError, match="positive"):
        EtfHead(8, 6, scale=0.0)


def test_etf_directions_are_the_seeds() -> None:
    drawn = []
    for seed in (1, 1, 2):
        with seeded(seed):
            drawn.append(EtfHead(6, 4).weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2], atol=0.1)


@pytest.mark.parametrize("width", [None, 5])
@pytest.mark.parametrize("normalise", [True, False])
def test_neck_is_its_formula(width: int | None, normalise: bool) -> None:
    neck = Neck(3, width, normalise=normalise).double()
    h = torch.randn(6, 3, dtype=torch.float64)
    x = array(h) if width is None else array(h) @ array(neck.project.weight).T
    for _ in range(50):  # running statistics come to those of the batch
        out = array(neck.train()(h))
    wanted = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    if normalise:
        wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(out, wanted, atol=1e-9)
    running = (x - array(neck.norm.running_mean)) / np.sqrt(array(neck.norm.running_var) + 1e-5)
    if normalise:
        running = running / np.linalg.norm(running, axis=1, keepdims=True)
    np.testing.assert_allclose(array(neck.eval()(h)), running, atol=1e-9)
    before = neck.norm.running_mean.clone()
    np.testing.assert_allclose(array(neck.train()(h[:1])), running[:1], atol=1e-9)
    assert torch.equal(neck.norm.running_mean, before), "one row has no statistics"
    with pytest.raises(ConfigError, match="width"):
        Neck(3, 0)


def test_neck_widens_what_is_too_narrow() -> None:
    spec = InputSpec("table", (5,), mean=(0.0,) * 5, std=(1.0,) * 5)
    shapes = {}
    for classes in (4, 200):
        net = build_network(
            part("neck"), input_spec=spec, backbone="mlp", num_classes=classes, head=part("etf")
        )
        out = net.eval()(torch.randn(3, 5))
        shapes[classes] = tuple(out.features.shape)
        assert out.logits.shape == (3, classes)
        np.testing.assert_allclose(array(out.features.norm(dim=1)), 1, rtol=1e-5)
        assert (net.neck.project is None) == (classes == 4)
    assert shapes == {4: (3, 128), 200: (3, 199)}
    with pytest.raises(ConfigError, match="network=neck"):
        build_network(
            part("single"), input_spec=spec, backbone="mlp", num_classes=200, head=part("etf")
        )


def lda(x: Any, y: Any, **options: Any) -> LdaHead:
    head = LdaHead(x.shape[1], 3, **options).double()
    counts = np.bincount(y, minlength=3)
    return head.fit(*map(torch.from_numpy, (x, y)), ClassStats(counts, on_empty="ignore")).eval()


@pytest.mark.parametrize("covariance", ["balanced", "pooled"])
@pytest.mark.parametrize("prior", ["uniform", "natural"])
@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_lda_two_independent_forms(covariance: str, prior: str, rho: float) -> None:
    """Once as the planes of the formula, once as Bayes' rule on Gaussian densities."""
    x, y, h = clouds()
    means = np.stack([x[y == c].mean(0) for c in range(3)])
    if covariance == "balanced":
        spread = (np.cov(x[y == 0].T) + np.cov(x[y == 1].T)) / 2  # the third class has one row
    else:
        rest = x - means[y]
        spread = rest.T @ rest / (len(x) - 3)
    s = (1 - rho) * spread + rho * np.trace(spread) / 4 * np.eye(4)
    share = np.bincount(y) / len(y) if prior == "natural" else np.ones(3)
    planes = np.linalg.solve(s, means.T)
    z = h @ planes - 0.5 * np.einsum("cd,dc->c", means, planes) + np.log(share)
    got = array(lda(x, y, covariance=covariance, prior=prior, rho=rho)(torch.from_numpy(h)))
    np.testing.assert_allclose(got - got[:, :1], z - z[:, :1], rtol=1e-8, atol=1e-8)
    density = np.stack([multivariate_normal(m, s).logpdf(h) for m in means], 1) + np.log(share)
    np.testing.assert_allclose(softmax(got, 1), softmax(density, 1), atol=1e-9)


def test_lda_in_single_precision_far_from_the_origin() -> None:
    x, y, h = clouds()
    near = array(lda(x, y)(torch.from_numpy(h)))
    far = lda((x + 500).astype(np.float32), y).float()(torch.from_numpy(h + 500).float())
    np.testing.assert_allclose(array(far), near, rtol=2e-2, atol=2e-2)


def test_lda_refuses_a_covariance_without_inverse() -> None:
    x, y, _ = clouds()
    few = np.array([0, 1, 2, 39])
    with pytest.raises(DataError, match=r"rho=0\.1"):
        lda(x[few], y[few], rho=0.0)
    lda(x[few], y[few], rho=0.1)
    twice = np.concatenate([x, x[:, :1]], 1)
    with pytest.raises(DataError, match="larger rho"):
        lda(twice, y, rho=0.0)
    assert torch.isfinite(lda(twice, y, rho=0.1).planes).all()
    with pytest.raises(DataError, match="larger rho"):
        lda(np.ones_like(x), y)
    for wrong in ({"rho": 1.5}, {"rho": -0.1}, {"covariance": "full"}, {"prior": "given"}):
        with pytest.raises((ConfigError, UnknownNameError)):
            LdaHead(4, 3, **wrong)


def test_lda_leaves_an_empty_class_out() -> None:
    x, y, h = clouds()
    keep = y != 1
    got = array(lda(x[keep], y[keep])(torch.from_numpy(h)))
    assert (got.argmax(1) != 1).all()
    s = np.cov(x[y == 0].T)
    s = 0.9 * s + 0.1 * np.trace(s) / 4 * np.eye(4)
    density = [multivariate_normal(x[y == c].mean(0), s).logpdf(h) for c in (0, 2)]
    np.testing.assert_allclose(got[:, 2] - got[:, 0], density[1] - density[0], rtol=1e-8)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_classes_are_named(label: int) -> None:
    x, y, _ = clouds()
    y[0] = label
    with pytest.raises(DataError, match="for a head of 3 classes") as caught:
        LdaHead(4, 3).fit(torch.from_numpy(x), torch.from_numpy(y), ClassStats([30, 9, 1]))
    assert "0 to 2" in caught.value.do


def test_gaussian_widths_tie() -> None:
    head = GaussianHead(3, 4, tie="tail").double()
    with torch.no_grad():
        head.widths.copy_(3**0.5 * torch.tensor([0.1, 0.4, -0.2, 0.8], dtype=torch.float64))
    h = torch.randn(5, 3, dtype=torch.float64)
    squares = ((array(h)[:, None] - array(head.weight)) ** 2).sum(2)

    def wanted(log_sigma: Any) -> Any:
        return -squares / (2 * np.exp(2 * np.array(log_sigma)))

    np.testing.assert_allclose(array(head(h)), wanted([0.1, 0.4, -0.2, 0.8]), rtol=1e-9)
    head.bind(ClassStats([500, 10, 50, 4]))
    assert head.tail.tolist() == [False, True, False, True]
    np.testing.assert_allclose(array(head(h)), wanted([0.1, 0.6, -0.2, 0.6]), rtol=1e-9)
    head(h).sum().backward()
    assert head.widths.grad[1] == head.widths.grad[3] != 0
    for tie, tail in (("all", [True] * 4), ("none", [False] * 4)):
        other = GaussianHead(3, 4, tie=tie)
        other.bind(ClassStats([500, 10, 50, 4]))
        assert other.tail.tolist() == tail


def test_gaussian_means_move() -> None:
    head = GaussianHead(2, 3, means="moving", momentum=0.75).double()
    start = array(head.weight).copy()
    assert [n for n, _ in head.named_parameters()] == ["widths"]
    h = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 5.0]], dtype=torch.float64)
    head.fold(head.watch(h, [(torch.tensor([0, 0, 2]), None)]))
    np.testing.assert_allclose(array(head.weight), [[2, 4], start[1], [5, 5]], rtol=1e-12)
    share = torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)
    pairs = [(torch.tensor([0, 1, 1]), share), (torch.tensor([2, 1, 0]), 1 - share)]
    head.fold(head.watch(h, pairs))
    zero = (0.5 * array(h)[0] + 0.75 * array(h)[2]) / 1.25
    one = (1.0 * array(h)[1] + 0.25 * array(h)[2]) / 1.25
    two = 0.75 * np.array([5, 5]) + 0.25 * array(h)[0]
    wanted = [0.75 * np.array([2, 4]) + 0.25 * zero, one, two]
    np.testing.assert_allclose(array(head.weight), wanted, rtol=1e-12)


def test_gaussian_refuses() -> None:
    for wrong in ({"means": "ema"}, {"tie": "head"}, {"sigma": 0.0}, {"momentum": 1.0}):
        with pytest.raises((ConfigError, UnknownNameError)):
            GaussianHead(3, 4, **wrong)


def test_vmf_is_a_log_density() -> None:
    """Two forms: the formula, and SciPy's density of the distribution."""
    head = VmfHead(5, 3).double()
    with torch.no_grad():
        head.concentration.copy_(torch.tensor([16.0, 4.0, 0.2], dtype=torch.float64))
    h = np.random.default_rng(0).normal(size=(4, 5))
    mu = array(head.weight) / np.linalg.norm(array(head.weight), axis=1, keepdims=True)
    x = h / np.linalg.norm(h, axis=1, keepdims=True)
    kappa = np.array([16.0, 4.0, 1.0])  # never below one
    density = np.stack([vonmises_fisher(m, k).logpdf(x) for m, k in zip(mu, kappa, strict=True)], 1)
    z = array(head(torch.from_numpy(h)))
    np.testing.assert_allclose(z - z[:, :1], density - density[:, :1], atol=1e-6)
    plain = VmfHead(5, 3, normaliser=False).double()
    plain.load_state_dict(head.state_dict())
    np.testing.assert_allclose(array(plain(torch.from_numpy(h))), kappa * (x @ mu.T), rtol=1e-9)


def test_vmf_concentration_can_come_back() -> None:
    head = VmfHead(4, 3)
    with torch.no_grad():
        head.concentration.fill_(0.5)
    head(torch.randn(6, 4))[:, 0].sum().backward()
    assert head.concentration.grad[0] != 0
    assert torch.isfinite(head.concentration.grad).all()
    assert torch.isfinite(VmfHead(2048, 3)(torch.randn(2, 2048))).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(torch.randn(2, 4)).dtype == torch.float32
    for wrong in ({"kappa": 0.5}, {"kappa": float("inf")}):
        with pytest.raises(ConfigError):
            VmfHead(4, 3, **wrong)
    with pytest.raises(ConfigError):
        VmfHead(1, 3)
