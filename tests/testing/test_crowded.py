"""The server under our fakes takes a crowd of callers before it has answered one of them."""

import socket
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

from modelward.testing import CrowdedServer


def test_a_crowd_gets_in_before_anyone_is_answered() -> None:
    """Forty connections are there while nobody accepts them; with the usual five some would wait a second or more."""
    with CrowdedServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.server_port), timeout=0.5))
