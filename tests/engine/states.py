"""Runs in one process group that tell the state of their loss: ``torchrun states.py CASES.json``.

A case is the configuration of a run. Every rank writes the buffers of its loss after each epoch.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

States = list[dict[str, list[float]]]


@contextlib.contextmanager
def watched() -> Iterator[States]:
    """The buffers of the stage's loss after every epoch, as numbers."""
    from longtail.engine.train import Saver

    seen: States = []
    saved = Saver.on_epoch

    def on_epoch(self: Saver, stage: Any, epoch: int, tally: Any) -> None:
        state = stage.ctx.loss.state_dict()
        seen.append({k: v.double().flatten().tolist() for k, v in state.items()})
        saved(self, stage, epoch, tally)

    with mock.patch.object(Saver, "on_epoch", on_epoch):
        yield seen


def main() -> None:
    """Run the cases; write what this rank saw."""
    from longtail.engine.runner import RunConfig, fit

    torch.set_num_threads(1)
    told = []
    for config in json.loads(Path(sys.argv[1]).read_text()):
        with watched() as seen:
            fit(RunConfig(**config))
        told.append(seen)
    rank = os.environ["RANK"]
    Path(sys.argv[1]).with_suffix(f".rank{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
