"""Records of kind `augments`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
