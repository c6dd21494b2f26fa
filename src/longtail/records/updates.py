"""Records of kind `updates`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
