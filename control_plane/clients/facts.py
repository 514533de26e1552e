"""A client as the audit log sees it: plain values, lengths of long texts, and of secrets that they are there."""

from control_plane.audit.act import Facts, Withheld
from control_plane.clients.models import Client, StoredOpenAIAssistant


def facts(client: Client) -> Facts:
    """What may be told of a client's record, by field."""
    assistant = client.assistant
    if isinstance(assistant, StoredOpenAIAssistant):
        own: Facts = {
            "assistant.model": assistant.model,
            "assistant.api_key": Withheld(assistant.api_key_encrypted, "secret"),
            "assistant.instructions": Withheld(assistant.instructions, "characters"),
        }
    else:
        own = {
            "assistant.rules": Withheld(assistant.rules, "entries"),
            "assistant.default_answer": Withheld(assistant.default_answer, "characters"),
        }
    overrides = {
        name: ", ".join(value) if isinstance(value, tuple) else value
        for name, value in client.overrides.model_dump().items()
        if value is not None
    }
    return {
        "name": client.name,
        "email": client.email,
        "language": client.language,
        "environment": client.environment,
        "expected_phone": client.expected_phone,
        "bound_phone": client.bound_phone,
        "retention_hours": client.retention_hours,
        "wanted": str(client.wanted),
        "restarts": client.restarts,
        "deleting": client.deleting_since is not None,
        "assistant.kind": assistant.kind,
        **own,
        **{f"overrides.{name}": value for name, value in overrides.items()},
    }
