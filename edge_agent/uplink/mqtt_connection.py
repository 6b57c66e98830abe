"""MQTT connection: one session after the other, until the agent stops. It is independent of lanes.

What flows in: messages to publish. What flows out: events in a queue, for the agent's own thread: connected,
disconnected, message acknowledged by the broker, message received. MQTT 5 is tried first, then 3.1.1. Each session has
its own client, so that no state of the last one remains.
"""

import logging
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.uplink.backoff import Backoff

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 30.0  # time for CONNACK after the TCP connection is open
PROBE_WITHIN_S = 2.0  # to the first CONNECT of MQTT 5: some brokers of 3.1.1 do not answer instead of refusing it
CHECK_THREAD_S = 300.0  # how often to check that the network thread is alive
STOP_WITHIN_S = 10.0  # a connection attempt can't be aborted, and must not delay closing the outbox
QUEUED = 64  # messages paho may hold; a refused one is sent later
_OFF_DATE = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED, X509_STORE_CTX_get_error(3)
_REFUSES_VERSION = "Unsupported protocol version"
_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120  # offset of tcpi_bytes_acked in struct tcp_info, linux/tcp.h, since Linux 4.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Address of the broker, and credentials. TLS is used or not; there is no fallback."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    keepalive_s: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted the connection. `packet_bytes` is the largest packet it accepts, where it announces one."""

    packet_bytes: int | None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session ended; `too_large` where the broker gave a packet's size as the reason."""

    too_large: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker acknowledged a message; `refused` is its reason where it refused it (MQTT 5)."""

    mid: int
    refused: str
    at_s: float


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message arrived on the subscribed topic."""

    topic: str
    payload: bytes


MqttEvent = Connected | Disconnected | Acknowledged | MessageReceived


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceMessages:
    """The last will, the presence published after each connect, and the topics to subscribe to."""

    topic: str
    will: Callable[[], bytes]
    online: Callable[[], bytes]
    listen: tuple[str, ...]


