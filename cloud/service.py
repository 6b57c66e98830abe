"""The service: wires broker, ingest, clock and console around one database, and runs them until a signal.

What flows in: the configuration. What flows out: a listening console, acknowledged devices, and an orderly stop.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from cloud import accounts
from cloud.case_service import CaseService
from cloud.cases.sensitivity import changed_rules
from cloud.change_signal import ChangeSignal
from cloud.config import Config, ConfigError, Endpoint, read_secret
from cloud.console_settings import WebTable, server_context
from cloud.ingest import BatchWriter, BrokerAddress, ExpectedPublisher, IngestWorker, Limits, embedded_broker
from cloud.ingest.outage_log import OutageLog
from cloud.monitoring import LOOK_EVERY_S, Monitor
from cloud.notify import MailServer, NotificationFollower, Sender
from cloud.outcomes import outcome_followers
from cloud.outcomes.evidence_snapshots import EvidenceSnapshots
from cloud.outcomes.sensitivity_proposals import approved_changes
from cloud.service_levels import ClockKeeper
from cloud.store.database import Database, is_trouble
from cloud.store.streams import prune_telemetry
from cloud.web.app import create_app
from cloud.web.request_timeout import TimedProtocol
from cloud.web.service_times import ServiceTimes

TICK_S = 1.0
PRUNE_EVERY_S = 3600.0
DEVICE_SHARE = 16  # of the room for waiting messages one device may take a sixteenth
SHUTDOWN_GRACE_S = 1  # for open pages to finish when the service stops

_Chore = Callable[[AsyncSession, datetime], Awaitable[bool]]


async def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when a port is taken, SQLAlchemyError when the database is away."""
    _make_data_dir(config)
    database = Database(config.database_url)
    try:
        await database.migrate()
        async with _broker(config) as broker:
            await _serve(config, database, broker)
    finally:
        await database.close()


async def _serve(config: Config, database: Database, broker: BrokerAddress) -> None:
    async with database.read() as session:
        rules = changed_rules(config.rules, await approved_changes(session))
    clock_keeper = ClockKeeper(config.service_levels, config.calendar)
    mail = NotificationFollower(config.notify, config.calendar(config.notify.office))
    case_service, change_signal = CaseService(rules, (*outcome_followers(), clock_keeper, mail)), ChangeSignal()
    writer = BatchWriter(database, case_service, dead_letters_max=config.data.dead_letters_max)
    listening = _listen(config.web.listen)
    # Only now: a password that is shown once must not be made by a start that then finds a port taken.
    scheme = "https" if config.web.has_tls else "http"
    welcome = f"Console: {scheme}://{_name(listening)}/\n{await _welcome(database, config)}"
    room = config.ingest.waiting_mib << 20
    limits = Limits(waiting=room, device_waiting=room // DEVICE_SHARE, device_bytes_s=config.ingest.device_kib_s << 10)
    worker = IngestWorker(broker, writer, change_signal, now=_now, limits=limits)
    times = ServiceTimes(calendars=config.calendars, levels=config.service_levels, office=config.notify.office)
    app = create_app(
        database,
        case_service,
        change_signal,
        now=_now,
        counters=worker.counters,
        health=worker.health,
        service_times=times,
        settings=config.web,
        client_secret=read_secret(config.web.oidc.client_secret_file) if config.web.oidc.issuer else "",
    )
    console = _Console(app, change_signal, welcome, config.web)

    monitor = Monitor(case_service, worker.health, worker.counters, config.absence, config.pipeline)

    async def prune(session: AsyncSession, now: datetime) -> bool:
        await prune_telemetry(session, now, config.data.telemetry_retention_days)
        return False

    async def let_time_pass(session: AsyncSession, now: datetime) -> bool:
        changed = await case_service.tick(session, now)
        return await clock_keeper.tick(session, case_service, now) or changed

    async with asyncio.TaskGroup() as group:
        chores = [
            group.create_task(worker.run()),
            group.create_task(ExpectedPublisher(broker, database, change_signal, now=_now).run()),
            group.create_task(_repeat(TICK_S, let_time_pass, database, change_signal)),
            group.create_task(_repeat(TICK_S, EvidenceSnapshots().tick, database, change_signal)),
            group.create_task(_repeat(LOOK_EVERY_S, monitor.tick, database, change_signal)),
            group.create_task(_repeat(PRUNE_EVERY_S, prune, database, change_signal)),
        ]
        if config.notify.smtp_url:
            chores.append(group.create_task(_sender(config, database).run()))
        await console.serve(sockets=[listening])
        for chore in chores:
            chore.cancel()


def _sender(config: Config, database: Database) -> Sender:
    password_file = config.notify.password_file
    server = MailServer(config.notify, read_secret(password_file) if password_file else "")
    return Sender(database, config.notify, server, now=_now)


class _Console(uvicorn.Server):
    """The web server, stopped by the first signal and cut short by the second.

    uvicorn's own handlers raise the signal again after the stop, which would end this process with an error.
    """

    def __init__(self, app: FastAPI, change_signal: ChangeSignal, welcome: str, web: WebTable) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            http=TimedProtocol,
            # from anybody else: they could name an address in them and slip past the login's limits
            proxy_headers=bool(web.trusted_proxies),
            forwarded_allow_ips=web.trusted_proxies,
            ssl_context_factory=(lambda _config, _default: server_context(web)) if web.has_tls else None,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        )
        super().__init__(config)
        self._change_signal = change_signal
        self._welcome = welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say where."""
        await super().startup(sockets)
        print(self._welcome, end="", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let open pages go, then stop."""
        self._change_signal.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


