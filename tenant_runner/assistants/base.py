"""What an assistant is to the rest of the runner, whoever provides it."""

from dataclasses import dataclass
from typing import Literal, Protocol

from tenant_runner.journal import Line
from tenant_runner.journal.threads import RemoteConversation

Problem = Literal["bad_key", "no_quota", "model_not_found", "unavailable", "rejected"]


@dataclass(frozen=True)
class Question:
    """What to answer.

    Attributes:
        history: the chat before, oldest first.
        new: what the customer wrote since they were last answered, oldest first; never empty.
    """

    chat_id: str
    history: tuple[Line, ...]
    new: tuple[Line, ...]


class AssistantFailure(Exception):
    """No answer. `detail` has the provider's words: for admins and logs, never for a customer."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unavailable(AssistantFailure):
    """The provider is down, slow or overloaded: the same question may be answered later."""

    def __init__(self, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TenantProblem(AssistantFailure):
    """Key, quota or model: nothing is answered until somebody changes something."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class Rejected(AssistantFailure):
    """This question cannot be answered; others can. `by_policy` says that the provider answered, with a refusal."""

    def __init__(self, detail: str, *, by_policy: bool = False) -> None:
        super().__init__(detail)
        self.by_policy = by_policy


class Assistant(Protocol):
    """Answers chats; one at a time for each chat, several chats at once."""

    key_fingerprint: str
    """Tells conversations of one API key from those of another; empty for an assistant without remote parts."""
    sees: bool
    """Whether it takes pictures."""
    hears: bool
    """Whether it can transcribe recordings."""

    async def answer(self, question: Question) -> str:
        """The text to send; never empty.

        Raises:
            Unavailable: try again later.
            TenantProblem: somebody must act.
            Rejected: this question has no answer.
        """
        ...

    async def transcribe(self, recording: bytes, mimetype: str | None, language: str) -> str:
        """What is said in a recording; never empty. Only asked of an assistant that `hears`.

        Args:
            recording: the file.
            mimetype: its media type, where that is known.
            language: the one to expect, as `es`.

        Raises:
            Unavailable: try again later.
            TenantProblem: somebody must act.
            Rejected: it cannot be understood.
        """
        ...

    async def forget(self, remote: RemoteConversation) -> None:
        """Delete a conversation and its responses at the provider; one that is gone already is fine.

        Raises:
            AssistantFailure: it may still exist; call again later.
        """

    async def close(self) -> None:
        """Let go of connections."""
