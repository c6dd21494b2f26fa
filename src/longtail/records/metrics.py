"""Records of kind `metrics`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
