"""Records of kind `schedules`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
