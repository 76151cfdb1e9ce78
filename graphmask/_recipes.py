"""The former name of :class:`graphmask.config.ConfigMixin`."""

from .config import ConfigMixin as Recorded

__all__ = ["Recorded"]
