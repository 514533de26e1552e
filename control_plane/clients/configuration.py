"""What a client's runner is told: the client, its environment, and the installation's settings, made one."""

from http import HTTPStatus
from typing import TypeVar

from pydantic import SecretStr

from control_plane.clients.models import Client, Language, StoredOpenAIAssistant
from control_plane.clients.stored_secrets import read_api_key
from control_plane.errors import Problem
from control_plane.security import Cipher
from control_plane.settings import Environment, Settings
from tenant_runner.contract import AutomaticAssistant, OpenAIAssistant, Pacing, RunnerConfig, WhatsAppWebChannel

T = TypeVar("T")

# What customers read of the platform's own, in the client's language.
FALLBACK_TEXTS: dict[Language, str] = {
    "es": "Recibimos tu mensaje. Ahora no podemos responder automáticamente; te escribimos en cuanto podamos.",
    "en": "We got your message. We cannot answer automatically right now; we will write to you as soon as we can.",
}
UNSUPPORTED_TEXTS: dict[Language, str] = {
    "es": "No puedo abrir este tipo de mensaje. ¿Me lo podés contar por escrito?",
    "en": "I cannot open this kind of message. Could you write it to me instead?",
}
APOLOGY_TEXTS: dict[Language, str] = {
    "es": "Perdón por la demora: tuvimos un problema técnico y no pudimos responderte a tiempo. "
    "Si todavía lo necesitás, escribinos de nuevo.",
    "en": "Sorry for the delay: we had a technical problem and could not answer you in time. "
    "If you still need it, write to us again.",
}
OPT_OUT_TEXTS: dict[Language, str] = {
    "es": "Listo: ya no vas a recibir respuestas automáticas en este chat.",
    "en": "Done: you will get no more automatic answers in this chat.",
}


class UnknownEnvironment(Problem):
    """This installation has no such environment."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "/problems/unknown-environment"
    title = "Unknown environment"


def find_environment(name: str, settings: Settings) -> Environment:
    """The environment of that name.

    Raises:
        UnknownEnvironment: not one of the installation's (422).
    """
    environment = settings.environment(name)
    if environment is None:
        raise UnknownEnvironment
    return environment


def runner_config(client: Client, *, cipher: Cipher, settings: Settings) -> RunnerConfig:
    """What the client's runner needs to know, its secret in the clear: only for the runner's own token.

    Raises:
        UnknownEnvironment: the installation no longer has the client's (422).
        CannotDecrypt: the key that encrypted the client's secret is lost (503).
    """
    environment, own = find_environment(client.environment, settings), client.overrides
    return RunnerConfig(
        client_id=client.id,
        revision=client.revision,
        name=client.name,
        language=client.language,
        channel=WhatsAppWebChannel(
            url=environment.whatsapp_web_url,
            browser_arguments=environment.browser_arguments,
            expected_phone=client.expected_phone,
            bound_phone=client.bound_phone,
            page_version=own.whatsapp_web_version or settings.whatsapp_web_version,
        ),
        assistant=_assistant(client, environment, cipher),
        debounce_s=settings.debounce_s,
        debounce_cap_s=settings.debounce_cap_s,
        fallback_text=FALLBACK_TEXTS[client.language],
        unsupported_text=UNSUPPORTED_TEXTS[client.language],
        apology_text=APOLOGY_TEXTS[client.language],
        opt_out_text=OPT_OUT_TEXTS[client.language],
        too_old_s=_own_or(own.too_old_minutes, settings.too_old_minutes) * 60,
        takeover_s=_own_or(own.takeover_minutes, settings.takeover_minutes) * 60,
        opt_out_words=_own_or(own.opt_out_words, settings.opt_out_words),
        loop_limit=settings.loop_limit,
        pacing=Pacing(
            per_minute=_own_or(own.sends_per_minute, settings.sends_per_minute),
            per_hour=_own_or(own.sends_per_hour, settings.sends_per_hour),
            per_day=_own_or(own.sends_per_day, settings.sends_per_day),
            gap_s=settings.send_gap_s,
            typing_s=settings.typing_s,
        ),
        memory_limit_mb=_own_or(own.memory_limit_mb, settings.memory_limit_mb) or None,
    )


def _own_or(own: T | None, shared: T) -> T:
    """The client's own value, else the installation's; zero and nothing at all are values too."""
    return shared if own is None else own


def _assistant(client: Client, environment: Environment, cipher: Cipher) -> OpenAIAssistant | AutomaticAssistant:
    if not isinstance(client.assistant, StoredOpenAIAssistant):
        return AutomaticAssistant(rules=client.assistant.rules, default_answer=client.assistant.default_answer)
    return OpenAIAssistant(
        api_key=SecretStr(read_api_key(client, cipher) or ""),
        base_url=environment.openai_base_url,
        model=client.assistant.model,
        instructions=client.assistant.instructions,
    )
