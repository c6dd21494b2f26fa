"""Records of kind `samplers`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
