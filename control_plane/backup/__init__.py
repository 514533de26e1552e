"""Backup and restore of a whole installation, typed by an operator: `scripts/backup`, `scripts/restore`."""
