"""Results as a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtail.engine.run import Run

__all__ = ["audit_summary", "metrics_table", "prior_of", "run_summary"]

_SHARES = ("accuracy", "balanced_accuracy", "many", "medium", "few")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def metrics_table(metrics: dict[str, Any], class_names: Sequence[str]) -> str:
    """Shares with their intervals, calibration, and what is never predicted."""
    lines = []
    for key in _SHARES:
        span = (metrics.get("intervals") or {}).get(key)
        near = "" if span is None else f"   [{_percent(span[0])}, {_percent(span[1])}]"
        lines.append(f"{key.replace('_', ' '):18s} {_percent(metrics[key]):>9s}{near}")
    ece = metrics.get("ece")
    lines.append(f"{'ece':18s} {'-' if ece is None else f'{ece:.4f}':>9s}")
    lines += [
        f"{key.replace('_', ' '):25s} {value:.4f}"
        for key, value in (metrics.get("decisions") or {}).items()
    ]
    never = metrics["never_predicted"]
    if never:
        more = "" if len(never) <= 8 else " ..."
        lines.append(
            f"never predicted    {len(never)} of {len(class_names)}: {', '.join(never[:8])}{more}"
        )
    return "\n".join(lines)


def run_summary(metrics: dict[str, Any]) -> str:
    """What a run came to."""
    out = [f"{metrics['recipe']}, seed {metrics['seed']}: {metrics['steps']} steps, "
           f"{metrics['samples_seen']} rows, {metrics['seconds']:.1f} s"]  # fmt: skip
    out += [f"note: {note}" for note in metrics["notes"]]
    if metrics["test"] is not None:
        out.append(metrics_table(metrics["test"], metrics["data"]["class_names"]))
        out.append(f"groups: {metrics['groups']['rule']}; intervals: 95 %, resampled within class")
    return "\n".join(out)


def prior_of(run: Run) -> str:
    """The prior that a run's own softmax answers to, and its target prior, in one line."""
    from longtail.reports.priors import prior_line

    own, target = (None if v is None else v.tolist() for v in (run.effective, run.target))
    return prior_line(own, run.target_prior, target, run.stats.prior.tolist(), run.class_names)


def audit_summary(found: dict[str, Any]) -> str:
    """The audit's numbers, one a line; nested ones indented."""
    return "\n".join(_lines(found, 0))


def _lines(value: dict[str, Any], depth: int) -> list[str]:
    out = []
    for key, item in value.items():
        pad = "  " * depth
        if isinstance(item, dict) and item:
            out += [f"{pad}{key}:", *_lines(item, depth + 1)]
        elif isinstance(item, list):
            shown = ", ".join(str(v) for v in item[:10]) + (" ..." if len(item) > 10 else "")
            out.append(f"{pad}{key}: {shown or 'none'}")
        else:
            out.append(
                f"{pad}{key}: {item:.4f}" if isinstance(item, float) else f"{pad}{key}: {item}"
            )
    return out
