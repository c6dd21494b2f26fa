"""Effective priors, shifts, target priors and their refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError
from longtail.posthoc import (
    FitData,
    PriorShift,
    effective_prior,
    estimate_prior,
    read_target_prior,
    shift,
)
from longtail.types import ClassStats, Outputs

N = np.array([100.0, 10.0, 1.0])
PI = torch.tensor(N / N.sum())
EVEN = torch.full((3,), 1 / 3, dtype=torch.float64)
ROOT = torch.tensor(np.sqrt(N) / np.sqrt(N).sum())
REVERSED = torch.tensor((1 / N) / (1 / N).sum())
NATURAL, SQRT = (0.900901, 0.090090, 0.009009), (0.706101, 0.223289, 0.070610)
UNIFORM, FLIPPED = (1 / 3, 1 / 3, 1 / 3), (0.009009, 0.090090, 0.900901)
Z = torch.tensor([2.0, 1.0, 0.5])


def _effective_number(beta):
    return torch.tensor((1 - beta) / (1 - beta**N))


@pytest.mark.parametrize(
    ("s", "w", "a", "want"),
    [
        (PI, None, None, NATURAL),
        (EVEN, None, None, UNIFORM),
        (ROOT, None, None, SQRT),
        (PI, 7 / torch.tensor(N), None, UNIFORM),
        (PI, _effective_number(0.99), None, (0.435352, 0.288648, 0.275999)),
        (PI, _effective_number(0.9999), None, (0.334383, 0.332883, 0.332733)),
        (PI, None, PI.log() + 3, UNIFORM),
        (PI, None, 0.5 * PI.log(), SQRT),
        (PI, None, 2 * PI.log(), FLIPPED),
        ((EVEN + REVERSED) / 2, None, None, (0.171171, 0.211712, 0.617117)),
        ((PI + EVEN) / 2, None, None, (0.617117, 0.211712, 0.171171)),
    ],
)
def test_worked_table(s, w, a, want):
    found = effective_prior(s, w, a, natural=PI)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(want, abs=1e-6)
    order = torch.tensor([2, 0, 1])
    renamed = effective_prior(
        s[order], None if w is None else w[order], None if a is None else a[order],
        natural=PI[order],
    )  # fmt: skip
    assert renamed.tolist() == pytest.approx(found[order].tolist())


def test_double_correction_is_refused_unless_named():
    with pytest.raises(ConfigError) as caught:
        effective_prior(EVEN, None, PI.log(), natural=PI)
    first, second = str(caught.value).split("\n")
    assert "the sampler and the loss both correct" in first
    assert "100-fold" in first
    assert "allow_double=true" in second
    kept = effective_prior(EVEN, None, PI.log(), natural=PI, allow_double=True)
    assert kept.tolist() == pytest.approx(FLIPPED, abs=1e-6)
    for s, w, a in ((EVEN, 1 / PI, None), (PI, 1 / PI, PI.log()), (ROOT, None, PI.log())):
        with pytest.raises(ConfigError, match="both correct"):
            effective_prior(s, w, a, natural=PI)
    with pytest.raises(ConfigError, match="the loss and the shift"):
        effective_prior(PI, None, PI.log(), natural=PI, shift=-PI.log())


def test_what_is_not_a_double_correction():
    # the sampled prior handed to the loss, weights that stop at uniform, uniform counts
    both = effective_prior(ROOT, None, ROOT.log(), natural=PI)
    assert both.tolist() == pytest.approx(UNIFORM)
    half = effective_prior(ROOT, 1 / ROOT, None, natural=PI)
    assert half.tolist() == pytest.approx(UNIFORM)
    same = effective_prior(EVEN, 1 / EVEN, EVEN.log(), natural=EVEN)
    assert same.tolist() == pytest.approx(UNIFORM)
    slight = effective_prior(EVEN, PI**-0.05, None, natural=PI)  # spread below a tenth
    assert slight.argmax() == 2


def test_masked_classes_stay_masked():
    pi = torch.tensor([0.9, 0.1, 0.0])
    found = effective_prior(pi, None, pi.log(), natural=pi)  # log 0 = -inf is no bad value there
    assert found.tolist() == pytest.approx([0.5, 0.5, 0.0])
    moved = shift(Z, pi, torch.tensor([0.2, 0.4, 0.4]))
    assert moved[2] == -torch.inf
    assert torch.isfinite(moved[:2]).all()
    target = read_target_prior("uniform", natural=pi, effective=found, names="abc")
    assert target.tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_bad_ingredients():
    with pytest.raises(DataError, match="finite"):
        effective_prior(PI, torch.tensor([1.0, torch.nan, 1.0]), None, natural=PI)
    with pytest.raises(DataError, match="finite"):
        effective_prior(PI, None, torch.tensor([0.0, torch.inf, 0.0]), natural=PI)
    with pytest.raises(DataError, match="3 entries"):
        effective_prior(PI[:2], None, None, natural=PI)


def test_worked_shifts_and_composition():
    target = torch.tensor([0.2, 0.3, 0.5])
    moved = shift(Z, PI, EVEN)
    centred = moved - moved[0] + 2.104360
    assert centred.tolist() == pytest.approx([2.104360, 3.406945, 5.209530], abs=1e-5)
    assert moved.softmax(0).tolist() == pytest.approx([0.037048, 0.136293, 0.826659], abs=1e-6)
    to = shift(Z, PI, target)
    assert to.tolist() == pytest.approx([0.494922, 2.202972, 4.516383], abs=1e-5)
    assert to.softmax(0).tolist() == pytest.approx([0.016051, 0.088573, 0.895375], abs=1e-6)
    twice = shift(shift(Z, PI, EVEN), EVEN, target)
    assert twice.tolist() == pytest.approx(to.tolist(), abs=1e-5)
    assert torch.equal(shift(Z, PI, PI), Z)
    assert torch.equal(shift(Z, PI * 7, PI), Z)
    assert shift(Z.half(), PI, EVEN).dtype == torch.float32
    assert shift(Z, PI, EVEN, strength=0.0).tolist() == Z.tolist()


def test_target_prior_words_and_lists():
    given = {"natural": PI, "effective": ROOT, "names": ("a", "b", "c")}
    assert torch.equal(read_target_prior("as_trained", **given), ROOT / ROOT.sum())
    assert read_target_prior("natural", **given).tolist() == pytest.approx(NATURAL, abs=1e-6)
    assert read_target_prior("uniform", **given).tolist() == pytest.approx(UNIFORM)
    assert read_target_prior([1, 1, 2], **given).tolist() == [0.25, 0.25, 0.5]
    assert read_target_prior({"c": 2, "a": 1, "b": 1}, **given).tolist() == [0.25, 0.25, 0.5]
    with pytest.raises(ConfigError, match="did you mean 'uniform'"):
        read_target_prior("uniforn", **given)
    with pytest.raises(DataError, match="weight 0"):
        read_target_prior([1, 0, 2], **given)
    assert read_target_prior([1, 0, 3], **given, allow_zero=True).tolist() == [0.25, 0, 0.75]
    with pytest.raises(DataError, match="not negative"):
        read_target_prior([1, -1, 2], **given)
    with pytest.raises(DataError, match="3 entries"):
        read_target_prior([1, 2], **given)


def test_shares_that_do_not_sum_to_one_are_refused():
    given = {"natural": PI, "effective": PI, "names": ("a", "b", "c")}
    for bad in ([0.5, 0.3, 0.1], {"a": 0.9, "b": 0.9, "c": 0.9}, [0.5, 1, 1]):
        with pytest.raises(DataError, match=r"target_prior sums to .*, not to 1") as caught:
            read_target_prior(bad, **given)
        assert "counts" in str(caught.value)
    assert read_target_prior([0.5, 0.3, 0.2001], **given).sum() == pytest.approx(1)
    assert read_target_prior([1, 1, 1], **given).tolist() == pytest.approx(UNIFORM)
    assert read_target_prior([0.5, 3, 1.5], **given).tolist() == pytest.approx([0.1, 0.6, 0.3])
    with pytest.raises(ConfigError, match="needs the rows"):
        read_target_prior("estimate", **given)


def test_target_prior_file(tmp_path):
    given = {"natural": PI, "effective": PI, "names": ("cat", "Hund, groß", "bird")}
    file = tmp_path / "mix.csv"
    for text in ('class,weight\nbird,2\n"Hund, groß",1\ncat,1\n', '"Hund, groß",1\ncat,1\nbird,2'):
        file.write_text(text, encoding="utf-8-sig")
        assert read_target_prior(str(file), **given).tolist() == [0.25, 0.25, 0.5]
    file.write_text("cat,1\nbrid,2\n")
    with pytest.raises(DataError, match="does not know: brid") as caught:
        read_target_prior(file, **given)
    assert "nearest: did you mean 'bird'" in str(caught.value)
    for text, what in (("cat,1\nbird,2\n", "leaves out 1"), ("cat,1\ncat,2\n", "twice"),
                       ("cat,many\n", "no class and weight"), ("cat\n", "row 1")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(DataError, match=what):
            read_target_prior(file, **given)


EM_P = torch.tensor(
    [[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.5, 0.3, 0.2], [0.05, 0.15, 0.8]],
    dtype=torch.float64,
)
EM_S = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
NONE = torch.zeros(3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"alpha": NONE, "max_steps": 1}, (0.31, 0.33, 0.36)),
        ({"alpha": NONE, "max_steps": 2}, (0.138809, 0.258750, 0.602441)),
        ({"alpha": torch.ones(3)}, (0.169356, 0.229963, 0.600681)),
        ({}, (0.308391, 0.223719, 0.467890)),
    ],
)
def test_worked_em(options, want):
    found = estimate_prior(EM_P, EM_S, **options)
    assert found.prior.tolist() == pytest.approx(want, abs=1e-6)
    assert found.converged == ("max_steps" not in options)


def test_em_limits_and_refusals():
    found = estimate_prior(EM_P, EM_S, alpha=NONE)
    assert found.prior.tolist() == pytest.approx((0, 0, 1), abs=1e-3)
    shuffled = estimate_prior(EM_P[[3, 1, 4, 0, 2]], EM_S)
    assert shuffled.prior.tolist() == pytest.approx(estimate_prior(EM_P, EM_S).prior.tolist())
    with pytest.raises(DataError, match="sum to 1"):
        estimate_prior(EM_P * 2, EM_S)
    with pytest.raises(DataError, match="shape"):
        estimate_prior(EM_P, EM_S[:2])


def test_em_finds_a_known_mix():
    rng = np.random.default_rng(0)
    means, mix = np.array([-1.5, 0.0, 1.5]), np.array([0.1, 0.3, 0.6])
    x = means[rng.choice(3, 8000, p=mix)] + rng.normal(size=8000)
    z = -((x[:, None] - means) ** 2) / 2
    found = estimate_prior(torch.tensor(z).softmax(1), EVEN)
    assert found.prior.tolist() == pytest.approx(mix.tolist(), abs=0.03)


def test_prior_shift_adjuster():
    stats = ClassStats(N)
    outputs = Outputs(Z[None], torch.zeros(1, 2))
    part = PriorShift(class_counts=N)
    assert part.transform(outputs).softmax(1)[0].tolist() == pytest.approx(
        [0.037048, 0.136293, 0.826659], abs=1e-6
    )
    assert part.effective_prior(PI).tolist() == pytest.approx(UNIFORM)
    known = PriorShift("natural").fit(FitData(None, None, stats, prior=EVEN))
    assert known.effective_prior(EVEN).tolist() == pytest.approx(NATURAL, abs=1e-6)
    assert known.notes() == ()
    again = PriorShift("natural").restore(known.state_dict())
    assert torch.equal(again.transform(outputs), known.transform(outputs))
    with pytest.raises(ConfigError, match="not fitted"):
        PriorShift().transform(outputs)


@pytest.mark.parametrize("name", ["sampler_marginal", "natural"])
@pytest.mark.parametrize("value", [None, [], "many", 1.0, torch.full((3,), torch.nan)], ids=str)
def test_an_ingredient_that_is_missing_is_named(name, value):
    given = {"sampler_marginal": EVEN, "natural": PI, name: value}
    with pytest.raises(DataError, match=name.removesuffix("_marginal")) as caught:
        effective_prior(**given)
    assert caught.value.do


@pytest.mark.parametrize("name", ["class_weight", "offset", "shift"])
@pytest.mark.parametrize("value", [[], "many", [1.0, None, 2.0]], ids=str)
def test_an_ingredient_that_is_no_numbers_is_named(name, value):
    with pytest.raises(DataError, match=name.removeprefix("class_")) as caught:
        effective_prior(EVEN, natural=PI, **{name: value})
    assert caught.value.do
