"""Checking a client's OpenAI key, and choosing the model, by one call that costs nothing: the list of models."""

import re
import time
from dataclasses import dataclass
from typing import Literal

import httpx2

DEFAULT_MODEL = "gpt-6-luna"
# In order of preference: cheap models with vision and tools first.
PREFERRED_MODELS = (DEFAULT_MODEL, "gpt-6.1-terra", "gpt-5-mini", "gpt-4o-mini")
TIMEOUT_S = 15.0
FAR_AWAY_S = 90 * 24 * 3600


@dataclass(frozen=True)
class KeyCheck:
    """What OpenAI said of a key.

    Attributes:
        valid: None when nobody could tell (no answer, or an answer that says nothing of the key).
        problem: `bad_key`, `no_quota`, `unavailable`, or None.
        models: ids that the key may use.
        chosen: the best of the preferred models among them; the first preference when unknown.
    """

    valid: bool | None
    problem: Literal["bad_key", "no_quota", "unavailable"] | None = None
    models: tuple[str, ...] = ()
    chosen: str = DEFAULT_MODEL


async def check_key(api_key: str, base_url: str) -> KeyCheck:
    """Ask for the models that the key may use; never raises for what the network or OpenAI does."""
    if not re.fullmatch(r"[!-~]+", api_key):
        # No header can carry it: it was not copied from OpenAI's page alone.
        return KeyCheck(valid=False, problem="bad_key")
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT_S) as client:
            response = await client.get(f"{base_url}/models", headers={"Authorization": f"Bearer {api_key}"})
        if response.status_code in (401, 403):
            return KeyCheck(valid=False, problem="bad_key")
        if response.status_code == 429:
            return KeyCheck(valid=True, problem="no_quota")
        if response.status_code != 200:
            return KeyCheck(valid=None, problem="unavailable")
        listed = {str(model["id"]): model.get("shutdown_date") for model in response.json()["data"]}
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, UnicodeError):
        return KeyCheck(valid=None, problem="unavailable")
    lasting = [name for name in PREFERRED_MODELS if name in listed and _lasts(listed[name])]
    return KeyCheck(valid=True, models=tuple(sorted(listed)), chosen=lasting[0] if lasting else DEFAULT_MODEL)


def _lasts(shutdown_date: object) -> bool:
    """Whether a model is there for a while: its date is null or far (a date in ISO form, or seconds since 1970)."""
    if shutdown_date is None:
        return True
    horizon = time.time() + FAR_AWAY_S
    if isinstance(shutdown_date, int | float):
        return shutdown_date > horizon
    return str(shutdown_date)[:10] > time.strftime("%Y-%m-%d", time.gmtime(horizon))
