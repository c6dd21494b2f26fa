"""A process that forks runs and kills them: ``python killer.py``, one JSON order a line.

An order is ``{"config": {...}, "after": seconds or null, "traps": [...]}``. The run is killed
(SIGKILL) ``after`` so many seconds, or by itself at a trap: ``{"name": file, "when": "before",
"after" or "half"}`` names a moment of the first write of that file; of the trailing log,
``metrics.jsonl``, ``half`` leaves half a line. ``"limit": [step, size]`` caps the size of files
from a step on. The answer is ``{"status", "seconds", "said"}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

LIMIT = 300.0


def die() -> None:
    """End at once, as by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


def set_traps(traps: list[dict[str, str]]) -> None:
    """Die at named moments of named writes."""
    from longtail.engine.folder import RunFolder

    when = {t["name"]: t["when"] for t in traps}
    replace, log = os.replace, RunFolder.log

    def trapped_replace(source: Any, target: Any) -> None:
        moment = when.get(Path(target).name)
        if moment == "half":
            os.truncate(source, os.path.getsize(source) // 2)
        if moment in ("half", "before"):
            die()
        replace(source, target)
        if moment == "after":
            die()

    def trapped_log(self: RunFolder, line: Any) -> None:
        moment = when.get("metrics.jsonl")
        if moment == "half":
            with open(self.path / "metrics.jsonl", "a") as file:
                file.write(json.dumps(line)[:40])
            die()
        log(self, line)
        if moment == "after":
            die()

    os.replace, RunFolder.log = trapped_replace, trapped_log  # type: ignore[assignment]


def set_limit(step: int, size: int) -> None:
    """From that step of the first epoch on no file may grow past a size."""
    import resource

    from longtail.engine.train import Saver

    saved = Saver.on_step

    def on_step(self: Saver, stage: Any, epoch: int, now: int, tally: Any) -> None:
        if (epoch, now) == (0, step):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        saved(self, stage, epoch, now, tally)

    Saver.on_step = on_step  # type: ignore[method-assign]


def child(order: dict[str, Any], said: Path) -> int:
    """Run one order in a forked process."""
    from longtail.engine.runner import RunConfig, fit
    from longtail.errors import LongtailError

    set_traps(order.get("traps", []))
    if order.get("limit"):
        set_limit(*order["limit"])
    try:
        fit(RunConfig(**order["config"]))
    except LongtailError as error:
        said.write_text(str(error))
        return 1
    return 0


def obey(order: dict[str, Any], said: Path) -> dict[str, Any]:
    """Fork, wait, kill."""
    said.write_text("")
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        status = 2
        try:
            status = child(order, said)
        except BaseException as error:
            said.write_text(repr(error))
        finally:
            os._exit(status)
    limit = LIMIT if order.get("after") is None else order["after"]
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            break
        if time.monotonic() - began > limit:
            os.kill(process, signal.SIGKILL)
            limit = LIMIT * 2
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    return {"status": code, "seconds": time.monotonic() - began, "said": said.read_text()}


def main() -> None:
    """Obey orders until the input ends."""
    import torch

    from longtail.engine.runner import RunConfig, fit

    torch.set_num_threads(1)
    fit(RunConfig("digits-lt", "hfl", epochs=1, progress=False))  # imports what is imported late
    said = Path(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line), said)), flush=True)


if __name__ == "__main__":
    main()
