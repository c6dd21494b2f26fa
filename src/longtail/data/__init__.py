"""Data: sources, splits, profiles, resident and streaming stores."""

from longtail.data.dataset import Dataset, Split
from longtail.data.encode import Encoder
from longtail.data.options import Options
from longtail.data.profiles import profile_counts, select
from longtail.data.sources import load
from longtail.data.splits import tail_safe_split
from longtail.data.stores import FileStore, ResidentStore, Store

__all__ = [
    "Dataset",
    "Encoder",
    "FileStore",
    "Options",
    "ResidentStore",
    "Split",
    "Store",
    "load",
    "profile_counts",
    "select",
    "tail_safe_split",
]
