"""What adjusters and priors refuse by name, and what half precision must not round."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from longtail.errors import CheckpointError, ConfigError, DataError, LongtailError
from longtail.posthoc import (
    FitData,
    LogitAdjust,
    PriorShift,
    Recalibration,
    TauNorm,
    aggregate,
    bbse,
    combine,
    estimate_prior,
    estimate_target_prior,
    read_target_prior,
    shift,
)
from longtail.registry import create, records
from longtail.types import ClassStats, Outputs

STATS = ClassStats([90, 30, 10, 3], "abcd")
ADJUSTERS = sorted(r.name for r in records("adjusters"))


def rows(n=12, dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    weight, features = torch.randn(4, 3, generator=g), torch.randn(n, 3, generator=g)
    return Outputs((features @ weight.T).to(dtype), features.to(dtype)), weight


def data(outputs, target, weight, stats=STATS):
    return FitData(outputs, target, stats, head_weight=weight)


def fitted(name, **options):
    outputs, weight = rows()
    return create("adjuster", name, **options).fit(
        data(outputs, torch.arange(12) % 4, weight)
    ), outputs


@pytest.mark.parametrize("name", ADJUSTERS)
def test_logits_of_another_number_of_classes(name):
    part, outputs = fitted(name)
    again = create("adjuster", name).restore(part.state_dict())  # has no statistics, but a state
    for adjuster in (part, again):
        for wrong in (outputs.logits[:, :3], outputs.logits[:, :1], outputs.logits.long()):
            with pytest.raises(DataError, match=r"logits (have \d classes|must be floating)"):
                adjuster.transform(outputs.with_logits(wrong))
    _, weight = rows()
    short = outputs.with_logits(outputs.logits[:, :3])
    with pytest.raises(DataError, match="3 classes, the class statistics 4"):
        create("adjuster", name).fit(data(short, torch.zeros(12).long(), weight))


@pytest.mark.parametrize("name", ADJUSTERS)
def test_labels_that_are_no_class_ids(name):
    outputs, weight = rows()
    good = torch.arange(12) % 4
    for wrong, what in (
        (good + 1, "3 rows have a label outside"),
        (good - 1, "3 rows have a label outside"),
        (good[:5], "do not fit 12 rows"),
        (good.double(), "do not fit 12 rows"),
        (good > 1, "do not fit 12 rows"),
    ):
        with pytest.raises(DataError, match=what):
            create("adjuster", name).fit(data(outputs, wrong, weight))
    small = create("adjuster", name).fit(data(outputs, good.to(torch.int32), weight))
    want = create("adjuster", name).fit(data(outputs, good, weight))
    assert torch.equal(small.transform(outputs), want.transform(outputs))


@pytest.mark.parametrize("name", ADJUSTERS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_validation_logits_that_are_not_finite_choose_nothing(name, bad):
    outputs, weight = rows()
    z = outputs.logits.clone()
    z[2:5, 1] = bad
    with pytest.raises(DataError, match="logits of 3 validation rows are not finite"):
        create("adjuster", name).fit(data(outputs.with_logits(z), torch.arange(12) % 4, weight))


def test_validation_features_that_are_not_finite():
    outputs, weight = rows()
    features = outputs.features.clone()
    features[1] = torch.nan
    with pytest.raises(DataError, match="logits of 1 validation rows are not finite"):
        TauNorm(None).fit(data(Outputs(outputs.logits, features), torch.arange(12) % 4, weight))


@pytest.mark.parametrize("name", ADJUSTERS)
def test_validation_rows_of_a_masked_class_decide_nothing(name):
    stats = ClassStats([90, 30, 10, 0], "abcd", on_empty="ignore")
    outputs, weight = rows(40)
    outputs.logits[:, 3] = -torch.inf
    y = torch.arange(40) % 4
    kept = y < 3
    fewer = Outputs(outputs.logits[kept], outputs.features[kept])
    options = {} if name == "prior_shift" else {"beta" if name == "uno_ic" else "tau": None}
    want = create("adjuster", name, **options).fit(data(fewer, y[kept], weight, stats))
    part = create("adjuster", name, **options).fit(data(outputs, y, weight, stats))
    for key, value in want.state_dict().items():
        assert torch.equal(part.state_dict()[key], value)
    assert part.notes()[-1] == "10 validation rows of classes without training samples are left out"


@pytest.mark.parametrize("name", ADJUSTERS)
def test_half_modules_autocast_and_half_logits_round_nothing(name):
    part, outputs = fitted(name)
    low = copy.deepcopy(part).half()
    for key, value in part.state_dict().items():
        assert torch.equal(low.state_dict()[key], value)
    for dtype in (torch.float16, torch.bfloat16):
        far = Outputs((outputs.logits * 1e4).to(dtype), outputs.features.to(dtype))
        wide = Outputs(far.logits.float(), far.features.float())
        want = part.transform(wide)
        assert want.dtype == torch.float32
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for adjuster in (part, low):
                assert torch.equal(adjuster.transform(far), want)
                assert torch.equal(adjuster.transform(wide), want)


@pytest.mark.parametrize("value", ["1", [1.0], -1, 101, float("nan")])
def test_strengths(value):
    for build in (LogitAdjust, TauNorm, Recalibration):
        with pytest.raises(ConfigError, match=r"must lie in \[0, 100\]"):
            build(value)
    assert LogitAdjust(np.float32(1)).tau == 1


@pytest.mark.parametrize(
    "target",
    [None, 3, ["a", "b", "c", "d"], [None] * 4, [1, 2], {1, 2, 3, 4}, [1, 2, 3, 1j], object(),
     dict.fromkeys("abcd"), dict.fromkeys("abcd", "much"), {**dict.fromkeys("abc", 1), "d": [1, 2]},
     [1e308] * 4, [[1, 2], [3]], np.array(list("abcd"))],
)  # fmt: skip
def test_targets_that_are_no_prior(target):
    with pytest.raises(LongtailError, match="target_prior") as caught:
        PriorShift(target, class_counts=STATS)
    assert len(str(caught.value).splitlines()) == 2


def test_files_that_are_no_prior(tmp_path):
    file = tmp_path / "mix.csv"
    for content, what in (
        ("class,weight\nä,1\nb,1\nc,1\nd,1\n".encode("latin-1"), "not UTF-8"),
        (b"a,0,5\nb,0,5\nc,1\nd,1\n", "row 1 of mix.csv is no class and weight"),
        (b"a," + b"1" * 200_000, "cannot be read"),
        (b"a,nan\nb,1\nc,1\nd,1\n", "must be finite"),
        (b"", "leaves out 4"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=what) as caught:
            PriorShift(str(file), class_counts=STATS)
        assert len(str(caught.value).splitlines()) == 2
    for name in ("x" * 5000, "mix\0.csv"):
        with pytest.raises(ConfigError, match="no known word and no file"):
            PriorShift(name, class_counts=STATS)
    file.write_bytes(b"a,1,\nb,1,\nc,1,\nd,1,\n")  # a spreadsheet's empty third column
    PriorShift(file, class_counts=STATS)


def test_one_class_named_twice():
    stats = ClassStats([90, 30])
    with pytest.raises(DataError, match="names '0' twice"):
        PriorShift({0: 1, "0": 2, 1: 3}, class_counts=stats)


def test_shifts_that_are_none():
    even, z = torch.ones(4), torch.zeros(2, 4)
    for wrong, what in (
        ((z[:, :3], even, even), "3 classes"),
        ((z.long(), even, even), "floating-point"),
        ((z, None, even), "effective prior"),
        ((z, even, "even"), "target_prior"),
        ((z, torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 1.0, 0, 0])), "no class in common"),
    ):
        with pytest.raises(DataError, match=what):
            shift(*wrong)
    with pytest.raises(ConfigError, match="strength"):
        shift(z, even, even, strength=float("nan"))


def known(n=200, c=4):
    """Logits of rows that are mostly recognised, and their labels."""
    y = torch.arange(n) % c
    noise = torch.randn(n, c, generator=torch.Generator().manual_seed(3))
    return 3 * torch.eye(c)[y] + noise, y


def test_estimates_from_what_cannot_be_used():
    z, y = known()
    even = torch.ones(4)
    for change, what in (
        ({"target": y + 1}, "50 rows have a label outside"),
        ({"target": y - 1}, "50 rows have a label outside"),
        ({"target": y.double()}, "labels of torch.float64"),
        ({"reference": torch.ones(3)}, "reference prior must have 4"),
        ({"reference": torch.zeros(4)}, "reference prior must be finite"),
        ({"reference": torch.tensor([1.0, -1, 1, 1])}, "reference prior must be finite"),
        ({"names": "abc"}, "3 class names for 4 classes"),
    ):
        given = {"unlabelled": z, "labelled": z, "target": y, "effective": even, **change}
        with pytest.raises(DataError, match=what):
            estimate_target_prior(**given)


def test_labelled_rows_of_a_masked_class_are_left_out_of_an_estimate():
    z, y = known()
    effective = torch.tensor([1.0, 1, 1, 0])
    given = {"effective": effective, "resamples": 100}
    kept = y < 3
    want = estimate_target_prior(z, z[kept], y[kept], **given)
    found = estimate_target_prior(z, z, y, **given)
    assert torch.equal(found.prior, want.prior)
    assert found.temperature == want.temperature
    assert "50 labelled rows of masked classes are left out" in found.reasons
    with pytest.raises(DataError, match="every labelled row"):
        estimate_target_prior(z, z[~kept], y[~kept], **given)


def test_iterations_and_systems_that_cannot_run():
    p, even = torch.full((5, 4), 0.25), torch.ones(4)
    for options, what in (
        ({"source": torch.zeros(4)}, "source prior"),
        ({"source": torch.tensor([1.0, 1, 1, -1])}, "source prior"),
        ({"reference": torch.tensor([1.0, 1, 1, torch.nan])}, "reference prior"),
        ({"alpha": torch.ones(3)}, "pseudo-counts"),
        ({"alpha": -torch.ones(4)}, "pseudo-counts"),
        ({"max_steps": 0}, "max_steps"),
        ({"tolerance": float("nan")}, "tolerance"),
    ):
        with pytest.raises(LongtailError, match=what):
            estimate_prior(p, **{"source": even, **options})
    eye = torch.eye(3)
    for confusion, mean in (
        (eye, torch.ones(4)), (eye[:2], torch.ones(3)), (eye * torch.nan, torch.ones(3)),
        (eye, torch.zeros(3)), (eye, torch.tensor([1.0, -1, 1])),
    ):  # fmt: skip
        with pytest.raises(DataError, match="shares of C classes"):
            bbse(confusion, mean)


def test_experts_that_cannot_be_weighed():
    z, y = known(40)
    views = torch.stack([z, z.flip(0)])
    for options in ({"lr": float("nan")}, {"momentum": float("nan")}, {"weight_decay": -1.0}):
        with pytest.raises(ConfigError, match="adaptation cannot run"):
            aggregate(views, views, seed=0, **options)
    broken = views.clone()
    broken[0, 3, 1] = torch.nan
    for validation, what in (
        ((broken, y), "logits of 1 validation rows"),
        ((views, y + 1), "10 rows have a label outside"),
    ):
        with pytest.raises(DataError, match=what):
            aggregate(views, views, seed=0, epochs=1, validation=validation)
    with pytest.raises(DataError, match="do not fit"):
        combine(views, torch.ones(3))


@pytest.mark.parametrize("name", ADJUSTERS)
def test_states_priors_and_rows_of_something_else(name):
    part, outputs = fitted(name)
    for state in ({"queue": torch.zeros(3)}, {"fitted": "yes"}):
        with pytest.raises(CheckpointError, match="is not that of a"):
            create("adjuster", name).restore(state)
    with pytest.raises(DataError, match="not a Tensor"):
        part.transform(outputs.logits)
    if not part.untold:
        for prior in (torch.ones(3), torch.zeros(4), torch.full((4,), torch.nan), None):
            with pytest.raises(DataError, match="the prior"):
                part.effective_prior(prior)


def test_heads_of_another_model():
    outputs, weight = rows()
    y = torch.arange(12) % 4
    for wrong in (weight[:3], weight[0], weight * torch.nan):
        with pytest.raises(ConfigError, match="finite"):
            TauNorm().fit(data(outputs, y, wrong))
    with pytest.raises(ConfigError, match="2 features, not 3"):
        TauNorm(None).fit(data(outputs, y, weight[:, :2]))


def test_a_target_of_masked_classes_only():
    masked = torch.tensor([0.0, 0.5, 0.5])
    with pytest.raises(DataError, match="model's classes"):
        read_target_prior([1, 0, 0], natural=masked, effective=masked, names="abc", allow_zero=True)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_seeds(seed):
    z, y = known(40)
    views = torch.stack([z, z])
    with pytest.raises(ConfigError, match="seed"):
        aggregate(views, views, seed=seed)
    with pytest.raises(ConfigError, match="seed"):
        estimate_target_prior(z, z, y, effective=torch.ones(4), seed=seed)


@pytest.mark.parametrize("name", [n for n in ADJUSTERS if create("adjuster", n).corrects_prior])
def test_a_prior_that_is_unknown_is_refused_by_the_name_to_change(name):
    outputs, weight = rows()
    given = FitData(outputs, torch.arange(12) % 4, STATS, head_weight=weight, prior_unknown=True)
    with pytest.raises(ConfigError, match=rf"^{name} corrects the prior"):
        create("adjuster", name).fit(given)
