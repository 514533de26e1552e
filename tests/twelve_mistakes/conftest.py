"""Hands that other packages have: a journal, a provider's stand-in, a WhatsApp's, a web process."""

from tests.control_plane.conftest import site, site_settings, stand_ins
from tests.tenant_runner.conftest import config, journal, make_replies, new_number, openai_api, sandbox

__all__ = [
    "config",
    "journal",
    "make_replies",
    "new_number",
    "openai_api",
    "sandbox",
    "site",
    "site_settings",
    "stand_ins",
]
