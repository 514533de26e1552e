"""What stands in for the language model: rules over the caller's own instructions, the same answer every time.

An answer is the sentence of the instructions that shares most words with the question. It remembers a name, greets,
and says honestly that it is a demo when nothing fits.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.openai_api.items import answer, function_call, text_of
from sandbox.openai_api.requests import Tool
from sandbox.openai_api.store import Item
from sandbox.openai_api.words import content_words, fold, guess_language

_ABBREVIATIONS = ("av.", "sr.", "sra.", "dr.", "dra.", "mr.", "mrs.", "st.", "tel.", "hs.", "nro.", "no.", "ej.")
# Sentences that tell the assistant how to behave are not answers to a customer.
_DIRECTIVE = re.compile(
    r"^(sos|eres|actua|responde|contesta|saluda|habla|usa|evita|nunca|siempre|si (te|no)|no (respondas|inventes|uses|"
    r"digas|hables)|tu (tarea|rol|nombre)|you are|act as|answer|reply|respond|always|never|do not|don't|be|use|"
    r"if (you|asked)|your (task|role|name|job))\b"
)
_NAME = re.compile(
    r"\b(?i:me llamo|mi nombre es|my name is|i am called|call me)\s+([^\W\d_][\w'-]*(?:\s+[A-ZÁÉÍÓÚÑ][\w'-]+)?)"
)
_ASKS_NAME = re.compile(
    r"(como me llamo|cual es mi nombre|(sabes|recordas|recuerdas) (mi nombre|como me llamo)|what(?:'s| is) my name"
    r"|(know|remember) my name)"
)
_GREETING = re.compile(
    r"^\W*(hola|buenas|buen dia|buenos dias|buenas tardes|buenas noches|hello|hi|hey|good morning)\b"
)
_THANKS = re.compile(r"\b(gracias|thanks|thank you)\b")

_TEXTS = {
    "es": {
        "nice": "¡Mucho gusto, {name}!",
        "name": "Te llamás {name}.",
        "no_name": "Todavía no me dijiste tu nombre.",
        "hello": "¡Hola! ¿En qué te puedo ayudar?",
        "hello_name": "¡Hola, {name}! ¿En qué te puedo ayudar?",
        "thanks": "¡De nada!",
        "image": "(demo) Recibí una imagen, pero este asistente de prueba no puede verla.",
        "nothing": "(demo) No encontré una respuesta en mis instrucciones. Recibí: «{text}»",
        "tool": "Esto es lo que encontré: {output}",
    },
    "en": {
        "nice": "Nice to meet you, {name}!",
        "name": "Your name is {name}.",
        "no_name": "You have not told me your name yet.",
        "hello": "Hello! How can I help you?",
        "hello_name": "Hello, {name}! How can I help you?",
        "thanks": "You are welcome!",
        "image": "(demo) I received an image, but this demo assistant cannot see it.",
        "nothing": '(demo) I found no answer in my instructions. I received: "{text}"',
        "tool": "Here is what I found: {output}",
    },
}


@dataclass(frozen=True)
class _Sentence:
    text: str
    words: frozenset[str]
    reply: str


def think(instructions: str, items: Sequence[Item], tools: Sequence[Tool], tool_choice: object) -> Item:
    """The next item of a conversation, given all of it, oldest first: an answer, or the call of a function."""
    turn = _turn(items)
    said = [text_of(item) for item in items if item["type"] == "message" and item["role"] == "user"]
    language = guess_language(" ".join(turn), " ".join(said), instructions)
    texts = _TEXTS[language]
    if items and items[-1]["type"] == "function_call_output":
        return answer(texts["tool"].format(output=_words_of(items[-1]["output"])))
    if call := _choose_function(" ".join(turn), tools, tool_choice):
        return call
    system = [text_of(item) for item in items if item["type"] == "message" and item["role"] in ("system", "developer")]
    sentences = _sentences("\n".join([instructions, *system]))
    replies: list[str] = []
    greetings: list[str] = []
    for text in turn:
        reply, is_courtesy = _reply(text, said, sentences, texts)
        kind = greetings if is_courtesy else replies
        if reply not in kind:
            kind.append(reply)
    if not replies and not greetings:
        has_image = any(_has_image(item) for item in items[-1:])
        replies = [texts["image"] if has_image else texts["nothing"].format(text="")]
    return answer("\n".join(replies or greetings[-1:]))


def _turn(items: Sequence[Item]) -> list[str]:
    """Texts of the user since the assistant last spoke, oldest first."""
    texts: list[str] = []
    for item in reversed(items):
        if item["type"] != "message" or item["role"] == "assistant":
            break
        if item["role"] == "user" and (text := text_of(item).strip()):
            texts.insert(0, text)
    return texts


def _reply(text: str, said: Sequence[str], sentences: Sequence[_Sentence], texts: dict[str, str]) -> tuple[str, bool]:
    """The answer to one message, and whether it is a mere courtesy that a real answer beside it makes needless."""
    folded = fold(text)
    name = _remembered_name(said)
    if _ASKS_NAME.search(folded):
        return (texts["name"].format(name=name) if name else texts["no_name"]), False
    found = _best_sentence(text, sentences)
    if found:
        return found, False
    if introduced := _NAME.search(text):
        return texts["nice"].format(name=introduced[1]), False
    if _GREETING.search(folded):
        return (texts["hello_name"].format(name=name) if name else texts["hello"]), True
    if _THANKS.search(folded):
        return texts["thanks"], True
    return texts["nothing"].format(text=text), False


def _remembered_name(said: Sequence[str]) -> str | None:
    return next((found[1] for text in reversed(said) if (found := _NAME.search(text))), None)


def _best_sentence(question: str, sentences: Sequence[_Sentence]) -> str | None:
    """The sentence that shares the rarest words with the question; the first of equals."""
    asked = content_words(question)
    spread = Counter(word for sentence in sentences for word in sentence.words)
    best, best_score = None, 0.0
    for sentence in sentences:
        shared = asked & sentence.words
        score = sum(math.log(1 + len(sentences) / spread[word]) for word in shared) / (1 + 0.02 * len(sentence.words))
        if score > best_score:
            best, best_score = sentence.reply, score
    return best


def _sentences(instructions: str) -> list[_Sentence]:
    found: list[_Sentence] = []
    for line in instructions.splitlines():
        pieces = _split(line.strip().lstrip("-*•#> ").strip())
        for index, piece in enumerate(pieces):
            if _DIRECTIVE.match(fold(piece)):
                continue
            # "¿Hacen envíos? Sí, a todo el país.": the question is what matches, what follows it is the answer.
            reply = " ".join(pieces[index + 1 :]) if piece.endswith("?") and index + 1 < len(pieces) else piece
            found.append(_Sentence(piece, content_words(piece), reply))
    return found


def _split(line: str) -> list[str]:
    pieces: list[str] = []
    for piece in re.split(r"(?<=[.!?])\s+", line):
        if pieces and pieces[-1].lower().endswith(_ABBREVIATIONS):
            pieces[-1] += f" {piece}"
        elif piece:
            pieces.append(piece)
    return pieces


def _choose_function(question: str, tools: Sequence[Tool], choice: Any) -> Item | None:
    functions = [tool for tool in tools if tool.type == "function" and tool.name]
    if not functions or choice == "none":
        return None
    if isinstance(choice, dict):
        chosen = next((tool for tool in functions if tool.name == choice.get("name")), None)
    else:
        asked = content_words(question)
        chosen = next((tool for tool in functions if asked & content_words((tool.name or "").replace("_", " "))), None)
        if chosen is None and choice == "required":
            chosen = functions[0]
    if chosen is None or chosen.name is None:
        return None
    number = re.search(r"\d+", question)
    arguments: dict[str, Any] = {}
    properties = (chosen.parameters or {}).get("properties")
    for name, schema in (properties if isinstance(properties, dict) else {}).items():
        is_number = isinstance(schema, dict) and schema.get("type") in ("integer", "number")
        arguments[name] = (int(number[0]) if number else 0) if is_number else (number[0] if number else question)
    return function_call(chosen.name, arguments)


def _has_image(item: Item) -> bool:
    return item["type"] == "message" and any(part["type"] == "input_image" for part in item["content"])


def _words_of(output: object) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
