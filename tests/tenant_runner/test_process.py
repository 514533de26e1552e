"""The runner as a process, against the WhatsApp stand-in in a real browser."""

from collections.abc import Callable

from tests.conftest import wait_for
from tests.tenant_runner.control_plane import FakeControlPlane
from tests.tenant_runner.installation import RunnerProcess, Sandbox

CUSTOMER = "5491155550001"


async def test_a_scanned_runner_answers_and_tells_the_control_plane(
    runner: RunnerProcess, sandbox: Sandbox, control_plane: FakeControlPlane, new_number: Callable[[], str]
) -> None:
    phone = sandbox.phone(new_number())
    runner.start()
    session = await runner.link(phone)
    assert session.phone == phone.number
    phone.incoming(CUSTOMER, "¿A qué hora abren?", pushname="Ana")
    await wait_for(lambda: phone.sent(CUSTOMER) == ["Abrimos de 9 a 18."], deadline_s=30)
    await wait_for(lambda: len(control_plane.messages()) == 2, deadline_s=15)
    question, answer = control_plane.messages()
    assert (question.author, question.contact_name, question.contact_phone) == ("contact", "Ana", CUSTOMER)
    assert (answer.author, answer.in_reply_to) == ("assistant", (question.message_id,))
    await wait_for(lambda: control_plane.acks(answer.message_id)[:2] == ["server", "delivered"], deadline_s=15)
    assert await runner.stop() == 0
    assert runner.browsers() == []
    assert control_plane.session is not None
    assert control_plane.session.state == "STOPPED"
