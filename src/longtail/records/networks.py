"""Records of kind `networks`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
