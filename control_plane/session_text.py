"""What a session's state means in plain words: one table that the portal and the landing page share.

Message ids are English; pages translate them. A text may hold `%(number)s` and the other names of `values()`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tenant_runner.contract import SessionReason

START_TIME = timedelta(seconds=60)
NEVER_HEARD_AFTER = timedelta(seconds=120)


class Situation(StrEnum):
    """All that a client's connection can be, as a person sees it."""

    DELETING = "deleting"
    PAUSED = "paused"
    PREPARING = "preparing"
    SCAN = "scan"
    LINK_CODE = "link_code"
    EXPIRED = "expired"
    SYNCING = "syncing"
    PASSKEY = "passkey"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    WRONG_NUMBER = "wrong_number"
    RECONNECTING = "reconnecting"
    CONFLICT = "conflict"
    RESTRICTED = "restricted"
    UNLINKED = "unlinked"
    PAGE_UNREACHABLE = "page_unreachable"
    PAGE_UNSUPPORTED = "page_unsupported"
    BROWSER_FAILED = "browser_failed"
    SILENT = "silent"
    CRASHING = "crashing"


@dataclass(frozen=True)
class Words:
    """A title and its explanation; `action` says who must do what, None when nobody has to."""

    title: str
    explanation: str
    action: str | None = None


@dataclass(frozen=True)
class SessionText:
    """One row of the table.

    Attributes:
        pill: short name for a list.
        icon: name of a Tabler icon.
        colour: one of `green`, `azure`, `yellow`, `orange`, `red`, `secondary`.
        attention: an admin should look at this client.
        admin: for the portal.
        owner: for the landing page, read by the person whose number it is.
    """

    pill: str
    icon: str
    colour: str
    attention: bool
    admin: Words
    owner: Words


def N_(message: str) -> str:  # noqa: N802 - the name that extraction tools look for
    """Mark a message for the catalogs."""
    return message


