"""The audit log in words: what each act is called, what is said when it was done, and the names of fields."""

from dataclasses import dataclass

from control_plane.audit.models import ActorKind, Outcome
from control_plane.portal.texts import Label
from control_plane.session_text import N_


@dataclass(frozen=True)
class ActText:
    """An act: its name as in "to edit a client", and the sentence when it was done."""

    name: str
    done: str


ACTS: dict[str, ActText] = {
    "session.log-in": ActText(N_("log in"), N_("%(who)s logged in")),
    "session.log-out": ActText(N_("log out"), N_("%(who)s logged out")),
    "account.password": ActText(N_("change one's password"), N_("%(who)s changed their password")),
    "session.password-accepted": ActText(
        N_("give the right password, before the code"), N_("%(who)s gave the right password; the code was asked for")
    ),
    "session.code": ActText(N_("log in with a code"), N_("%(who)s logged in with a code")),
    "session.refresh": ActText(N_("exchange a refresh token"), N_("%(who)s exchanged a refresh token")),
    "account.forgot": ActText(N_("ask for a new password"), N_("%(who)s asked for a new password")),
    "account.reset": ActText(N_("choose a new password by the mail"), N_("%(who)s chose a new password by the mail")),
    "account.welcome": ActText(N_("accept an invitation"), N_("%(who)s accepted the invitation")),
    "account.email": ActText(N_("change one's address"), N_("%(who)s changed their address")),
    "account.sessions": ActText(N_("end a session"), N_("%(who)s ended a session of theirs")),
    "account.second-factor": ActText(N_("begin with a second factor"), N_("%(who)s began to set up a second factor")),
    "account.second-factor.confirm": ActText(
        N_("turn the second factor on"), N_("%(who)s turned their second factor on")
    ),
    "account.second-factor.codes": ActText(N_("make new recovery codes"), N_("%(who)s made new recovery codes")),
    "account.second-factor.off": ActText(
        N_("turn the second factor off"), N_("%(who)s turned their second factor off")
    ),
    "person.invite": ActText(N_("invite a person"), N_("%(who)s invited %(what)s")),
    "person.role": ActText(N_("change a person's role"), N_("%(who)s changed the role of %(what)s")),
    "person.invitation": ActText(
        N_("send a person's invitation again"), N_("%(who)s sent the invitation of %(what)s again")
    ),
    "person.disable": ActText(N_("disable a person"), N_("%(who)s disabled %(what)s")),
    "person.enable": ActText(N_("enable a person"), N_("%(who)s enabled %(what)s")),
    "person.remove": ActText(N_("remove a person"), N_("%(who)s removed %(what)s")),
    "person.second-factor-reset": ActText(
        N_("reset a person's second factor"), N_("%(who)s reset the second factor of %(what)s")
    ),
    "api-key.create": ActText(N_("create an API key"), N_("%(who)s created an API key")),
    "api-key.revoke": ActText(N_("revoke an API key"), N_("%(who)s revoked an API key")),
    "client.create": ActText(N_("create a client"), N_("%(who)s created %(what)s")),
    "client.key-check": ActText(N_("try an OpenAI key"), N_("%(who)s tried an OpenAI key")),
    "client.edit": ActText(N_("edit a client"), N_("%(who)s edited %(what)s")),
    "client.connect": ActText(N_("connect a client"), N_("%(who)s connected %(what)s")),
    "client.disconnect": ActText(N_("disconnect a client"), N_("%(who)s disconnected %(what)s")),
    "client.toggle": ActText(N_("connect or disconnect a client"), N_("%(who)s switched %(what)s")),
    "client.restart": ActText(N_("restart a client"), N_("%(who)s restarted %(what)s")),
    "client.unlink": ActText(N_("log a client's phone out"), N_("%(who)s logged the phone of %(what)s out")),
    "client.release-phone": ActText(N_("release a client's number"), N_("%(who)s released the number of %(what)s")),
    "client.invitation": ActText(N_("send a client's invitation"), N_("%(who)s sent the invitation to %(what)s")),
    "client.rotate-link": ActText(N_("change a client's link"), N_("%(who)s changed the link of %(what)s")),
    "client.export": ActText(N_("export a client's data"), N_("%(who)s exported the data of %(what)s")),
    "contact.export": ActText(N_("export a contact's data"), N_("%(who)s exported the data of a contact of %(what)s")),
    "contact.erase": ActText(N_("erase a contact"), N_("%(who)s erased a contact of %(what)s")),
    "client.delete": ActText(N_("delete a client"), N_("%(who)s asked to delete %(what)s")),
    "client.removed": ActText(N_("finish a deletion"), N_("%(who)s deleted all the data of %(what)s")),
    "assistant.try": ActText(N_("try an assistant"), N_("%(who)s tried the assistant of %(what)s")),
    "chat.assistant": ActText(
        N_("switch the assistant in a chat"), N_("%(who)s switched the assistant in a chat of %(what)s")
    ),
    "message.send": ActText(N_("send a message"), N_("%(who)s sent a message for %(what)s")),
    "cleanup.force": ActText(N_("force the cleanup"), N_("%(who)s forced the cleanup")),
    "cleanup.run": ActText(N_("clean up"), N_("%(who)s cleaned up")),
    "landing.refresh": ActText(N_("ask for a QR code"), N_("%(who)s asked for a QR code of %(what)s")),
    "landing.link-code": ActText(
        N_("ask for a code to type"), N_("%(who)s asked for a code to type on the phone of %(what)s")
    ),
    "audit.export": ActText(N_("export the audit log"), N_("%(who)s exported the audit log")),
    "operator.create-admin": ActText(N_("create the administrator"), N_("%(who)s created or reset the administrator")),
    "operator.create-api-key": ActText(N_("create an API key"), N_("%(who)s created an API key")),
}

