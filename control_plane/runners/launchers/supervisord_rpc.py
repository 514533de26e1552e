"""Calls to supervisord's XML-RPC interface over its Unix socket."""

import asyncio
import functools
import http.client
import socket
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from supervisor.xmlrpc import Faults, SupervisorTransport

from control_plane.runners.launchers.base import LauncherUnavailable

CALLS_AT_ONCE = 4


class SupervisordFault(Exception):
    """supervisord answered with one of its fault codes (`supervisor.xmlrpc.Faults`)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(SupervisorTransport):  # type: ignore[misc]
    """Supervisor's transport, whose own connection would wait for ever."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__(serverurl=f"unix://{path}")
        self._get_connection = functools.partial(_Connection, path, timeout_s)


class SupervisordRpc:
    """Each call has a fresh proxy (a transport is not thread-safe and stays broken after an error), in own threads."""

    def __init__(self, path: Path, *, timeout_s: float = 8.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="supervisord")

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call `supervisor.<method>`, or with a dot in it one of another interface.

        Raises:
            SupervisordFault: supervisord refused; see its code.
            LauncherUnavailable: no answer: not running, shutting down, hung, or not supervisord.
        """
        call = asyncio.get_running_loop().run_in_executor(self._threads, self._call, method, *arguments)
        try:
            # The socket's timeout bounds each read and so frees the thread; this one bounds the whole call.
            return await asyncio.wait_for(call, self._timeout_s * 2)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:
                raise LauncherUnavailable("supervisord is shutting down") from fault
            raise SupervisordFault(fault.faultCode, fault.faultString) from fault
        except TimeoutError as error:
            raise LauncherUnavailable(f"supervisord did not answer within {self._timeout_s:g} s") from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise LauncherUnavailable(f"supervisord does not run: nobody listens at {self._path}") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
            raise LauncherUnavailable(f"supervisord did not answer properly: {type(error).__name__}") from error

    def close(self) -> None:
        """Free the threads; calls under way end by their timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = _Transport(self._path, self._timeout_s)
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
                return getattr(proxy, method if "." in method else f"supervisor.{method}")(*arguments)
        finally:
            transport.close()