SESSION_TEXTS: dict[Situation, SessionText] = {
    Situation.DELETING: SessionText(
        N_("Deleting"),
        "trash",
        "secondary",
        False,
        Words(
            N_("This client is being deleted"),
            N_("Its assistant is being stopped and its data removed, also at the AI provider."),
        ),
        Words(N_("This link is not available"), N_("Ask whoever gave it to you for a new one.")),
    ),
    Situation.PAUSED: SessionText(
        N_("Disconnected"),
        "player-pause",
        "secondary",
        False,
        Words(
            N_("Disconnected by an administrator"),
            N_("The assistant is off and answers nobody. The link with the phone is kept for when you connect again."),
            N_("Press “Connect” to start it again."),
        ),
        Words(
            N_("Your assistant is paused"),
            N_("The agency paused it: nobody is answered automatically for now. You do not have to scan again."),
            N_("If you did not expect this, write to the agency."),
        ),
    ),
    Situation.PREPARING: SessionText(
        N_("Preparing"),
        "loader",
        "azure",
        False,
        Words(
            N_("Preparing the connection"),
            N_("The assistant's browser is starting. It takes less than a minute."),
        ),
        Words(
            N_("Preparing your connection…"),
            N_("In less than a minute you will see a QR code here. Have the phone at hand."),
        ),
    ),
    Situation.SCAN: SessionText(
        N_("Waiting for the scan"),
        "qrcode",
        "orange",
        False,
        Words(
            N_("Waiting for the client to scan the QR code"),
            N_("The code is on the client's landing page."),
            N_("The client has to open the link and scan. Send it again if it got lost."),
        ),
        Words(
            N_("Connect your WhatsApp"),
            N_("Scan this code with the phone that has the WhatsApp of your business."),
        ),
    ),
    Situation.LINK_CODE: SessionText(
        N_("Waiting for the code"),
        "keyboard",
        "orange",
        False,
        Words(
            N_("Waiting for the client to type the code on the phone"),
            N_("The client chose a code instead of the QR; it is on the landing page for three minutes."),
            N_("The client has to type it in WhatsApp on the phone. When it is over, a new one is made there."),
        ),
        Words(
            N_("Type this code on your phone"),
            N_("WhatsApp sends your phone a notice: open it and type the code. If it does not come, do this:"),
        ),
    ),
    Situation.EXPIRED: SessionText(
        N_("Code expired"),
        "clock-off",
        "orange",
        False,
        Words(
            N_("The QR code expired without a scan"),
            N_("No new code is made until the client asks for one on the landing page."),
            N_("The client has to open the link and press “Generate a new code”."),
        ),
        Words(
            N_("The code expired"),
            N_("For your safety the codes last a short time. Generate a new one when you have the phone at hand."),
        ),
    ),
    Situation.SYNCING: SessionText(
        N_("Syncing"),
        "refresh",
        "azure",
        False,
        Words(N_("Linked: WhatsApp is loading the chats"), N_("The assistant starts answering when this ends.")),
        Words(
            N_("Almost ready: loading your chats"),
            N_("The phone is linked. You may close this page: the rest happens by itself."),
        ),
    ),
    Situation.PASSKEY: SessionText(
        N_("Passkey needed"),
        "fingerprint",
        "yellow",
        True,
        Words(
            N_("WhatsApp asks for a passkey on this number"),
            N_(
                "The code was scanned, but WhatsApp wants the owner to confirm with a passkey before it links a device."
            ),
            N_("The client has to confirm it on the phone, then scan a new code."),
        ),
        Words(
            N_("WhatsApp asks for a passkey on this number"),
            N_(
                "On the phone open WhatsApp → Settings → Account → Passkeys and create or confirm yours. "
                "Then come back and generate a new code."
            ),
            N_("You have to confirm it on your phone."),
        ),
    ),
    Situation.CONNECTED: SessionText(
        N_("Connected"),
        "circle-check",
        "green",
        False,
        Words(N_("Connected"), N_("The assistant answers on %(number)s.")),
        Words(
            N_("Your WhatsApp is connected"),
            N_("Your assistant is already answering. You may close this page and use your phone as always."),
        ),
    ),
    Situation.DEGRADED: SessionText(
        N_("Not confirmed"),
        "activity",
        "yellow",
        True,
        Words(
            N_("Connected, but WhatsApp does not answer"),
            N_("The connection looks open, yet the last checks got no answer. Messages may be waiting."),
            N_("It repairs itself in most cases. If it lasts more than ten minutes, press “Restart”."),
        ),
        Words(
            N_("Checking the connection…"),
            N_("WhatsApp is slow to answer, so messages may be waiting. We keep trying by ourselves."),
            N_("You do not have to do anything. If it lasts more than ten minutes, write to the agency."),
        ),
    ),
    Situation.WRONG_NUMBER: SessionText(
        N_("Wrong number"),
        "user-x",
        "red",
        True,
        Words(
            N_("A different number was scanned"),
            N_("Another phone than the expected one scanned the code and was logged out at once."),
            N_("The client has to scan with the right phone, or you correct the expected number under “Edit”."),
        ),
        Words(
            N_("That is another number"),
            N_("We disconnected that phone at once; nothing of it was read."),
            N_("Take the right phone and scan with it. If the number changed, write to the agency."),
        ),
    ),
    Situation.RECONNECTING: SessionText(
        N_("Reconnecting"),
        "wifi-off",
        "yellow",
        False,
        Words(
            N_("Reconnecting"),
            N_("The connection to WhatsApp was lost and is being opened again. Messages are answered when it is back."),
        ),
        Words(
            N_("Reconnecting…"),
            N_("The connection to WhatsApp was cut. We are opening it again by ourselves."),
            N_("You do not have to do anything, nor scan again."),
        ),
    ),
    Situation.CONFLICT: SessionText(
        N_("Open elsewhere"),
        "arrows-exchange",
        "yellow",
        True,
        Words(
            N_("WhatsApp Web was opened in another place with this session"),
            N_("WhatsApp allows one at a time. It is taken back by itself, after a longer wait each time."),
            N_("Close it in the other place, or press “Restart” to take it back now."),
        ),
        Words(
            N_("WhatsApp is open in another place"),
            N_("Another computer took over this session, so the assistant cannot answer."),
            N_("Close it there; we take it back by ourselves. If you did not open it, write to the agency."),
        ),
    ),
    Situation.RESTRICTED: SessionText(
        N_("Restricted by WhatsApp"),
        "ban",
        "red",
        True,
        Words(
            N_("WhatsApp restricted this account"),
            N_("The assistant stopped sending so as not to make it worse. The session is kept."),
            N_("The client has to read the notice in WhatsApp on the phone and ask there for a review."),
        ),
        Words(
            N_("WhatsApp restricted your account"),
            N_("The assistant stopped answering so as not to make it worse."),
            N_("Open WhatsApp on your phone, read the notice and ask for a review."),
        ),
    ),
    Situation.UNLINKED: SessionText(
        N_("Unlinked"),
        "unlink",
        "red",
        True,
        Words(
            N_("The phone is not linked any more"),
            N_("The session was closed from the phone, or you logged it out here."),
            N_("The client has to open the link and scan a new code."),
        ),
        Words(
            N_("Your phone is not linked any more"),
            N_("The session was closed, so the assistant cannot answer."),
            N_("To use it again, generate a code and scan it."),
        ),
    ),
    Situation.PAGE_UNREACHABLE: SessionText(
        N_("WhatsApp unreachable"),
        "cloud-off",
        "red",
        True,
        Words(
            N_("WhatsApp Web cannot be reached"),
            N_("The page did not load in time. It is tried again by itself."),
            N_("If it lasts, check this server's internet connection, DNS and firewall."),
        ),
        Words(
            N_("We cannot reach WhatsApp"),
            N_("We keep trying by ourselves. Come back to this page in a few minutes."),
        ),
    ),
    Situation.PAGE_UNSUPPORTED: SessionText(
        N_("Update needed"),
        "versions-off",
        "red",
        True,
        Words(
            N_("WhatsApp Web changed and this version cannot drive it"),
            N_("The page loaded, but what the assistant needs in it was not found."),
            N_("Update the platform to its newest version."),
        ),
        Words(
            N_("The assistant needs an update"),
            N_("WhatsApp changed something on its side and we have to adapt."),
            N_("The agency is told; you do not have to do anything."),
        ),
    ),
    Situation.BROWSER_FAILED: SessionText(
        N_("Browser failed"),
        "browser-x",
        "red",
        True,
        Words(
            N_("The assistant's browser did not start"),
            N_("The cause is below. It is tried again by itself."),
            N_("Check that the server has free memory and disk, then press “Restart”."),
        ),
        Words(
            N_("We could not prepare your connection"),
            N_("Something failed on our side. We keep trying by ourselves."),
            N_("If it lasts more than ten minutes, write to the agency."),
        ),
    ),
    Situation.SILENT: SessionText(
        N_("No answer"),
        "heart-off",
        "red",
        True,
        Words(
            N_("The assistant's process does not answer"),
            N_("Nothing was heard from it for a while. It is started again by itself if it died."),
            N_("If it lasts more than two minutes, press “Restart”."),
        ),
        Words(
            N_("Checking the connection…"),
            N_("We lost touch with your assistant for a moment and are starting it again."),
        ),
    ),
    Situation.CRASHING: SessionText(
        N_("Stops again and again"),
        "alert-triangle",
        "red",
        True,
        Words(
            N_("The assistant's process stops again and again"),
            N_("It was started several times and ended each time; the next attempts are spaced out."),
            N_("Read the cause below, correct it, then press “Restart”."),
        ),
        Words(
            N_("We could not prepare your connection"),
            N_("Something failed on our side. We keep trying by ourselves."),
            N_("If it lasts more than ten minutes, write to the agency."),
        ),
    ),
}

