"""A runner's settings: the few that come from its environment; all else it is told by the control plane."""

import os
from dataclasses import dataclass
from pathlib import Path

from tenant_runner.only_process import CannotStart

REPOSITORY = Path(__file__).resolve().parent.parent
CREDENTIALS_FILE = "runner.json"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class RunnerSettings:
    """Read once in `__main__`, then injected.

    Attributes:
        data_directory: has one directory per client under `clients/`.
        chromium: path of the browser; None takes the first that is installed.
    """

    data_directory: Path = REPOSITORY / "var"
    chromium: Path | None = None
    log_level: str = "INFO"

    @classmethod
    def read(cls) -> "RunnerSettings":
        """From `FLAME_DATA_DIRECTORY`, `FLAME_CHROMIUM` and `FLAME_LOG_LEVEL`.

        Raises:
            CannotStart: one of them is nothing that can be meant.
        """
        directory, chromium = os.environ.get("FLAME_DATA_DIRECTORY"), os.environ.get("FLAME_CHROMIUM")
        level = os.environ.get("FLAME_LOG_LEVEL") or cls.log_level
        if level not in LOG_LEVELS:
            raise CannotStart(f"FLAME_LOG_LEVEL is {level}; it can be {', '.join(LOG_LEVELS)}")
        return cls(
            data_directory=Path(directory) if directory else cls.data_directory,
            chromium=Path(chromium) if chromium else None,
            log_level=level,
        )

    def client_directory(self, client_id: str) -> Path:
        """Where all files of one client are."""
        return self.data_directory / "clients" / client_id
