"""HTTP as no library would send it."""

import asyncio
import contextlib

DEADLINE_S = 60.0


async def exchange(port: int, *parts: bytes) -> bytes:
    """Send the parts and read until the server closes; a server that closes early is no error."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            # It did not want all of it: what it said is to be read all the same.
            pass
        try:
            return await read_all(reader)
        finally:
            writer.close()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """All that the server says until it closes, in whatever way it does."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            said += part
    return said


def head(line: str, *headers: str, host: str = "127.0.0.1") -> bytes:
    """A request's head; the server closes after the answer."""
    lines = (f"{line} HTTP/1.1", f"Host: {host}", "Connection: close", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status_of(answer: bytes) -> int:
    """Its status; 0 when nothing came."""
    return int(answer.split(b" ", 2)[1]) if answer else 0
