"""What came in, what went out, what must still be told: one SQLite file per client."""

from tenant_runner.journal.journal import Journal
from tenant_runner.journal.messages import Line, NewMessage, Received

__all__ = ["Journal", "Line", "NewMessage", "Received"]
