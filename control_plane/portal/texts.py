"""The portal's own tables of texts: what happened after a form, mails, processes, messages, cleanups."""

from dataclasses import dataclass

from control_plane.session_text import N_


@dataclass(frozen=True)
class Label:
    """A short text with its icon and colour; `explanation` says more where there is more to say."""

    text: str
    icon: str
    tone: str
    explanation: str | None = None


# What the next page says after a form: the code travels in a cookie, the text never does.
FLASHES: dict[str, Label] = {
    "client-created": Label(N_("The client was created. Its assistant is being prepared."), "circle-check", "green"),
    "client-saved": Label(N_("Saved. The assistant takes the changes in a moment."), "circle-check", "green"),
    "client-deleted": Label(N_("The client is being deleted: its data goes first, the record last."), "trash", "green"),
    "connecting": Label(N_("Connecting: the assistant starts in a moment."), "player-play", "green"),
    "disconnecting": Label(N_("Disconnecting: the assistant stops in a moment."), "player-pause", "green"),
    "restarting": Label(N_("Restarting: it takes about half a minute."), "refresh", "green"),
    "unlinked": Label(N_("The phone was logged out. The client has to scan again."), "unlink", "green"),
    "unlink-failed": Label(
        N_("The phone could not be logged out now: the assistant's process does not answer. Try again in a minute."),
        "alert-circle",
        "red",
    ),
    "released": Label(N_("The number was released: the next phone that links stays."), "lock-open", "green"),
    "release-failed": Label(
        N_(
            "The number was not released: its phone could not be logged out, because the assistant's process does not "
            "answer. Connect the client, wait until it runs and try again."
        ),
        "alert-circle",
        "red",
    ),
    "assistant-on": Label(N_("The assistant answers in this chat."), "robot", "green"),
    "assistant-off": Label(
        N_("The assistant is paused in this chat until somebody activates it."), "player-pause", "green"
    ),
    "assistant-away": Label(
        N_(
            "Nothing was changed: the client's process does not answer. Connect the client, wait until it runs and "
            "try again."
        ),
        "alert-circle",
        "red",
    ),
    "assistant-refused": Label(
        N_("Nothing was changed: the client's process could not do it now. Try again in a minute."),
        "alert-circle",
        "red",
    ),
    "invitation-queued": Label(N_("The invitation is on its way."), "mail", "green"),
    "link-rotated": Label(N_("The link was changed: the old one does not work any more."), "link", "green"),
    "link-rotated-invited": Label(
        N_("The link was changed, and the new one is on its way by mail: the old one does not work any more."),
        "link",
        "green",
    ),
    "erasure-asked": Label(
        N_("It was erased here; the runner's and the AI provider's part follow in a few seconds."), "eraser", "green"
    ),
    "cleanup-asked": Label(
        N_("The cleanup starts in a few seconds: its record is the first of the list."), "eraser", "green"
    ),
    "password-changed": Label(N_("The password was changed."), "shield-lock", "green"),
    "password-reset": Label(N_("The password was changed. Log in with the new one."), "shield-lock", "green"),
    "email-changed": Label(N_("The email address was changed."), "mail", "green"),
    "sessions-ended": Label(N_("Closed. Whoever was there has to log in again."), "devices", "green"),
    "second-factor-off": Label(N_("Two-step log-in is off."), "shield-off", "yellow"),
    "second-factor-reset": Label(
        N_("Two-step log-in was turned off for that person; they log in with the password alone."),
        "shield-off",
        "green",
    ),
    "person-invited": Label(N_("The invitation is on its way."), "mail", "green"),
    "role-changed": Label(N_("The role was changed; that person logs in again."), "user-check", "green"),
    "person-disabled": Label(N_("The account was disabled: nobody gets in with it."), "user-off", "green"),
    "person-enabled": Label(N_("The account is enabled again."), "user-check", "green"),
    "person-removed": Label(N_("The person was removed."), "trash", "green"),
    "role-too-high": Label(N_("Nobody gives or takes a role above their own."), "alert-circle", "red"),
    "not-oneself": Label(
        N_("Nobody changes their own role or removes themselves: ask another person who may."), "alert-circle", "red"
    ),
    "last-owner": Label(
        N_("The agency needs an owner who can log in: make somebody else owner first."), "alert-circle", "red"
    ),
    "key-revoked": Label(N_("The key was revoked: it opens nothing any more."), "key", "green"),
    "logged-out": Label(N_("You logged out."), "logout", "green"),
    "session-over": Label(N_("Your session ended: log in again."), "clock", "yellow"),
}

