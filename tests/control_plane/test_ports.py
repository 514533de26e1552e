import socket

from control_plane.ports import is_free
from tests.conftest import find_free_port


def test_a_port_is_free_until_somebody_listens_and_again_afterwards() -> None:
    port = find_free_port()
    assert is_free(port)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert not is_free(port)
    assert is_free(port)


def test_a_port_that_is_taken_on_every_address_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert not is_free(listener.getsockname()[1])


def test_a_connection_that_is_still_closing_does_not_keep_a_port_taken() -> None:
    port = find_free_port()
    listener = socket.create_server(("127.0.0.1", port))
    with socket.create_connection(("127.0.0.1", port)):
        accepted, _ = listener.accept()
        accepted.close()
    listener.close()
    assert is_free(port)
