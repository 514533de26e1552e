"""A stand-in for OpenAI's API: Responses, Conversations, models and transcription, with no account and no network.

It is not OpenAI and has no language model: every response carries the header `x-flame-sandbox`, and an answer comes
from rules over the caller's own instructions (`answers.py`).
"""

from sandbox.openai_api.app import create_app

__all__ = ["create_app"]