class Connection:
    """Sessions with one broker. `start` and `stop` once each; the rest from one thread."""

    def __init__(self, device: str, link: Link, messages: PresenceMessages, monotonic: Callable[[], float]) -> None:
        """`monotonic` is real time in seconds."""
        self._device, self._link, self._messages, self._monotonic = device, link, messages, monotonic
        self.events: SimpleQueue[MqttEvent] = SimpleQueue()
        self._backoff = Backoff(random.Random())
        self._version = MQTTProtocolVersion.MQTTv5
        self._probing = True  # until MQTT 5 was tried once
        self._settled = False  # whether a broker has accepted this version
        self._client: mqtt.Client | None = None
        self._stopping = threading.Event()
        self._answered, self._ended = threading.Event(), threading.Event()
        self._up_since_s: float | None = None
        self._down_logged: set[str] = set()  # causes logged since the link went down
        self._refused_version = self._reached_broker = False
        self._sent_before = self._sent_now = 0
        self._thread = threading.Thread(target=self._run_sessions, name=f"mqtt-{device}", daemon=True)

    def start(self) -> None:
        """Begin to connect, in the background; an unreachable broker is retried forever."""
        self._thread.start()

    def stop(self, last_message: bytes) -> None:
        """Publish `last_message`, disconnect (so that the last will is not published) and join the thread."""
        client = self._client
        if client is not None and client.is_connected():
            try:
                client.publish(self._messages.topic, last_message, 1, True).wait_for_publish(timeout=2.0)
            except (RuntimeError, ValueError):
                log.debug("the connection was lost before the last message was sent")
        self._stopping.set()
        self._answered.set()
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN_S)

    @property
    def connected(self) -> bool:
        """Whether a session is open."""
        client = self._client
        return client is not None and client.is_connected()

    def publish(self, topic: str, payload: bytes) -> int | None:
        """Hand a message over at QoS 1; return its id, or None when it can't be queued now."""
        client = self._client
        if client is None:
            return None
        message = client.publish(topic, payload, qos=1)
        return message.mid if message.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def sent_bytes(self) -> int:
        """Return the bytes sent in all sessions, TLS included, as the kernel counts them."""
        client = self._client
        if client is not None and (open_socket := client.socket()) is not None:
            try:
                tcp_info = open_socket.getsockopt(  # type: ignore[attr-defined]  # paho's type of a socket lacks it
                    socket.IPPROTO_TCP, socket.TCP_INFO, 256
                )
                self._sent_now = _BYTES_ACKED.unpack_from(tcp_info, _BYTES_ACKED_AT)[0]
            except (OSError, struct.error):
                log.debug("the kernel does not report the bytes sent")
        return self._sent_before + self._sent_now

    # From here on: the connection's own thread.

    def _run_sessions(self) -> None:
        while not self._stopping.is_set():
            try:
                up_s = self._session()
            except Exception as error:  # of paho or of the system (no thread available): the next session may work
                self._log_down(f"{type(error).__name__}: {error}")
                self._client, up_s = None, 0.0
            self._sent_before, self._sent_now = self._sent_before + self._sent_now, 0
            if not self._other_version():
                self._stopping.wait(self._backoff.next_s(up_s))

    def _session(self) -> float:
        """Run one session; return for how many seconds it was up."""
        self._answered.clear()
        self._ended.clear()
        self._up_since_s, self._refused_version, self._reached_broker = None, False, False
        client = self._make_client()
        try:
            if self._version is MQTTProtocolVersion.MQTTv5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = 0
                client.connect(
                    self._link.host, self._link.port, self._link.keepalive_s, clean_start=True, properties=properties
                )
            else:
                client.connect(self._link.host, self._link.port, self._link.keepalive_s)
        except ssl.SSLCertVerificationError as error:
            self._log_down(refusal(error, datetime.now(UTC)), about="certificate")
            return 0.0
        except (OSError, ValueError) as error:
            self._log_down(f"can't be reached: {error}")
            return 0.0
        self._reached_broker = True
        self._client = client
        client.loop_start()
        if not self._answered.wait(PROBE_WITHIN_S if self._probing else ANSWER_WITHIN_S):
            self._log_down("no answer")
        else:
            while not self._ended.wait(CHECK_THREAD_S) and self._network_thread_alive():
                pass
        up_s = 0.0 if self._up_since_s is None else self._monotonic() - self._up_since_s
        client.disconnect()
        client.loop_stop()
        self._client = None
        return up_s

    def _network_thread_alive(self) -> bool:
        """Whether paho's thread is alive; it ends silently on a packet it can't read."""
        return any(thread.name == f"paho-mqtt-client-{self._device}" for thread in threading.enumerate())

    def _other_version(self) -> bool:
        """Change the MQTT version if the broker does not support this one; return whether to try at once."""
        unanswered = self._reached_broker and self._up_since_s is None and not self._settled
        if not self._refused_version and not unanswered:
            return False
        five = self._version is MQTTProtocolVersion.MQTTv5
        self._version = MQTTProtocolVersion.MQTTv311 if five else MQTTProtocolVersion.MQTTv5
        probed, self._probing = self._probing, False
        return probed

    def _make_client(self) -> mqtt.Client:
        five = self._version is MQTTProtocolVersion.MQTTv5
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._device,
            protocol=self._version,
            clean_session=None if five else True,
            reconnect_on_failure=False,
        )
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_message = self._on_publish, self._on_message
        client.will_set(self._messages.topic, self._messages.will(), 1, True)
        client.max_queued_messages_set(QUEUED)
        if self._link.tls:
            client.tls_set_context(self._link.tls)
        if self._link.username:
            client.username_pw_set(self._link.username, self._link.password)
        return client

    def _log_down(self, why: str, about: str = "link") -> None:
        """Log the cause once while the link is down; a certificate error is logged even after a network error."""
        if self._probing and self._reached_broker:
            return  # it may support only MQTT 3.1.1, which is tried next
        level = logging.DEBUG if about in self._down_logged else logging.WARNING
        self._down_logged.add(about)
        log.log(
            level,
            "no broker at %s:%d (%s); records are kept until it is back",
            self._link.host,
            self._link.port,
            why,
        )

    # From here on: paho's network thread.

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refused_version = reason.getName() == _REFUSES_VERSION
            if not self._refused_version:
                self._settled = True  # it supports this version, and refused for another reason
                self._log_down(f"the broker refuses the connection: {reason}")
            self._answered.set()
            return
        version = "5" if self._version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        log.info("connected to %s:%d as %s, MQTT %s", self._link.host, self._link.port, self._device, version)
        self._up_since_s, self._settled = self._monotonic(), True
        self._down_logged.clear()
        self._probing = False
        self.events.put(Connected(getattr(properties, "MaximumPacketSize", None)))
        for listened in self._messages.listen:  # one by one: a broker may refuse a topic that it does not know
            client.subscribe(listened, 1)
        client.publish(self._messages.topic, self._messages.online(), 1, True)
        self._answered.set()

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._up_since_s is not None:
            self.events.put(Disconnected(reason.getName() == "Packet too large", self._monotonic()))
            if reason.is_failure and not self._stopping.is_set():
                self._log_down(str(reason))
        self._ended.set()
        self._answered.set()

    def _on_publish(
        self, _client: mqtt.Client, _userdata: object, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self.sent_bytes()  # the socket may be closed at the agent's next call
        self.events.put(Acknowledged(mid, str(reason) if reason.is_failure else "", self._monotonic()))

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self.events.put(MessageReceived(message.topic, bytes(message.payload)))


def refusal(error: ssl.SSLCertVerificationError, now: datetime) -> str:
    """Return why a broker's certificate is refused; for a date error, with the device's own date."""
    text = f"its certificate is refused: {error.verify_message.rstrip('.')}"
    if error.verify_code in _OFF_DATE:
        text += f". On this device it is {now:%Y-%m-%d %H:%M} UTC: if that is wrong, its clock is not set"
    return text
