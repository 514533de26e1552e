"""Just enough of Spanish and English to find which sentence a question is about."""

import re
import unicodedata

_STOP_WORDS = {
    "es": "a al algo ante con como cual cuando de del desde el ella en era es esa ese eso esta estan este esto fue hay "
    "hasta la las lo los me mi mis muy no nos o para pero por porque que quien se ser si sin sobre son su sus te tiene "
    "tienen tu un una uno y ya yo hola gracias buenas buenos dia dias tardes noches quiero queria quisiera puedo "
    "pueden podrian podes saber decir favor ustedes vos usted necesito hacen hacer haces tenes tienes cuales ahora",
    "en": "a about an and any are as at be can could did do does for from had has have hello hey hi how i if in is it "
    "its me my no not of on or our please so that the their there they this to us was we what when which who will with "
    "would you your yes thanks thank want know tell need now",
}
STOP_WORDS = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}
_ALL_STOP_WORDS = STOP_WORDS["es"] | STOP_WORDS["en"]

# Words for one thing that customers ask about; a word and a sentence that name the same thing meet.
_TOPICS = {
    "~hours": "horario horarios hora horas abren abre abrimos abris abierto abiertos cierran cierra cerramos cerrado "
    "atienden atendemos atencion hours open opens opening close closed closes closing",
    "~place": "donde direccion ubicacion ubicados quedan queda estamos local calle avenida av where address located "
    "location street",
    "~price": "precio precios cuanto cuesta cuestan sale salen vale valen costo price prices cost costs much",
    "~payment": "pago pagos pagar pagan aceptan aceptamos efectivo tarjeta tarjetas transferencia cuotas pay payment "
    "payments card cards cash",
    "~delivery": "envio envios envian enviamos entrega entregan entregas delivery reparto domicilio deliver ship "
    "shipping ships",
    "~booking": "turno turnos reserva reservar reservas cita citas agendar book booking appointment appointments "
    "reservation",
    "~contact": "telefono mail correo email contacto contactar llamar phone contact call",
}
_TOPIC_OF = {word: topic for topic, words in _TOPICS.items() for word in words.split()}


def fold(text: str) -> str:
    """Lower case without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))


def content_words(text: str) -> frozenset[str]:
    """Stems of the words that mean something, and the topics (`~hours`) that they belong to."""
    words = [word for word in re.findall(r"[a-z0-9]{2,}", fold(text)) if word not in _ALL_STOP_WORDS]
    return frozenset(map(_stem, words)) | {_TOPIC_OF[word] for word in words if word in _TOPIC_OF}


def guess_language(*texts: str) -> str:
    """`es` or `en`, by the first of the texts that is clearly one of them; else `es`."""
    for text in texts:
        words = re.findall(r"[a-z']+", fold(text))
        spanish = sum(word in STOP_WORDS["es"] for word in words) + 2 * len(re.findall(r"[¿¡ñáéíóú]", text.lower()))
        english = sum(word in STOP_WORDS["en"] for word in words)
        if spanish != english:
            return "es" if spanish > english else "en"
    return "es"


def _stem(word: str) -> str:
    """Enough of a stem that "horarios" finds "horario" and "orders" finds "order"."""
    for ending in ("aciones", "ciones", "iendo", "ando", "ing", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 4 and word[-1] in "aeo" else word
