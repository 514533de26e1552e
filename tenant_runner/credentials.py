"""Who this runner is."""

from pathlib import Path

from pydantic import ValidationError

from tenant_runner.contract import RunnerCredentials
from tenant_runner.only_process import CannotStart
from tenant_runner.settings import CREDENTIALS_FILE


def read_credentials(directory: Path, client_id: str) -> RunnerCredentials:
    """Read the client's `runner.json`.

    Raises:
        CannotStart: it is not there, not readable or of another client.
    """
    path = directory / CREDENTIALS_FILE
    try:
        credentials = RunnerCredentials.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        # The errors' own text would have the token in it.
        raise CannotStart(f"{path} has {error.error_count()} errors") from None
    if credentials.client_id != client_id:
        raise CannotStart(f"{path} is of another client")
    return credentials
