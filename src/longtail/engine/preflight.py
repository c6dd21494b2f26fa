"""Before the first step: all that a recipe names can be built, and the prior asked for exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from longtail.engine.build import check_scale, composed_prior
from longtail.engine.cache import check_cacheable
from longtail.engine.optim import BN_MODES, OPTIMIZERS, select_trainable
from longtail.engine.stage import Stage
from longtail.engine.state import RunState
from longtail.errors import ConfigError, UnknownNameError
from longtail.objectives.rows import plain_loss
from longtail.posthoc.prior import read_target_prior
from longtail.registry import PartSpec, get, instantiate
from longtail.types import Progress

__all__ = ["preflight", "stage_prior_of"]

KINDS = {
    "sampler": "samplers",
    "loss": "losses",
    "objective": "objectives",
    "augment": "augments",
    "views": "augments",
    "schedule": "schedules",
    "update": "updates",
    "before": "handovers",
    "expand": "handovers",
}


def preflight(state: RunState, target_prior: Any) -> None:
    """Refuse now what would be refused after hours.

    Raises:
        ConfigError: an unknown part or option, a value that does not fit, a head without what
            fills it, a prior that is corrected twice, or a target prior that this recipe cannot be
            moved to.
    """
    prior = state.prior
    for number, stage in enumerate(state.stages):
        for field, kind in KINDS.items():
            for spec in _specs(getattr(stage, field)):
                made = instantiate(kind, spec)
                if kind == "handovers":
                    made.check(state)
                if kind == "objectives" and made.owns_loss:
                    plain_loss(instantiate("losses", stage.loss).bind(state.stats), spec.name)
        if stage.bn not in BN_MODES:
            raise UnknownNameError("BatchNorm policy", stage.bn, BN_MODES)
        if stage.optimizer is not None and stage.optimizer.name not in OPTIMIZERS:
            raise UnknownNameError("optimizer", stage.optimizer.name, OPTIMIZERS)
        if stage.expand is not None:
            continue
        if stage.cache is not None:
            named = select_trainable(state.network, stage.trains)
            check_cacheable(stage, [name for name, _ in named])
        if number == 0:
            select_trainable(state.network, stage.trains)
            check_scale(state, stage, instantiate("losses", stage.loss))
        if stage.trains_head:
            prior = stage_prior_of(state, stage)
    for spec in state.recipe.finish:
        instantiate("handovers", spec).check(state)
    _check_partners(state)
    prior = _check_adjusters(state, prior if state.recipe.prior == "composed" else None)
    if target_prior == "as_trained":
        return
    stats = state.stats
    read_target_prior(target_prior, natural=stats.prior, effective=stats.prior, names=stats.names)
    if prior is None:
        raise ConfigError(
            f"the prior that recipe {state.recipe.name!r} answers to is not known, so it cannot "
            f"be moved to {target_prior!r}",
            "keep --target-prior as_trained",
        )


def _check_partners(state: RunState) -> None:
    """Refuse a head whose parameters nothing in the recipe would fill."""
    recipe = state.recipe
    before = [spec.name for stage in recipe.stages for spec in stage.before]
    finish = [spec.name for spec in recipe.finish]
    there = {
        "objective": {stage.objective.name for stage in recipe.stages},
        "before": {*before},
        "finish": {*before, *finish},
    }
    for wanted in getattr(state.network.decider, "partners", ()):
        if not any(name in there[field] for field, name in wanted.items()):
            field, name = next(iter(wanted.items()))
            value = f"{name}()" if field == "objective" else f"[{name}()]"
            raise ConfigError(
                f"head {recipe.head.name!r} is not what it says without {' or '.join(wanted.values())}",
                f"add it: --set '{field}={value}'",
            )


def _check_adjusters(state: RunState, prior: Tensor | None) -> Tensor | None:
    """The prior after all adjusters, or an error where one of them would not do what it says."""
    for number, spec in enumerate(state.recipe.adjusters):
        adjuster = instantiate("adjusters", spec).bind(state.stats)
        if "linear_head" in get("adjusters", spec.name).needs:
            _check_linear(state, spec, number)
        if not state.recipe.allow_double:
            adjuster.check_prior(state.stats, prior)
        if prior is not None:
            prior = None if adjuster.untold else adjuster.effective_prior(prior)
    return prior


def _check_linear(state: RunState, spec: PartSpec, number: int) -> None:
    """Refuse an adjuster of linear weights on a head that has none, or behind another adjuster."""
    stages, finish = state.recipe.stages, state.recipe.finish
    handovers = [*finish, *(s for stage in stages for s in (*stage.before, stage.expand) if s)]
    kept = all(instantiate("handovers", each).keeps_affine for each in handovers)
    if state.network.affine() is None or not kept:
        raise ConfigError(
            f"{spec.name} works on the weights of one linear head, and this network's logits are "
            "no linear function of its features",
            "use head=linear, or leave the adjuster out",
        )
    if number:
        raise ConfigError(
            f"{spec.name} makes its logits anew from the features, so the adjusters before it "
            "would be lost",
            f"name {spec.name} first",
        )


def _specs(value: Any) -> Iterator[PartSpec]:
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, PartSpec):
            yield item


def stage_prior_of(state: RunState, stage: Stage) -> Tensor | None:
    """``(C,)``: what the stage's softmax would answer to on the data the run starts with."""
    stats = state.stats
    epochs = max(1, int(stage.epochs))
    progress = Progress(epochs=epochs)
    loss = instantiate("losses", stage.loss).bind(stats).attach(progress)
    progress.set(epochs - 1)
    sampler = instantiate("samplers", stage.sampler)
    sampler.bind_labels(state.start.labels.cpu(), stats.num_classes, 0)
    sampler.epochs = epochs
    return composed_prior(loss, sampler, stats, state.start.labels, state.recipe.allow_double)
