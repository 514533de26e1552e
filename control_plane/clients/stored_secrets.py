"""A client's secrets in the database: each is bound to its place, so that it decrypts for no other client."""

from control_plane.clients.models import Client, StoredOpenAIAssistant
from control_plane.security import Cipher, place

RUNNER_TOKEN = "runner_token_encrypted"  # noqa: S105 - the name of a field
API_KEY = "assistant.api_key_encrypted"


def encrypt_runner_token(token: str, client_id: str, cipher: Cipher) -> str:
    """The token as it is stored in that client's record."""
    return cipher.encrypt(token, place("clients", client_id, RUNNER_TOKEN))


def read_runner_token(client: Client, cipher: Cipher) -> str:
    """The credential between the client's runner and the control plane.

    Raises:
        CannotDecrypt: its key is lost; `rotate-keys` mends that (503).
    """
    return cipher.decrypt(client.runner_token_encrypted, place("clients", client.id, RUNNER_TOKEN))


def encrypt_api_key(api_key: str, client_id: str, cipher: Cipher) -> str:
    """The client's key at its AI provider as it is stored in that client's record."""
    return cipher.encrypt(api_key, place("clients", client_id, API_KEY))


def read_api_key(client: Client, cipher: Cipher) -> str | None:
    """The client's key at its AI provider; None when its assistant needs none.

    Raises:
        CannotDecrypt: the key that encrypted it is lost: somebody has to write it again (503).
    """
    if not isinstance(client.assistant, StoredOpenAIAssistant):
        return None
    return cipher.decrypt(client.assistant.api_key_encrypted, place("clients", client.id, API_KEY))


def is_api_key_lost(client: Client, cipher: Cipher) -> bool:
    """Whether the client's key at its AI provider has to be written again."""
    if not isinstance(client.assistant, StoredOpenAIAssistant):
        return False
    return not cipher.can_decrypt(client.assistant.api_key_encrypted, place("clients", client.id, API_KEY))
