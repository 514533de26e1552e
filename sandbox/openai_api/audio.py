"""`/v1/audio/transcriptions`: takes a recording and says that it is a demo, since nobody listens."""

from pathlib import PurePath

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.openai_api.catalogue import Catalogue
from sandbox.openai_api.errors import bad_request, unsupported
from sandbox.openai_api.exchange import caller, pretend_to_think
from sandbox.openai_api.items import count_tokens

_FORMATS = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
_TEXTS = {"es": "(demo) Este es un mensaje de voz de prueba.", "en": "(demo) This is a demo voice message."}
_LISTS = (
    "languages",
    "keywords",
    "include",
    "timestamp_granularities",
    "known_speaker_names",
    "known_speaker_references",
)
_FIELDS = frozenset(
    {"file", "model", "language", "prompt", "response_format", "temperature", "stream", "chunking_strategy"}
    | {name for each in _LISTS for name in (each, f"{each}[]")}
)


class Audio:
    """The endpoint."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def routes(self) -> list[Route]:
        """Routes below `/v1`."""
        return [Route("/audio/transcriptions", self.transcribe, methods=["POST"])]

    async def transcribe(self, request: Request) -> Response:
        """A text for a recording, always the same one."""
        caller(request).require_quota()
        async with request.form(max_part_size=32 * 1024 * 1024) as form:
            for field in form:
                if field not in _FIELDS:
                    raise bad_request(f"Unknown parameter: '{field}'.", code="unknown_parameter", param=field)
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise bad_request(
                    "Missing required parameter: 'file'.", code="missing_required_parameter", param="file"
                )
            name = form.get("model")
            if not isinstance(name, str):
                raise bad_request(
                    "Missing required parameter: 'model'.", code="missing_required_parameter", param="model"
                )
            model = self._catalogue.find(name)
            if model is None or not model.hears:
                raise bad_request(f"The model '{name}' does not exist.", code="model_not_found", param="model")
            if PurePath(file.filename or "").suffix.lstrip(".").lower() not in _FORMATS:
                raise bad_request(f"Invalid file format. Supported formats: {list(_FORMATS)}", param="file")
            if not file.size:
                raise bad_request("Audio file is too short. Minimum audio length is 0.1 seconds.", param="file")
            if form.get("stream") in ("true", "True", "1"):
                raise unsupported("stream")
            language = form.get("language") or form.get("languages[]") or form.get("languages") or "es"
            shape = form.get("response_format") or "json"
        await pretend_to_think(request)
        return _answer("en" if language == "en" else "es", str(shape), model_id=model.id)


def _answer(language: str, shape: str, *, model_id: str) -> Response:
    text = _TEXTS[language]
    if shape == "text":
        return PlainTextResponse(text + "\n")
    if shape != "json":
        raise unsupported(f"response_format={shape}")
    tokens = count_tokens(text)
    body = {
        "text": text,
        "usage": {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
            "output_tokens": tokens,
            "total_tokens": 14 + tokens,
        },
    }
    return JSONResponse(body | ({"languages": [{"code": language}]} if model_id == "gpt-transcribe" else {}))
