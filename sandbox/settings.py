"""The sandbox's settings: `FLAME_SANDBOX_<NAME>` in the environment, read once."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


class SandboxSettings(BaseSettings):
    """Where the sandbox listens and how its WhatsApp behaves.

    Attributes:
        port: phone page, mailbox page and OpenAI stand-in (HTTP).
        tls_port: the page that browsers reach as https://web.whatsapp.com/.
        ref_seconds: life of a QR code; the first one lives `first_ref_factor` times as long.
        max_refs: codes shown before the page asks for a click.
        sync_delay_ms: how long a page syncs after a login. whatsapp-web.js needs 1,500 at least.
        answer_seconds: after so long without an answer a page repeats what it sent.
        receipt_delay_s: time until the customer's phone reports a message as delivered; None: it never does.
        page_script_mb, page_heap_mb: what the page carries beside itself, in megabytes; for benchmarks.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLAME_SANDBOX_", env_parse_none_str="null", extra="ignore", frozen=True, populate_by_name=True
    )

    data_directory: Path = Field(default=REPOSITORY / "var", validation_alias="FLAME_DATA_DIRECTORY")
    host: str = "127.0.0.1"
    port: int = Field(default=8002, ge=0, le=65535)
    tls_port: int = Field(default=8003, ge=0, le=65535)
    smtp_port: int = Field(default=8004, ge=0, le=65535)

    ref_seconds: float = Field(default=20, gt=0)
    first_ref_factor: float = Field(default=3, gt=0)
    max_refs: int = Field(default=6, ge=1)
    sync_delay_ms: int = Field(default=1500, ge=0)
    answer_seconds: float = Field(default=15, gt=0)
    receipt_delay_s: float | None = Field(default=0.3, ge=0)
    page_script_mb: float = Field(default=0, ge=0, le=100)
    page_heap_mb: float = Field(default=0, ge=0, le=1000)

    @property
    def state_directory(self) -> Path:
        """What must survive a restart of the sandbox."""
        return self.data_directory / "sandbox"


def load_settings() -> SandboxSettings:
    """Read the environment and the file that `FLAME_SETTINGS_FILE` names; the environment wins."""
    return SandboxSettings(_env_file=os.environ.get("FLAME_SETTINGS_FILE") or None)


def browser_arguments(host: str, tls_port: int) -> tuple[str, ...]:
    """What sends a Chromium's https://web.whatsapp.com/ to the stand-in and nothing anywhere else."""
    rules = f"MAP web.whatsapp.com:443 {host}:{tls_port}, MAP * ~NOTFOUND, EXCLUDE {host}"
    return (f"--host-resolver-rules={rules}", "--ignore-certificate-errors")
