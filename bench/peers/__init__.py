"""Ours beside what users would pick instead, on the same page and the same Chromium: `python -m bench peers --help`."""

from bench.peers.run import main
from bench.peers.tables import present

__all__ = ["main", "present"]
