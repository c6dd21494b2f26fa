"""Records of kind `losses`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
