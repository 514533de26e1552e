"""What pages get to see of the messages that a phone holds."""

from sandbox.whatsapp_web.accounts import Message

_ENVELOPE = ("id", "from", "to", "author", "t", "self", "ack", "notifyName", "seen")


def to_wire(message: Message) -> Message:
    """The message as a page has it: of one that it cannot decrypt yet, only the envelope."""
    if not message.get("undecrypted"):
        return message
    return {**{name: message[name] for name in _ENVELOPE if name in message}, "type": "ciphertext"}