_OF_REASON = {
    SessionReason.PREPARING: Situation.PREPARING,
    SessionReason.CODE_SHOWN: Situation.SCAN,
    SessionReason.LINK_CODE_SHOWN: Situation.LINK_CODE,
    SessionReason.CODE_EXPIRED: Situation.EXPIRED,
    SessionReason.SYNCING: Situation.SYNCING,
    SessionReason.CONNECTED: Situation.CONNECTED,
    SessionReason.WRONG_NUMBER: Situation.WRONG_NUMBER,
    SessionReason.DEGRADED: Situation.DEGRADED,
    SessionReason.RECONNECTING: Situation.RECONNECTING,
    SessionReason.CONFLICT: Situation.CONFLICT,
    SessionReason.RESTRICTED: Situation.RESTRICTED,
    SessionReason.UNLINKED: Situation.UNLINKED,
    # The admin wants it connected and it is not: the reconciler is about to start it.
    SessionReason.STOPPED: Situation.PREPARING,
    SessionReason.PASSKEY: Situation.PASSKEY,
    SessionReason.PAGE_UNREACHABLE: Situation.PAGE_UNREACHABLE,
    SessionReason.BROWSER_FAILED: Situation.BROWSER_FAILED,
    SessionReason.PAGE_UNSUPPORTED: Situation.PAGE_UNSUPPORTED,
}

