"""``--set PATH=VALUE``: every kind of path and value, and every way to get it wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from longtail.engine.overrides import parse_value, resolve_recipe
from longtail.engine.runner import RunConfig, fit
from longtail.engine.stage import Recipe
from longtail.errors import ConfigError, LongtailError, UnknownNameError
from longtail.registry import part, records


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("3", 3),
        ("true", True),
        ("null", None),
        ("cosine", "cosine"),
        ("[1, 2]", (1, 2)),
        ("mixup(alpha=0.5)", part("mixup", alpha=0.5)),
        ("mixup()", part("mixup")),
        ("power(q=-0.5)", part("power", q=-0.5)),
        ("[flip(), shift(pixels=2)]", (part("flip"), part("shift", pixels=2))),
        ("deferred(effective_number(beta=0.9), after=0.5)",
         part("deferred", part("effective_number", beta=0.9), after=0.5)),
        ("steps(at=[0.5, 0.8])", part("steps", at=(0.5, 0.8))),
        ("ldam(reduction=weighted_mean)", part("ldam", reduction="weighted_mean")),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("recipe", "setting", "get", "value"),
    [
        ("la", "tau=2", lambda r: r.stages[0].loss.kwargs["tau"], 2),
        ("ce", "head=cosine(scale=20.0)", lambda r: r.head, part("cosine", scale=20.0)),
        ("ldam", "head.scale=20.0", lambda r: r.head.kwargs["scale"], 20.0),
        ("ce", "weight_decay=0", lambda r: r.weight_decay, 0),
        ("ce", "clip=1.0", lambda r: r.stages[0].clip, 1.0),
        ("ce", "loss=focal", lambda r: r.stages[0].loss, part("focal")),
        ("ce", "augment=mixup(alpha=0.5)", lambda r: r.stages[0].augment, (part("mixup", alpha=0.5),)),
        ("mixup", "augment=null", lambda r: r.stages[0].augment, ()),
        ("ce", "views=null", lambda r: r.stages[0].views, (None,)),
        ("ce", "views=[null, strong]", lambda r: r.stages[0].views, (None, part("strong"))),
        ("ce", "schedule.warmup=0.1", lambda r: r.stages[0].schedule.kwargs["warmup"], 0.1),
        ("ce", "warmup=0.1", lambda r: r.stages[0].schedule.kwargs["warmup"], 0.1),
        ("crt", "lr=0.5", lambda r: r.lr, 0.5),
        ("crt", "clip=2.0", lambda r: [s.clip for s in r.stages], [2.0, None]),
        ("crt", "stages.1.clip=2.0", lambda r: [s.clip for s in r.stages], [None, 2.0]),
        ("crt", "stages.1.sampler.k=2", lambda r: r.stages[1].sampler.kwargs["k"], 2),
        ("crt", "k=2", lambda r: r.stages[1].sampler.kwargs["k"], 2),
        ("crt", "stages.1.bn=train", lambda r: r.stages[1].bn, "train"),
        ("crt", "bn=update_stats", lambda r: r.stages[1].bn, "update_stats"),
        ("ce", "lr_scale=[[backbone, 0.1]]", lambda r: r.stages[0].lr_scale, (("backbone", 0.1),)),
        ("balanced_softmax", "allow_double=true", lambda r: r.allow_double, True),
        ("ce", "sampler=to_counts(target={0: 5, 3: 7})", lambda r: r.stages[0].sampler,
         part("to_counts", target=((0, 5), (3, 7)))),
        ("ce", "sampler=deferred(ros(target={0: 5}))", lambda r: r.stages[0].sampler.inner,
         (part("ros", target={0: 5}),)),
        ("rus", "sampler.target={0: 5}", lambda r: r.stages[0].sampler.kwargs["target"], ((0, 5),)),
    ],
)  # fmt: skip
def test_paths(recipe: str, setting: str, get: Any, value: Any) -> None:
    made = resolve_recipe(recipe, [setting])
    assert get(made) == value
    hash(made)
    again = Recipe.from_data(json.loads(json.dumps(made.to_data())))
    assert again == made
    assert again.to_data() == made.to_data()


@pytest.mark.parametrize(
    ("recipe", "setting", "said"),
    [
        ("ce", "clip", "has no '='"),
        ("la", "tua=1", "no setting 'tua'.*did you mean 'tau'"),
        ("ce", "augmnt=mixup", "did you mean 'augment'"),
        ("crt", "warmup=0.1", r"could be any of: stages\.0\.schedule\.warmup, stages\.1\.schedule\.warmup"),
        ("crt", "stages.2.clip=1", "with I from 0 to 1"),
        ("crt", "stages.x.clip=1", "with I from 0 to 1"),
        ("crt", "stages.1=1", "names no stage field"),
        ("crt", "stages.1.clp=1", "did you mean 'clip'"),
        ("ce", "clip.x=1", "'clip' has no options"),
        ("ce", "loss={a: [", "neither YAML nor a part call"),
        ("ce", "loss=focal(gamma=1+x)", "not a part call"),
        ("ce", "loss=a.b(1)", "not a part call"),
        ("ce", "weight_decay=heavy", "not a number"),
        ("ce", "allow_double=1", "wrong kind"),
        ("ce", "weight_decay=true", "wrong kind"),
        ("ce", "clip=hard", "not a number"),
        ("ce", "ema=soft", "not a number"),
        ("ce", "loss=3", "no part"),
        ("ce", "optimizer=[sgd]", "no part"),
        ("ce", "augment=3", "no part"),
        ("ce", "bn=3", "wrong kind"),
        ("ce", "epochs=long", "not a number"),
        ("la", "tau=high", "not a number"),
        ("crt", "bn=3", "wrong kind"),
        ("rsu", "", "did you mean 'rus'"),
    ],
)  # fmt: skip
def test_mistakes_are_explained_in_two_lines(recipe: str, setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match="(?s)" + said) as caught:
        resolve_recipe(recipe, [setting] if setting else [])
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("loss=focl", "did you mean 'focal'"),
        ("loss=focal(gama=2.0)", "did you mean 'gamma'"),
        ("loss.gamma=2.0", "gamma"),
        ("sampler=class_balancd", "did you mean 'class_balanced'"),
        ("schedule=cosin", "did you mean 'cosine'"),
        ("optimizer=adm", "did you mean 'adam"),
        ("optimizer=sgd(momentun=0.9)", "did you mean 'momentum'"),
        ("augment=mixp", "did you mean 'mixup'"),
        ("objective=supervsed", "did you mean 'supervised'"),
        ("update=plane", "did you mean 'plain'"),
        ("bn=evl", "did you mean 'eval'"),
        ("head=linar", "did you mean 'linear'"),
        ("network=sngle", "did you mean 'single'"),
        ("before=reset_hed", "did you mean 'reset_head'"),
        ("loss=focal(gamma=-1.0)", "gamma"),
    ],
)
def test_parts_that_do_not_exist_are_named_at_build(setting: str, said: str) -> None:
    with pytest.raises(LongtailError, match=said) as caught:
        fit(RunConfig("digits-lt", "ce", set=(setting,), epochs=1, progress=False))
    assert len(str(caught.value).splitlines()) == 2


def test_an_unknown_keyword_of_a_recipe() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tau'"):
        resolve_recipe("la", [], taus=1)


def test_every_recipe_survives_data() -> None:
    found = records("recipes")
    assert len(found) >= 25
    for record in found:
        made = resolve_recipe(record.name)
        again = Recipe.from_data(json.loads(json.dumps(made.to_data())))
        assert again.to_data() == made.to_data()
        assert again.stages == made.stages
        hash(again)