async def _repeat(period_s: float, chore: _Chore, database: Database, change_signal: ChangeSignal) -> None:
    """Do something in its own transaction, every `period_s`; notify waiting pages when it changed something."""
    outage_log = OutageLog("database")
    while True:
        try:
            async with database.begin() as session:
                changed = await chore(session, _now())
        except Exception as error:
            if not is_trouble(error):
                raise
            outage_log.down(error)
        else:
            outage_log.up()
            if changed:
                change_signal.notify()
        await asyncio.sleep(period_s)


async def _welcome(database: Database, config: Config) -> str:
    """Make the first account if there is none; return how to log in. A password made up here is shown this once."""
    given = read_secret(config.web.password_file) if config.web.password_file else None
    async with database.begin() as session:
        password = await accounts.first_account(session, _now(), given)
    if password is None:
        return ""
    shown = f"the content of {config.web.password_file}" if given else f"{password} (shown only now)"
    return f"User: {accounts.FIRST_ACCOUNT}\nPassword: {shown}\n"


@contextlib.asynccontextmanager
async def _broker(config: Config) -> AsyncIterator[BrokerAddress]:
    """The broker that is configured, or one of our own."""
    table = config.broker
    if table.url:
        yield BrokerAddress(
            host=table.address.host,
            port=table.address.port,
            tls=table.tls,
            ca_file=table.ca_file or None,
            username=table.username,
            password=read_secret(table.password_file) if table.password_file else None,
        )
        return
    async with embedded_broker(*table.listen):
        yield BrokerAddress(**table.listen.from_here._asdict())


def _listen(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        return socket.create_server(endpoint, family=family)
    except OSError as error:
        where = f"the console can't listen on {endpoint} ({error.strerror or error})"
        raise OSError(f"{where}; choose another port with --web HOST:PORT") from None


def _name(listening: socket.socket) -> str:
    return str(Endpoint(*listening.getsockname()[:2]))


def _make_data_dir(config: Config) -> None:
    if config.data.database_url:
        return
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # customers' data: nobody else's business
    except OSError as error:
        remedy = f"{error.strerror}; name a folder we may write to, with --data DIR"
        raise ConfigError(f"data.dir = {str(config.data_dir)!r}: {remedy}") from None


def _now() -> datetime:
    return datetime.now(UTC)
