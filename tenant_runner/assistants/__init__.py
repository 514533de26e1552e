"""Assistants by the `kind` of their configuration; a new one is a module and a line here."""

from collections.abc import Callable

from tenant_runner.assistants.automatic import AutomaticReplies
from tenant_runner.assistants.base import Assistant
from tenant_runner.contract import AssistantConfig, AutomaticAssistant, OpenAIAssistant
from tenant_runner.journal.threads import Threads


def _openai(config: AssistantConfig, threads: Threads) -> Assistant:
    # Importing the SDK costs a second and 50 MB: only those pay who use it.
    from tenant_runner.assistants.openai import OpenAIReplies

    assert isinstance(config, OpenAIAssistant)  # noqa: S101 (the registry's key says so)
    return OpenAIReplies(config, threads)


def _automatic(config: AssistantConfig, threads: Threads) -> Assistant:
    assert isinstance(config, AutomaticAssistant)  # noqa: S101 (the registry's key says so)
    return AutomaticReplies(config)


ASSISTANTS: dict[str, Callable[[AssistantConfig, Threads], Assistant]] = {
    "openai": _openai,
    "automatic": _automatic,
}
