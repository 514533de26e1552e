"""The texts of chats: kinds of messages, why one was not answered, who answers and why."""

from control_plane.portal.texts import Label
from control_plane.session_text import N_

# The channel's kinds; `chat` is text and needs no name.
KINDS: dict[str, Label] = {
    "image": Label(N_("Image"), "photo", "secondary"),
    "video": Label(N_("Video"), "video", "secondary"),
    "ptt": Label(N_("Voice note"), "microphone", "secondary"),
    "audio": Label(N_("Audio"), "music", "secondary"),
    "document": Label(N_("Document"), "file-text", "secondary"),
    "sticker": Label(N_("Sticker"), "sticker", "secondary"),
    "location": Label(N_("Location"), "map-pin", "secondary"),
    "vcard": Label(N_("Contact"), "address-book", "secondary"),
    "multi_vcard": Label(N_("Contacts"), "address-book", "secondary"),
    "poll_creation": Label(N_("Poll"), "chart-bar", "secondary"),
    "ciphertext": Label(N_("Message that WhatsApp has not decrypted yet"), "lock", "secondary"),
    "call_log": Label(N_("Call"), "phone", "secondary"),
    "product": Label(N_("Product"), "shopping-bag", "secondary"),
    "order": Label(N_("Order"), "shopping-cart", "secondary"),
}
SPOKEN = frozenset({"ptt", "audio"})
# Kinds whose text is data (coordinates, a contact card) and says nothing to a reader.
WITHOUT_WORDS = frozenset({"location", "vcard", "multi_vcard", "sticker", "ciphertext"})

# Why a customer's message has no answer of the assistant. An outcome that is not here is shown as NO_ANSWER.
NO_ANSWER = N_("The assistant did not answer this.")
OUTCOMES: dict[str, str] = {
    "command": N_("An order to the assistant; it was followed."),
    "channel_outage": N_("WhatsApp was down for too long: a person has to answer."),
    "daily_limit": N_("Not answered: the limit of messages per day was reached."),
    "empty": N_("There was no text to answer."),
    "handed_over": N_("The assistant could not answer: a person has to."),
    "loop": N_("Not answered: the chat looks like two machines answering each other."),
    "media_unavailable": N_("Its file could not be opened: a person has to look."),
    "no_answer_expected": N_("It asks for no answer."),
    "nothing_to_answer": N_("There was nothing to answer."),
    "opted_out": N_("Not answered: the customer asked for no automatic answers."),
    "send_failed": N_("WhatsApp did not take the answer: a person has to look."),
    "send_unknown": N_("Nobody knows whether the answer left: a person has to look."),
    "not_sent": N_("The answer was not sent because the assistant was stopped: a person has to answer."),
    "suspended": N_("Not answered: the assistant was paused in this chat."),
    "taken_over": N_("Not answered: a person was answering in this chat."),
    "too_old": N_("Not answered: it arrived too late, after an outage."),
    "undecrypted": N_("WhatsApp has not decrypted it: a person has to look at the phone."),
    "unsupported_kind": N_("The assistant cannot understand this kind of message; the customer was told."),
}
# What needs no words beside the message itself.
SILENT_OUTCOMES = frozenset({"revoked"})

STATUSES: dict[str, Label] = {
    "automatic": Label(N_("The assistant answers"), "robot", "green"),
    "suspended": Label(N_("The assistant is paused here"), "player-pause", "azure"),
    "waiting_for_human": Label(N_("Waits for a person"), "user-question", "orange"),
}
# Why a chat's status is what it is. One that is not here is not explained.
REASONS: dict[str, str] = {
    "agent_wrote": N_("An agent wrote in this chat."),
    "bad_key": N_("OpenAI refused the key."),
    "channel_outage": N_("WhatsApp was down for too long to answer."),
    "daily_limit": N_("The limit of messages per day was reached."),
    "loop": N_("The chat looks like two machines answering each other."),
    "media_unavailable": N_("A file could not be opened."),
    "model_not_found": N_("OpenAI does not know the model."),
    "no_quota": N_("The OpenAI account has no credit left."),
    "opted_out": N_("The customer asked for no automatic answers."),
    "owner": N_("The owner ordered it from the phone."),
    "owner_wrote": N_("The owner wrote in this chat from the phone."),
    "paced": N_("The limits per minute or hour were reached."),
    "portal": N_("Somebody decided it in this portal."),
    "rejected": N_("OpenAI rejected the request."),
    "send_failed": N_("WhatsApp did not take an answer."),
    "send_unknown": N_("Nobody knows whether an answer left."),
    "not_sent": N_("The assistant was stopped before an answer was sent."),
    "suspended": N_("The owner paused the assistant in every chat."),
    "too_old": N_("Messages arrived too late to be answered, after an outage."),
    "unavailable": N_("OpenAI did not answer."),
    "undecrypted": N_("A message could not be decrypted."),
}