# What is tried again by itself: pages say which attempt it is and when the next one begins.
TRIED_AGAIN = frozenset(
    {Situation.RECONNECTING, Situation.CONFLICT, Situation.PAGE_UNREACHABLE, Situation.BROWSER_FAILED}
)

# Steps of STARTING in their order: what the bar of the landing page shows.
PHASES: dict[str | None, tuple[str, int]] = {
    None: (N_("Reserving a place for your assistant"), 10),
    "browser": (N_("Starting the browser"), 30),
    "page": (N_("Opening WhatsApp"), 60),
    "login": (N_("Asking WhatsApp for the code"), 85),
}

ASSISTANT_PROBLEMS: dict[str, Words] = {
    "bad_key": Words(
        N_("OpenAI refused the key"),
        N_("Customers read the apology instead of an answer."),
        N_("Write a valid key under “Edit” and try it there."),
    ),
    "no_quota": Words(
        N_("The OpenAI account has no credit left"),
        N_("Customers read the apology instead of an answer."),
        N_("Add credit or raise the limit in OpenAI's billing page; it recovers by itself."),
    ),
    "model_not_found": Words(
        N_("OpenAI does not know that model"),
        N_("The key may have no access to it, or it was withdrawn."),
        N_("Choose another model under “Edit”."),
    ),
    "unavailable": Words(
        N_("OpenAI does not answer"),
        N_("It is tried again with each message and recovers by itself."),
        N_("If it lasts, look at status.openai.com and at this server's internet connection."),
    ),
    "rejected": Words(
        N_("OpenAI rejected the request"),
        N_("Customers read the apology instead of an answer."),
        N_("Read its words below; the instructions or the model usually need a change under “Edit”."),
    ),
}

KEY_LOST = Words(
    N_("The stored OpenAI key cannot be read"),
    N_("The key that encrypted it is lost. A running process goes on; started anew, it cannot answer."),
    N_("Write the OpenAI key again under “Edit”."),
)


def find_situation(
    *,
    deleting: bool,
    wanted: bool,
    reason: SessionReason,
    heard_at: datetime | None,
    changed_at: datetime,
    crashing: bool,
    starting: bool,
    lost_after: timedelta,
    now: datetime,
) -> Situation:
    """The row of the table for a client.

    Args:
        wanted: the admin wants it connected.
        reason: what its runner said last.
        heard_at: when the runner spoke last; None if it never did.
        changed_at: when an admin changed the client last: a runner gets time to start after that.
        crashing: its process ends each time that it is started.
        starting: its process is about to start, or starts now.
        lost_after: silence that means that the process is gone.
    """
    if deleting:
        return Situation.DELETING
    if not wanted:
        return Situation.PAUSED
    if crashing:
        return Situation.CRASHING
    if heard_at is None:
        # Before the reconciler saw it nothing is known of it; after two minutes something is wrong.
        return Situation.PREPARING if starting or now - changed_at < NEVER_HEARD_AFTER else Situation.SILENT
    if now - heard_at > lost_after:
        return Situation.PREPARING if starting or now - changed_at < START_TIME else Situation.SILENT
    return _OF_REASON[reason]
