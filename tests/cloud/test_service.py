"""The whole cloud as its users start it: a process, its console, its broker, its exit codes."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trustme

from edge_agent.protocol.faults import Severity
from tests.builders import DEVICE, a_finding, an_envelope
from tests.cloud.pump import a_pump

pytestmark = pytest.mark.journey
START_S = 60  # most for a start: in a new clone nothing is compiled yet, and other workers start processes as well


class Cloud:
    """`support-cloud run` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = self.password = ""

    async def ready(self) -> None:
        output = [await self._line() for _ in range(3)]
        self.url, self.password = output[0].removeprefix("Console: "), output[2].split()[1]

    async def _line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), START_S)).decode().strip()

    async def stopped(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Stop it, or wait until it stops; return exit code and what it output on stderr."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        _, output = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, output.decode()


@contextlib.asynccontextmanager
async def a_cloud(*arguments: str) -> AsyncIterator[Cloud]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cloud", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    try:
        yield Cloud(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def web_port(port: int) -> int:
    """Another free port than that of the broker."""
    with socket.socket() as taken, socket.socket() as probe:
        taken.bind(("127.0.0.1", port))
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def options(tmp_path: Path, port: int, web_port: int) -> list[str]:
    return ["--data", str(tmp_path / "data"), "--mqtt", f"127.0.0.1:{port}", "--web", f"127.0.0.1:{web_port}"]


async def test_from_an_empty_folder_to_a_case_in_the_console_and_a_clean_stop(options: list[str], port: int) -> None:
    async with a_cloud("run", *options) as cloud:
        await cloud.ready()
        async with a_pump(port) as pump:
            assert (await pump.acked(an_envelope(1, a_finding(severity=Severity.CRITICAL)))).up_to == 1
        async with httpx.AsyncClient(base_url=cloud.url, auth=("admin", cloud.password)) as staff:
            assert (await staff.get("/healthz")).json() == {"status": "ok"}
            (case,) = (await staff.get("/api/v1/cases")).json()["cases"]
        assert (case["device"], case["severity"]) == (DEVICE, "critical")
        code, output = await cloud.stopped()
    assert (code, output) == (0, "")


async def test_a_page_that_is_still_open_does_not_hold_the_stop_up(options: list[str]) -> None:
    async with a_cloud("run", *options) as cloud:
        await cloud.ready()
        async with httpx.AsyncClient(base_url=cloud.url, headers={"Origin": cloud.url.rstrip("/")}) as staff:
            await staff.post("/login", data={"name": "admin", "password": cloud.password})
            async with staff.stream("GET", "/live") as live, asyncio.timeout(10):
                assert await anext(live.aiter_lines()) == ": following"
                code, _ = await cloud.stopped(signal.SIGINT)
    assert code == 0


async def test_a_second_start_keeps_the_account_and_takes_its_password_from_nowhere(options: list[str]) -> None:
    async with a_cloud("run", *options) as cloud:
        await cloud.ready()
        await cloud.stopped()
    async with a_cloud("run", *options) as again:
        assert again.process.stdout is not None
        assert (await asyncio.wait_for(again.process.stdout.readline(), START_S)).startswith(
            b"Console: http://127.0.0.1:"
        )
        async with httpx.AsyncClient(auth=("admin", cloud.password)) as staff:
            assert (await staff.get(f"{cloud.url}api/v1/cases")).status_code == 200
        assert (await again.stopped())[0] == 0
        assert again.process.stdout.at_eof()


async def test_the_first_password_can_come_from_a_file(options: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    async with a_cloud("run", *options, "--password-file", str(secret)) as cloud:
        await cloud.ready()
        async with httpx.AsyncClient(auth=("admin", "correct horse battery")) as staff:
            assert (await staff.get(f"{cloud.url}api/v1/cases")).status_code == 200
        await cloud.stopped()


async def test_with_a_certificate_the_console_has_tls_and_its_cookie_is_sent_over_nothing_else(
    options: list[str], tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    file = tmp_path / "cloud.toml"
    file.write_text(f'[web]\ncertificate_file = "{tmp_path}/chain.pem"\nkey_file = "{tmp_path}/key.pem"\n')
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with a_cloud("run", *options, "--config", str(file)) as cloud:
        await cloud.ready()
        assert cloud.url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(base_url=cloud.url, verify=trust) as staff:
            answer = await staff.post("/login", data={"name": "admin", "password": cloud.password})
            assert answer.status_code == 303
            assert "Secure" in answer.headers["set-cookie"]
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            assert (await staff.get("/people")).status_code == 200, "the first account is an admin"
        assert (await cloud.stopped())[0] == 0


async def test_behind_a_proxy_only_what_came_over_tls_is_served_and_only_its_headers_count(
    options: list[str], tmp_path: Path
) -> None:
    file, secret = tmp_path / "cloud.toml", tmp_path / "password"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    statuses = {}
    port = options[-1].rpartition(":")[2]
    for proxy in ("127.0.0.1", "10.99.99.99"):
        file.write_text(f'[web]\nlisten = "0.0.0.0:{port}"\ntrusted_proxies = ["{proxy}"]\n')
        async with a_cloud("run", *options[:-2], "--config", str(file), "--password-file", str(secret)) as cloud:
            assert cloud.process.stdout is not None
            await asyncio.wait_for(cloud.process.stdout.readline(), START_S)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as staff:
                through = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
                statuses[proxy] = [
                    (await staff.get("/login")).status_code,
                    (await staff.get("/login", headers=through)).status_code,
                    (await staff.get("/healthz")).status_code,
                ]
            await cloud.stopped()
    assert statuses == {"127.0.0.1": [403, 200, 200], "10.99.99.99": [403, 403, 200]}


@pytest.mark.parametrize("option", ["--mqtt", "--web"])
async def test_an_occupied_port_is_reported_in_one_line_with_the_option_that_changes_it(
    options: list[str], option: str
) -> None:
    host, _, port = options[options.index(option) + 1].partition(":")
    with socket.create_server((host, int(port))):
        async with a_cloud("run", *options) as cloud:
            _, output = await asyncio.wait_for(cloud.process.communicate(), 20)
    assert cloud.process.returncode == 1
    (line,) = output.decode().splitlines()
    assert f"can't listen on {host}:{port}" in line
    assert f"choose another port with {option} HOST:PORT" in line
    async with a_cloud("run", *options) as again:  # the port is free now
        await again.ready()
        assert again.password, "the password that is shown once was not lost in the start that failed"


async def test_a_folder_that_can_not_be_made_is_a_mistake_of_the_configuration(options: list[str]) -> None:
    async with a_cloud("run", *options, "--data", "/dev/null/data") as cloud:
        _, output = await asyncio.wait_for(cloud.process.communicate(), 20)
    assert cloud.process.returncode == 2
    assert output.decode() == (
        "support-cloud: data.dir = '/dev/null/data': Not a directory; name a folder we may write to, with --data DIR\n"
    )
