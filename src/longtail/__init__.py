"""Deep long-tailed learning: classifiers that work for every class, not only the common ones."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

__all__ = ["ClassStats", "LongTailClassifier", "LongtailError", "__version__", "create", "part"]

_LAZY = {
    "ClassStats": "longtail.types",
    "LongTailClassifier": "longtail.estimator",
    "LongtailError": "longtail.errors",
    "create": "longtail.registry",
    "part": "longtail.registry",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'longtail' has no attribute {name!r}")