WHO: dict[ActorKind, str] = {
    ActorKind.PERSON: "%(name)s",
    ActorKind.CLAIMED: N_("Somebody as %(name)s"),
    ActorKind.VISITOR: N_("A visitor of the link"),
    ActorKind.UNKNOWN: N_("Somebody unknown"),
    ActorKind.OPERATOR: N_("%(name)s, on the server"),
    ActorKind.SYSTEM: N_("The platform"),
}

OUTCOMES: dict[Outcome, Label] = {
    Outcome.DONE: Label(N_("It was done"), "circle-check", "green", N_("%(who)s did this: %(act)s")),
    Outcome.REFUSED: Label(N_("Refused"), "ban", "yellow", N_("%(who)s was not allowed to %(act)s")),
    Outcome.FAILED: Label(N_("It failed"), "circle-x", "red", N_("%(who)s tried to %(act)s and it failed")),
}

VIA: dict[str, str] = {"cookie": N_("the portal"), "key": N_("an API key"), "token": N_("an access token")}

FIELDS: dict[str, str] = {
    "name": N_("name"),
    "email": N_("email"),
    "language": N_("language"),
    "environment": N_("environment"),
    "expected_phone": N_("expected number"),
    "bound_phone": N_("bound number"),
    "retention_hours": N_("hours kept"),
    "wanted": N_("wanted"),
    "restarts": N_("restarts"),
    "deleting": N_("being deleted"),
    "assistant.kind": N_("assistant"),
    "assistant.model": N_("model"),
    "assistant.api_key": N_("key of OpenAI"),
    "assistant.instructions": N_("instructions"),
    "assistant.rules": N_("rules"),
    "assistant.default_answer": N_("default answer"),
    "overrides.takeover_minutes": N_("minutes quiet after a person wrote"),
    "overrides.too_old_minutes": N_("minutes until a message is too old"),
    "overrides.opt_out_words": N_("opt-out words"),
    "overrides.sends_per_minute": N_("messages per minute"),
    "overrides.sends_per_hour": N_("messages per hour"),
    "overrides.sends_per_day": N_("messages per day"),
    "overrides.memory_limit_mb": N_("memory limit in MB"),
    "overrides.whatsapp_web_version": N_("version of WhatsApp Web"),
    "role": N_("role"),
    "disabled": N_("disabled"),
    "second_factor": N_("second factor"),
    "scopes": N_("what it opens"),
    "invitation": N_("invitation"),
    "status": N_("who answers"),
    "trigger": N_("cause"),
    "clients": N_("clients"),
    "messages": N_("messages"),
    "threads": N_("threads"),
    "qr_codes": N_("QR codes of links"),
    "journal_messages": N_("messages in the runners"),
    "journal_threads": N_("threads in the runners"),
    "remote_conversations": N_("conversations at the AI provider"),
    "audit_events": N_("entries of the audit log"),
}

# Words of ours among the values; whatever people typed is shown as it is.
VALUES: dict[str, dict[object, str]] = {
    "wanted": {"connected": N_("connected"), "disconnected": N_("disconnected")},
    "deleting": {True: N_("yes"), False: N_("no")},
    "assistant.kind": {"openai": "OpenAI", "automatic": N_("automatic answers")},
    "status": {
        "automatic": N_("the assistant"),
        "suspended": N_("a person"),
        "human": N_("a person"),
        "waiting": N_("a person"),
    },
    "trigger": {"scheduled": N_("scheduled"), "forced": N_("forced by an administrator")},
}

TARGETS: dict[str, str] = {
    "client_id": N_("Client"),
    "chat_id": N_("Chat"),
    "run_id": N_("Cleanup"),
    "account_id": N_("Account"),
    "account_name": N_("Person"),
    "erasure_id": N_("Erasure"),
    "key_id": N_("API key"),
    "key_name": N_("Name of the key"),
}
