"""What the control plane can take: events, status reads, long lists, long histories: `python -m bench platform`."""

from bench.platform.run import main, present

__all__ = ["main", "present"]
