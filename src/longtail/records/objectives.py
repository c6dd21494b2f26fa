"""Records of kind `objectives`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
