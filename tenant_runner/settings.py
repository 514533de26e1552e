"""A runner's settings: the few that come from its environment; all else it is told by the control plane."""

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


class RunnerSettings(BaseSettings):
    """Read once in `__main__`, then injected.

    Attributes:
        data_directory: has one directory per client under `clients/`.
        chromium: path of the browser; None takes the first that is installed.
    """

    model_config = SettingsConfigDict(env_prefix="FLAME_", env_file=None, extra="ignore", frozen=True)

    data_directory: Path = REPOSITORY / "var"
    chromium: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def client_directory(self, client_id: str) -> Path:
        """Where all files of one client are."""
        return self.data_directory / "clients" / client_id
