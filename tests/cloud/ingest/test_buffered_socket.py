"""The buffered socket returns what was sent, in any pieces, with few calls to the operating system."""

import socket
import ssl
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.ingest.buffered_socket import PlainContext, PlainSocket

Pair = tuple[socket.socket, PlainSocket]


def a_pair() -> Pair:
    sender, receiver = socket.socketpair()
    receiver.setblocking(False)
    return sender, PlainContext().wrap_socket(receiver, server_hostname="cloud")


@pytest.fixture
def pair() -> Iterator[Pair]:
    sender, receiver = a_pair()
    with sender, receiver:
        yield sender, receiver


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sent=st.binary(min_size=1, max_size=500), pieces=st.lists(st.integers(1, 200), min_size=1))
def test_any_pieces_give_the_bytes_that_were_sent(pair: Pair, sent: bytes, pieces: list[int]) -> None:
    sender, receiver = pair
    sender.sendall(sent)
    received, number = b"", 0
    while len(received) < len(sent):
        received += receiver.recv(pieces[number % len(pieces)])
        assert receiver.pending() == len(sent) - len(received)
        number += 1
    assert received == sent


def test_an_empty_socket_would_block_and_a_closed_one_ends(pair: Pair) -> None:
    sender, receiver = pair
    with pytest.raises(BlockingIOError):
        receiver.recv(1)
    sender.sendall(b"last")
    sender.close()
    assert receiver.recv(100) == b"last"
    assert receiver.pending() == 0
    assert receiver.recv(1) == b""


def test_the_time_out_and_the_connection_are_taken_over() -> None:
    sender, receiver = socket.socketpair()
    receiver.settimeout(3.0)
    wrapped = PlainContext().wrap_socket(receiver)
    with sender, wrapped:
        assert wrapped.gettimeout() == 3.0
        assert receiver.fileno() == -1
        wrapped.sendall(b"out")
        assert sender.recv(10) == b"out"


def test_paho_finds_nothing_to_verify_without_tls() -> None:
    assert PlainContext.check_hostname == ssl.create_default_context().check_hostname
