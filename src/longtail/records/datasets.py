"""Records of kind `datasets`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
