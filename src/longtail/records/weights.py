"""Records of kind `weights`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
