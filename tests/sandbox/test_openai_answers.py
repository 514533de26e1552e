"""The rules that stand in for a language model."""

import pytest

from sandbox.openai_api.answers import think
from sandbox.openai_api.items import answer, message, text_of
from sandbox.openai_api.store import Item

BAKERY = """Sos el asistente de la Panadería La Espiga. Respondé siempre con amabilidad.
Horario: abrimos de lunes a sábado de 8 a 20 hs.
Estamos en Av. Siempreviva 742, Rosario.
¿Hacen envíos? Sí, enviamos a toda la ciudad por $1500.
El kilo de pan cuesta $2000 y la docena de facturas $4500.
Aceptamos efectivo, tarjeta y Mercado Pago."""
BAKERY_EN = "You are the shop's assistant. We open from 9 to 5. Delivery takes two days. We take cash and cards."


def said(*texts: str) -> list[Item]:
    return [message("user", [{"type": "input_text", "text": text}]) for text in texts]


def reply(*texts: str, instructions: str = BAKERY) -> str:
    return text_of(think(instructions, said(*texts), [], None))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("¿A qué hora abren?", "Horario: abrimos de lunes a sábado de 8 a 20 hs."),
        ("hacen envios??", "Sí, enviamos a toda la ciudad por $1500."),
        ("cuanto sale la docena", "El kilo de pan cuesta $2000 y la docena de facturas $4500."),
        ("¿Cuál es la dirección?", "Estamos en Av. Siempreviva 742, Rosario."),
        ("puedo pagar con tarjeta", "Aceptamos efectivo, tarjeta y Mercado Pago."),
    ],
)
def test_the_best_sentence_of_the_instructions_is_the_answer(question: str, expected: str) -> None:
    assert reply(question) == expected


def test_instructions_to_the_assistant_are_never_quoted() -> None:
    assert reply("¿sos el asistente de la panadería?").startswith("(demo)")


def test_what_nothing_answers_is_labelled_a_demo_in_the_language_of_the_customer() -> None:
    assert (
        reply("¿Tienen tortas?") == "(demo) No encontré una respuesta en mis instrucciones. Recibí: «¿Tienen tortas?»"
    )
    assert reply("Do you have any cakes?").startswith("(demo) I found no answer")
    assert reply("xyzzy", instructions="").startswith("(demo)")


def test_english_is_answered_in_english() -> None:
    assert reply("When do you open?", instructions=BAKERY_EN) == "We open from 9 to 5."
    assert reply("hello", instructions=BAKERY_EN) == "Hello! How can I help you?"
    assert reply("my name is Bob", "what's my name?", instructions=BAKERY_EN).endswith("Your name is Bob.")


def test_a_name_is_remembered_without_the_words_behind_it() -> None:
    before = [*said("Hola, me llamo Ana y quiero pan"), answer("¡Hola!")]
    assert text_of(think("", [*before, *said("¿sabés mi nombre?")], [], None)) == "Te llamás Ana."


def test_every_question_of_a_turn_is_answered_once_and_courtesies_give_way() -> None:
    answers = reply("Hola!", "¿hacen envíos?", "¿envían a domicilio?", "¿a qué hora abren?").splitlines()
    assert answers == ["Sí, enviamos a toda la ciudad por $1500.", "Horario: abrimos de lunes a sábado de 8 a 20 hs."]


def test_what_was_answered_before_is_not_answered_again() -> None:
    items = [*said("¿hacen envíos?"), answer("Sí."), *said("gracias!")]
    assert text_of(think(BAKERY, items, [], None)) == "¡De nada!"
