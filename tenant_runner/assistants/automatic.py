"""Answers by keyword rules; needs no account anywhere."""

from tenant_runner.assistants.base import Question, Rejected
from tenant_runner.contract import AutomaticAssistant
from tenant_runner.journal.threads import RemoteConversation
from tenant_runner.words import contains_words, fold


class AutomaticReplies:
    """The first rule with a keyword in what was written wins."""

    key_fingerprint = ""
    sees = False
    hears = False

    def __init__(self, config: AutomaticAssistant) -> None:
        self._rules = [([fold(keyword) for keyword in rule.keywords], rule.answer) for rule in config.rules]
        self._default_answer = config.default_answer

    async def answer(self, question: Question) -> str:
        """The first matching rule's answer, else the default one."""
        text = fold("\n".join(line.text for line in question.new))
        for keywords, answer in self._rules:
            if any(contains_words(text, keyword) for keyword in keywords):
                return answer
        return self._default_answer

    async def transcribe(self, recording: bytes, mimetype: str | None, language: str) -> str:
        """Rules cannot listen."""
        raise Rejected("rules cannot listen")

    async def forget(self, remote: RemoteConversation) -> None:
        """Nothing is kept anywhere."""

    async def close(self) -> None:
        """Nothing is open."""
