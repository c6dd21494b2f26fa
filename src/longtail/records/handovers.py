"""Records of kind `handovers`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
