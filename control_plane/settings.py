"""The control plane's settings: read once from the environment and the settings file, then injected."""

import os
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


class Environment(BaseModel):
    """Where a client's WhatsApp and OpenAI are: the real ones, or others that an installation adds.

    Attributes:
        browser_arguments: extra Chromium switches for the clients of this environment.
        banner: warning shown on the client's pages in the portal; None for the real services.
        links: pages worth a link beside the banner, label to URL.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    label: str
    whatsapp_web_url: str = "https://web.whatsapp.com/"
    browser_arguments: tuple[str, ...] = ()
    openai_base_url: str = "https://api.openai.com/v1"
    banner: str | None = None
    links: dict[str, str] = Field(default_factory=dict)


REAL = Environment(name="production", label="WhatsApp + OpenAI")


class Settings(BaseSettings):
    """One frozen model for the web process and the scheduler; every field is `FLAME_<NAME>` in the environment.

    The settings file (`FLAME_SETTINGS_FILE`, mode 0600, `NAME=value` lines) holds what must not be in a process's
    environment, secrets first. `scripts/start` writes it from the environment it was started with.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLAME_", extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )

    # Where things are
    data_directory: Path = REPOSITORY / "var"
    host: str = "127.0.0.1"
    port: int = 8001
    public_url: str | None = None
    mongodb_uri: SecretStr | None = Field(default=None, validation_alias="MONGODB_URI")
    database_name: str = "flame"
    database_port: int | None = None
    supervisor_socket: Path | None = None

    # Tenant runners
    first_port: int = 3001
    last_port: int = 3999
    environments: tuple[Environment, ...] = ()
    reconcile_interval_s: float = 5.0
    runner_timeout_s: float = 30.0
    heartbeat_lost_s: float = 45.0
    parallel_starts: int | None = Field(default=None, ge=1)
    chromium: Path | None = None
    isolation: Literal["strict", "best", "off"] = "strict"
    first_account: int = Field(default=1_900_000_000, ge=1_000, le=4_294_000_000)

    # Conversations
    debounce_s: float = 5.0
    debounce_cap_s: float = 25.0
    takeover_minutes: float = Field(default=30.0, ge=0)
    too_old_minutes: float = Field(default=15.0, ge=0)
    opt_out_words: Annotated[tuple[str, ...], NoDecode] = ("baja", "stop")
    loop_limit: int = Field(default=8, ge=0)
    sends_per_minute: int = Field(default=20, ge=1)
    sends_per_hour: int = Field(default=300, ge=1)
    sends_per_day: int = Field(default=2_000, ge=1)
    send_gap_s: float = Field(default=1.0, ge=0)
    typing_s: float = Field(default=3.0, ge=0)
    memory_limit_mb: int = Field(default=1_500, ge=0)
    memory_hard_limit_mb: int | None = Field(default=None, ge=0)
    whatsapp_web_version: str | None = None

    # Mail
    smtp_host: str | None = None
    smtp_port: int = 587
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    mail_from: str = "Flame Assistant <no-reply@localhost>"

    # Retention
    retention_hours: int = 24
    cleanup_interval_hours: float = 24.0
    audit_days: int = Field(default=365, ge=1)

    # Security
    session_hours: int = 12
    secure_cookies: bool | None = None
    encryption_keys_file: Path | None = None
    encryption_keys: SecretStr | None = None
    login_attempts_per_minute: int = 5

    # HTTP
    trusted_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "::1")
    max_body_kb: int = Field(default=2_048, ge=64)
    receive_timeout_s: float = Field(default=30.0, gt=0)
    api_requests_per_minute: int = Field(default=600, ge=1)
    actions_per_minute: int = Field(default=120, ge=1)
    unknown_links_per_minute: int = Field(default=30, ge=1)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("opt_out_words", "trusted_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, words: object) -> object:
        """In the environment they are separated by commas."""
        return tuple(word.strip() for word in words.split(",") if word.strip()) if isinstance(words, str) else words

    @field_validator("whatsapp_web_version", mode="before")
    @classmethod
    def _none(cls, version: object) -> object:
        """An empty variable pins nothing."""
        return version or None

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        if self.first_port > self.last_port:
            raise ValueError("FLAME_FIRST_PORT must not be greater than FLAME_LAST_PORT")
        names = [environment.name for environment in self.all_environments]
        if len(names) != len(set(names)):
            raise ValueError("FLAME_ENVIRONMENTS: every environment needs a name of its own")
        if self.hard_memory_limit_mb and self.hard_memory_limit_mb <= self.memory_limit_mb:
            raise ValueError("FLAME_MEMORY_HARD_LIMIT_MB must be greater than FLAME_MEMORY_LIMIT_MB, or 0")
        if self.encryption_keys and self.encryption_keys_file:
            raise ValueError("the keys are in FLAME_ENCRYPTION_KEYS or in FLAME_ENCRYPTION_KEYS_FILE, not in both")
        return self

    @cached_property
    def all_environments(self) -> tuple[Environment, ...]:
        """Those that the installation adds, then the real services; the first one is the form's default."""
        return (*self.environments, REAL)

    @property
    def base_url(self) -> str:
        """Address that people use, without a trailing slash; links in mails and pages start with it."""
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")

    @property
    def internal_url(self) -> str:
        """Address that runners on this machine use."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def all_trusted_hosts(self) -> frozenset[str]:
        """Names that requests may be for: that of the public address, this machine's, and those of the setting."""
        public = urlsplit(self.base_url).hostname or "localhost"
        return frozenset({public, self.host, "localhost", "127.0.0.1", "::1", *self.trusted_hosts})

    @property
    def people_use_https(self) -> bool:
        """The public address begins with `https://`."""
        return self.base_url.startswith("https://")

    @property
    def cookies_are_secure(self) -> bool:
        """Cookies carry `Secure` when people come by HTTPS (or when the setting says so)."""
        return self.people_use_https if self.secure_cookies is None else self.secure_cookies

    @property
    def retention(self) -> timedelta:
        """Default of a client's own retention."""
        return timedelta(hours=self.retention_hours)

    @property
    def clients_directory(self) -> Path:
        """One directory per client: credentials, browser profile, journal."""
        return self.data_directory / "clients"

    @property
    def keys_file(self) -> Path:
        """The keys that encrypt secrets in the database, where `encryption_keys` does not hold them."""
        return self.encryption_keys_file or self.data_directory / "keys"

    @property
    def database_directory(self) -> Path:
        """The embedded database's files and address."""
        return self.data_directory / "database"

    @property
    def programs_directory(self) -> Path:
        """supervisord's program files, one per client."""
        return self.data_directory / "supervisor" / "conf.d"

    @property
    def start_places(self) -> int:
        """How many browsers may start at once: as many as there are processor cores, at least two, unless set."""
        return self.parallel_starts or max(2, len(os.sched_getaffinity(0)))

    @property
    def hard_memory_limit_mb(self) -> int:
        """The most that a runner's processes may take: twice what a browser is recycled for, unless set; 0 is any."""
        return 2 * self.memory_limit_mb if self.memory_hard_limit_mb is None else self.memory_hard_limit_mb

    def environment(self, name: str) -> Environment | None:
        """The environment of that name; None if the installation no longer has it.

        Nothing takes its place: a client that was made to try things must not turn up at the real services.
        """
        return next((e for e in self.all_environments if e.name == name), None)


class SettingsFileReadable(Exception):
    """Others may read the settings file, which holds secrets; the message says what to do."""


class DatabaseNotPrepared(Exception):
    """There is no database's address yet; the message says what to do."""


def load_settings() -> Settings:
    """Read the environment and the file that `FLAME_SETTINGS_FILE` names; the environment wins.

    Without that variable the file of the last `./scripts/start`, if any: commands typed by hand see the same settings.

    Raises:
        SettingsFileReadable: the file's mode lets others read it.
    """
    started_with = REPOSITORY / "var" / "settings.env"
    name = os.environ.get("FLAME_SETTINGS_FILE") or (str(started_with) if started_with.exists() else None)
    if name and (file := Path(name)).exists() and file.stat().st_mode & 0o077:
        raise SettingsFileReadable(f"others may read {file}, which holds secrets: chmod 600 {file}")
    return Settings(_env_file=name or None)


def resolve_mongodb_uri(settings: Settings) -> str:
    """The database's address: `MONGODB_URI`, or else that of the embedded database.

    Raises:
        DatabaseNotPrepared: no address is set and the embedded database was never prepared.
    """
    if settings.mongodb_uri is not None:
        return settings.mongodb_uri.get_secret_value()
    try:
        return (settings.database_directory / "uri").read_text().strip()
    except FileNotFoundError as error:
        raise DatabaseNotPrepared("set MONGODB_URI, or run: python -m control_plane database --prepare") from error
