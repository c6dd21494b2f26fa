"""A list of runs in one process group: ``torchrun ranked.py CASES.json``.

A case is ``{"config": {...}, "stop": [stage, epoch] or null}``: a run that is stopped there, as
by a kill of all ranks, is to be resumed by a later case.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Stopped(Exception):
    """The run ends here."""


def stop_at(stage_number: int, epoch: int) -> Any:
    """Make every rank stop once that epoch has been saved; returns what undoes it."""
    from longtail.engine.train import Saver

    saved = Saver.on_epoch

    def on_epoch(self: Saver, stage: Any, now: int, tally: Any) -> None:
        saved(self, stage, now, tally)
        if (stage.number, now) == (stage_number, epoch):
            self.state.ranks.barrier()
            raise Stopped

    Saver.on_epoch = on_epoch  # type: ignore[method-assign]
    return lambda: setattr(Saver, "on_epoch", saved)


def main() -> None:
    """Run the cases; say what this rank saw."""
    from longtail.engine.runner import RunConfig, fit

    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    seen: dict[str, Any] = {}
    for number, case in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        undo = stop_at(*case["stop"]) if case.get("stop") else None
        try:
            run = fit(RunConfig(**case["config"]))
        except Stopped:
            seen[str(number)] = "stopped"
        else:
            total = sum(float(p.detach().double().abs().sum()) for p in run.network.parameters())
            buffers = sum(float(b.double().abs().sum()) for b in run.network.buffers())
            seen[str(number)] = [run.metrics["steps"], total, buffers, run.folder is not None]
        if undo is not None:
            undo()
    seen["random"] = [random.random(), float(np.random.rand()), float(torch.rand(1))]
    Path(sys.argv[1]).with_suffix(f".rank{rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