MAIL_STATES: dict[str, Label] = {
    "queued": Label(N_("In the queue"), "clock", "azure", N_("It is sent in a moment.")),
    "retrying": Label(
        N_("It will be tried again"), "refresh", "yellow", N_("The mail server did not take it; it is tried again.")
    ),
    "waiting": Label(
        N_("Waiting for a mail server"),
        "mail-pause",
        "yellow",
        N_("No SMTP server is configured: copy the link and send it yourself. The mail goes out once there is one."),
    ),
    "sent": Label(N_("Sent"), "mail-check", "green"),
    "failed": Label(
        N_("Not delivered"), "mail-x", "red", N_("Check the address and the reason below, then send it again.")
    ),
}

AUTHORS: dict[str, str] = {
    "contact": N_("Customer"),
    "assistant": N_("Assistant"),
    "owner": N_("Owner, from the phone"),
    "agent": N_("Agent"),
}

FATES: dict[str, Label] = {
    "pending": Label(N_("sending"), "clock", "secondary"),
    "server": Label(N_("sent"), "check", "secondary"),
    "delivered": Label(N_("delivered"), "checks", "secondary"),
    "read": Label(N_("read"), "eye-check", "green"),
    "failed": Label(N_("not sent"), "alert-circle", "red"),
    "unknown": Label(N_("not confirmed"), "help-circle", "yellow"),
}

PROCESS_STATES: dict[str, str] = {
    "running": N_("Running"),
    "starting": N_("Starting"),
    "stopping": N_("Stopping"),
    "stopped": N_("Stopped"),
    "waiting": N_("Waiting for its turn to start"),
    "crash_loop": N_("Stops again and again"),
    "failed": N_("Does not start"),
    "removing": N_("Being removed"),
    "lost": N_("Not known: the process supervisor does not answer"),
}

KEY_RESULTS: dict[str, Label] = {
    "ok": Label(N_("The key works."), "circle-check", "green"),
    "missing": Label(N_("Write a key to try it."), "alert-circle", "yellow"),
    "bad_key": Label(N_("OpenAI refused the key."), "circle-x", "red"),
    "lost": Label(N_("The stored key cannot be read: write it again."), "alert-circle", "red"),
    "no_quota": Label(N_("The key is right, but its account has no credit."), "alert-triangle", "yellow"),
    "model_not_found": Label(N_("The key is right, but it has no access to that model."), "alert-triangle", "yellow"),
    "unavailable": Label(N_("OpenAI did not answer: try again in a moment."), "cloud-off", "yellow"),
}

CLEANUP_COLUMNS: dict[str, str] = {
    "messages": N_("Messages"),
    "threads": N_("Threads"),
    "remote_conversations": N_("At the AI provider"),
    "journal_messages": N_("In the runners"),
    "qr_codes": N_("QR codes"),
    "audit_events": N_("Audit log"),
}
CLEANUP_CAUSES: dict[str, str] = {"scheduled": N_("scheduled"), "forced": N_("forced by an administrator")}
CLEANUP_STATES: dict[str, Label] = {
    "requested": Label(N_("In the queue"), "clock", "azure"),
    "running": Label(N_("Running"), "loader", "azure"),
    "done": Label(N_("Done"), "circle-check", "green"),
    "partial": Label(N_("Done in part"), "alert-triangle", "yellow"),
    "failed": Label(N_("Failed"), "circle-x", "red"),
}

ERASURE_STATES: dict[str, Label] = {
    "requested": Label(N_("Being erased"), "loader", "azure"),
    "waiting": Label(N_("Not done yet: it is tried again"), "clock", "yellow"),
    "done": Label(N_("Erased"), "circle-check", "green"),
}

# Walls around runners that are not the strongest, by their level.
ISOLATION: dict[str, Label] = {
    "none": Label(
        N_("The clients' assistants are not isolated from each other"),
        "alert-triangle",
        "red",
        N_(
            "Each one runs a browser. Without walls around it, a break-in through one of them reaches the data of all "
            "clients. That is enough to try the platform, not for real clients."
        ),
    ),
    "bubblewrap": Label(
        N_("The clients' assistants are isolated, but share one system account"),
        "alert-triangle",
        "orange",
        N_("Each one sees its own files and processes only. With an account each they would be safer still."),
    ),
    "refused": Label(
        N_("No assistant starts: this machine does not allow the isolation that the settings demand"),
        "alert-triangle",
        "red",
        N_("Nothing is lost: messages wait on WhatsApp. The assistants start by themselves once it is allowed."),
    ),
}
