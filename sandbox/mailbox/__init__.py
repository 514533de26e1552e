"""A mailbox that takes every mail sent to it, delivers none, and shows them on a page."""

from sandbox.mailbox.mailbox import Mailbox
from sandbox.mailbox.routes import routes

__all__ = ["Mailbox", "routes"]
