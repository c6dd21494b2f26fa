"""Scaled and nearest-mean classifiers against worked, recorded and independent numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from longtail.errors import DataError, UnknownNameError
from longtail.models import NearestMeanHead, ScaledHead
from longtail.types import ClassStats

W = torch.tensor([[3.0, 4.0], [1, 0], [0, 0.5]], dtype=torch.float64)
H = torch.tensor([[1.0, 2.0]], dtype=torch.float64)


def array(x: torch.Tensor) -> Any:
    return x.detach().numpy()


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def scaled(weight: Any, bias: Any, scales: Any, form: str = "logit") -> ScaledHead:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    head = ScaledHead(weight.shape[1], len(weight), form=form).double()
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(tensor(bias))
        head.scales.copy_(tensor(scales))
    return head


@pytest.mark.parametrize(
    ("form", "wanted"), [("logit", (11.1, 0.8, 1.35)), ("weight", (11 + 0.1, 0.8, 1.5 - 0.1))]
)
def test_scaled_worked_numbers(form: str, wanted: Any) -> None:
    """The paper scales the weights (11, .8, 1.5), to which the bias is then added unscaled."""
    head = scaled(W, (0.1, 0.0, -0.1), (1, 0.8, 1.5), form)
    np.testing.assert_allclose(array(head(H))[0], wanted, atol=1e-9)
    weight, bias = head.affine()
    np.testing.assert_allclose((H @ weight.T + bias).detach().numpy()[0], wanted, atol=1e-9)


def test_scaled_recorded_numbers(golden: Callable[[str], Any]) -> None:
    for case in golden("lws"):
        given = case["inputs"]
        head = scaled(given["weight"], given["bias"], given["scale"])
        out = head(tensor(given["features"])).detach()
        np.testing.assert_allclose(out.numpy(), case["outputs"]["logits"], rtol=1e-6, atol=1e-8)


def test_scales_are_parameters_of_their_own() -> None:
    head = ScaledHead(4, 3)
    assert dict(head.named_parameters())["scales"].tolist() == [1, 1, 1]
    h = torch.randn(5, 4, dtype=torch.float32)
    head(h)[:, 1].sum().backward()
    raw = (h @ head.weight.T + head.bias).sum(0).detach()
    np.testing.assert_allclose(head.scales.grad.numpy(), [0, float(raw[1]), 0], rtol=1e-5)
    with torch.no_grad():
        head.scales.fill_(3.0)
    head.reset_parameters()
    assert head.scales.tolist() == [1, 1, 1]
    with pytest.raises(UnknownNameError, match="form of scaling"):
        ScaledHead(4, 3, form="logits")


def by_hand(h: Any, x: Any, y: Any, form: str) -> Any:
    """Distances to means, one row at a time."""

    def move(rows: Any) -> Any:
        rows = rows - x.mean(0) if form == "cl2n" else rows
        return rows if form == "none" else rows / np.linalg.norm(rows, axis=1, keepdims=True)

    means = [move(x)[y == c].mean(0) for c in range(y.max() + 1)]
    return np.array([[-((row - m) ** 2).sum() for m in means] for row in move(h)])


def fitted(x: Any, y: Any, **options: Any) -> NearestMeanHead:
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    counts = torch.bincount(y)
    head = NearestMeanHead(x.shape[1], len(counts), **options).to(x.dtype)
    return head.fit(x, y, ClassStats(counts)).eval()


@pytest.mark.parametrize("form", ["none", "l2", "cl2n"])
@pytest.mark.parametrize("every", [False, True])
def test_nearest_mean_is_its_formula(form: str, every: bool) -> None:
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(20, 5)) + 3, rng.normal(size=(6, 5)) + 3
    y = np.repeat([0, 1, 2], [12, 7, 1])
    head = fitted(x, y, normalise=None if every else form)
    assert head.means.shape == (3 if every else 1, 3, 5)
    if every:
        assert head.choice() == "cl2n"
        head.use(form)
    np.testing.assert_allclose(array(head(torch.from_numpy(h))), by_hand(h, x, y, form), rtol=1e-9)


def test_nearest_mean_worked_numbers() -> None:
    x = tensor([[0, 0], [0, 0], [1, 1], [2, 3]])
    head = fitted(x, [0, 0, 1, 2], normalise="none")
    np.testing.assert_allclose(array(head(H))[0], [-5, -1, -2], atol=1e-9)


def test_nearest_mean_recorded_numbers(golden: Callable[[str], Any]) -> None:
    forms = {"un": "none", "l2n": "l2", "cl2n": "cl2n"}
    for case in golden("ncm"):
        given, wanted, how = case["inputs"], case["outputs"], case["params"]
        distance = {"l2": "l2", "cos": "dot"}[how["dist_type"]]
        head = fitted(
            tensor(given["train_features"]),
            given["train_labels"],
            normalise=forms[how["feat_type"]],
            distance=distance,
        )
        np.testing.assert_allclose(head.means[0].numpy(), wanted["centroids"], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(head.centre.numpy(), wanted["feat_mean"], rtol=1e-6, atol=1e-8)
        out = array(head(tensor(given["features"])))
        np.testing.assert_allclose(out, wanted["logits"], rtol=1e-6, atol=1e-8)


def test_nearest_mean_keeps_its_digits_far_from_the_origin() -> None:
    """|h|^2 - 2 h m + |m|^2 in float32 would lose every digit of these distances."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 4)) + 3000
    y = np.arange(30) % 3
    head = fitted(x.astype(np.float32), y, normalise="none")
    out = array(head(torch.from_numpy(x.astype(np.float32))))
    np.testing.assert_allclose(out, by_hand(x, x, y, "none"), rtol=2e-2, atol=2e-2)
    assert np.abs(out).max() < 100


def test_nearest_mean_refuses_and_masks() -> None:
    x, y = torch.randn(6, 3), torch.tensor([0, 0, 0, 2, 2, 2])
    names = ("oak", "elm", "yew")
    head = NearestMeanHead(3, 3)
    with pytest.raises(DataError, match="elm"):
        head.fit(x, y, ClassStats([3, 1, 3], names))
    assert not head.fitted
    head.fit(x, y, ClassStats([3, 0, 3], names, on_empty="ignore")).eval()
    assert set(head(torch.randn(50, 3)).argmax(1).tolist()) <= {0, 2}
    for wrong in ({"normalise": "l3"}, {"distance": "cos"}):
        with pytest.raises(UnknownNameError):
            NearestMeanHead(3, 3, **wrong)
    with pytest.raises(UnknownNameError, match="fitted normalisation"):
        head.use("l2")
