"""After the last stage: fit the adjusters, put the run together, measure it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from longtail.engine.folder import to_list
from longtail.engine.run import Run, chunks
from longtail.engine.state import RunState
from longtail.engine.train import Trainer
from longtail.posthoc.base import FitData
from longtail.registry import instantiate
from longtail.types import Outputs

__all__ = ["finish", "measure"]


def finish(
    data: Any, state: RunState, trainer: Trainer, info: dict[str, Any], *, target_prior: Any
) -> Run:
    """Fit the recipe's adjusters on validation outputs and put the run together."""
    recipe = state.recipe
    effective = trainer.prior if recipe.prior == "composed" else None
    weights = state.mean_weights()
    info = {
        **info,
        "structure": state.structure,
        "network_prior": to_list(effective),
        "network_weights": to_list(weights),
    }
    run = Run(info, state.network.eval(), [], effective, state.device)
    outputs, target = _validation(run, data, state) if recipe.adjusters else (None, None)
    weight, bias = state.network.affine() or (None, None)
    for spec in recipe.adjusters:
        given = FitData(
            outputs=outputs,
            target=target,
            stats=state.stats,
            head_weight=None if weight is None else weight.detach().cpu(),
            head_bias=None if bias is None else bias.detach().cpu(),
            prior=run.effective,
            prior_unknown=run.effective is None,
            allow_double=recipe.allow_double,
        )
        adjuster = instantiate("adjusters", spec).fit(given)
        if outputs is not None:  # the next one sees what this one makes of them
            outputs = Outputs(adjuster.transform(outputs), outputs.features)
        run.adjusters.append(adjuster.to(state.device))
        state.notes += adjuster.notes()
        if run.effective is not None:
            run.effective = adjuster.effective_prior(run.effective)
    run.effective = _reweighed(run.effective, weights)  # by the user; corrected by no part
    return run.aim(target_prior)  # an unusable one is refused before anything is reported


def _reweighed(prior: Tensor | None, weights: Tensor | None) -> Tensor | None:
    if prior is None or weights is None:
        return prior
    moved = prior * weights
    return moved / moved.sum()


def _validation(run: Run, data: Any, state: RunState) -> tuple[Outputs | None, Any]:
    """The network's outputs of the validation rows, and their labels."""
    if data.validation is None or not len(data.validation.labels):
        return None, None
    parts = [run.outputs(x) for x, _ in chunks(data.validation, state.device)]
    logits, features = ([getattr(o, k) for o in parts] for k in ("logits", "features"))
    return (
        Outputs(torch.cat(logits).cpu(), torch.cat(features).cpu()),
        data.validation.labels.cpu(),
    )


def measure(
    run: Run, data: Any, state: RunState, cost: dict[str, Any], versions: dict[str, str]
) -> dict[str, Any]:
    """What ``metrics.json`` says."""
    stats = state.stats
    groups, rule = stats.groups()
    out: dict[str, Any] = {
        "recipe": state.recipe.name,
        "seed": state.seed,
        "test": None,
        "validation": None,
    }
    for name, split in (("validation", data.validation), ("test", data.test)):
        if split is not None and len(split.labels):
            out[name], said = run.evaluate(split)
            if name == "test":
                run.last_predictions = said
                out["latency_ms"] = run.latency(split)
    return {
        **out,
        **cost,
        "epochs": run.info["epochs"],
        "batch_size": run.info["batch_size"],
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "groups": {"rule": rule, **{k: v.tolist() for k, v in groups.items()}},
        "device": str(state.device),
        "versions": versions,
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "counts": [int(v) for v in stats.raw],
            "class_names": list(data.class_names),
            "not_evaluable": list(data.not_evaluable),
        },
        "effective_prior": None if run.effective is None else [float(v) for v in run.effective],
        "target_prior": run.target_prior,
        "adjusters": [a.describe() for a in run.adjusters],
        "notes": list(dict.fromkeys(state.notes)),
    }
