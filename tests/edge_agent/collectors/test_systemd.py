"""systemd: failed and restarted services, queried without blocking; instance names stay on the device."""

import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.assembly import make_collection
from edge_agent.collectors.systemd import FAILED_UNITS, SystemdCollector, parse, unit_failed, without_instance
from edge_agent.config import AgentConfig
from edge_agent.protocol.metrics import METRICS, series, series_attributes, series_name
from tests.builders import an_instant

# As systemd 252 prints it, with the properties in its own order.
OUTPUT = """\
Restart=always
Result=exit-code
NRestarts=4
Id=loops.service
ActiveState=activating
Transient=no

Restart=no
Result=success
NRestarts=0
Id=well.service
ActiveState=active
Transient=no

Restart=no
Result=exit-code
NRestarts=0
Id=sshd@7-192.0.2.1:22-192.0.2.9:50022.service
ActiveState=failed
Transient=no

Restart=no
Result=exit-code
NRestarts=0
Id=run-u17.service
ActiveState=failed
Transient=yes
"""
LOOPS = {
    unit_failed("loops.service"): 0.0,
    series("systemd.service.restarts", systemd__unit__name="loops.service"): 4.0,
    series("forewarn.systemd.crashed", systemd__unit__name="loops.service"): 1.0,
}
SSHD = {
    unit_failed("sshd@.service"): 1.0,
    series("systemd.service.restarts", systemd__unit__name="sshd@.service"): 0.0,
    series("forewarn.systemd.crashed", systemd__unit__name="sshd@.service"): 1.0,
}


def unit(name: str, **properties: object) -> str:
    output = {
        "Id": name,
        "ActiveState": "active",
        "NRestarts": 0,
        "Restart": "always",
        "Result": "success",
    } | properties
    return "".join(f"{key}={value}\n" for key, value in output.items())


def queried(root: Path, output: str, **options: tuple[str, ...]) -> SystemdCollector:
    """Return a collector whose systemd prints the content of a file."""
    (root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
    (root / "output").write_text(output)
    show = ("sh", "-c", f"cat {root / 'output'}", "show")
    return SystemdCollector(root=root, show=show, **options)


def answer(collector: SystemdCollector, at_s: float = 0.0) -> Mapping[str, float]:
    """Ask, and collect when the program has ended."""
    with suppress(OSError):
        collector.collect(an_instant(at_s))
    if collector._process:
        collector._process[0].wait(10)
    return collector.collect(an_instant(at_s))


def test_only_unhealthy_units_are_named_and_instances_never(tmp_path: Path) -> None:
    values = answer(queried(tmp_path, OUTPUT))
    assert values == {FAILED_UNITS: 1.0, **LOOPS, **SSHD}
    assert {series_name(key) for key in values} <= METRICS.keys()


def test_a_healthy_system_is_a_count_of_zero(tmp_path: Path) -> None:
    assert answer(queried(tmp_path, unit("a.service") + "\n" + unit("b.service"))) == {FAILED_UNITS: 0.0}
    assert answer(queried(tmp_path, "")) == {FAILED_UNITS: 0.0}


def test_a_recovered_unit_stays_reported(tmp_path: Path) -> None:
    collector = queried(tmp_path, unit("a.service", ActiveState="failed"))
    assert answer(collector)[unit_failed("a.service")] == 1
    queried(tmp_path, "")  # it is inactive now, and not among the answers
    assert answer(collector, 60) == {FAILED_UNITS: 0.0, unit_failed("a.service"): 0.0}


@pytest.mark.parametrize(
    ("properties", "crashed"),
    [
        ({"Restart": "on-failure"}, 1.0),
        ({"Restart": "always"}, 0.0),
        ({"Restart": "always", "Result": "signal", "ActiveState": "activating"}, 1.0),
    ],
)
def test_restarts_are_crashes_only_where_that_is_certain(
    tmp_path: Path, properties: dict[str, str], crashed: float
) -> None:
    values = answer(queried(tmp_path, unit("a.service", NRestarts=1, **properties)))
    assert values[series("forewarn.systemd.crashed", systemd__unit__name="a.service")] == crashed


def test_a_crash_that_was_seen_once_is_remembered(tmp_path: Path) -> None:
    collector = queried(tmp_path, unit("a.service", NRestarts=1, Result="signal", ActiveState="activating"))
    answer(collector)
    queried(tmp_path, unit("a.service", NRestarts=2))
    assert answer(collector, 60)[series("forewarn.systemd.crashed", systemd__unit__name="a.service")] == 1


def test_excluded_units_are_not_reported(tmp_path: Path) -> None:
    assert answer(queried(tmp_path, OUTPUT, exclude=("sshd@*", "loops.service"))) == {FAILED_UNITS: 0.0}


def test_a_storm_of_failures_names_a_bounded_number_of_units(tmp_path: Path) -> None:
    storm = "\n".join(unit(f"a{number}.service", ActiveState="failed") for number in range(2000))
    assert len(storm) > 65_536, "more than a pipe holds"
    values = answer(queried(tmp_path, storm))
    assert values[FAILED_UNITS] == 2000
    assert sum(series_name(key) == "systemd.unit.state" for key in values) == 32


def test_the_unit_that_has_been_healthy_for_longest_is_evicted(tmp_path: Path) -> None:
    def named(values: Mapping[str, float]) -> set[str]:
        return {
            series_attributes(key)["systemd.unit.name"] for key in values if series_name(key) == "systemd.unit.state"
        }

    units = [unit(f"a{number:02}.service", Restart="on-failure", NRestarts=1) for number in range(32)]
    collector = queried(tmp_path, "\n".join(units))
    first = named(answer(collector))
    queried(tmp_path, units[0] + "\n" + unit("b.service", ActiveState="failed"))
    assert named(answer(collector, 60)) == first - {"a01.service"} | {"b.service"}
    assert "a01.service" not in collector._crashed


def test_systemd_is_queried_once_a_minute(tmp_path: Path) -> None:
    collector = queried(tmp_path, "")
    answer(collector)
    queried(tmp_path, unit("a.service", ActiveState="failed"))
    assert collector.collect(an_instant(59)) == {FAILED_UNITS: 0.0}
    assert answer(collector, 60)[FAILED_UNITS] == 1


def test_a_systemd_that_does_not_answer_blocks_nothing_and_is_reported(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    collector = SystemdCollector(root=tmp_path, show=(sys.executable, "-c", "import time; time.sleep(600)"))
    assert collector.collect(an_instant(0)) == {}
    assert collector._process
    process = collector._process[0]
    assert collector.collect(an_instant(19)) == {}
    with pytest.raises(OSError, match="has not answered for 20 s"):
        collector.collect(an_instant(20))
    assert process.wait(5) == -signal.SIGKILL, "it is not left behind"
    with pytest.raises(OSError, match="has not answered"):
        collector.collect(an_instant(81))
    assert collector._process, "queried again, since the one before has ended"
    another, answer = collector._process
    another.kill()
    another.wait()
    answer.close()


@pytest.mark.parametrize(
    ("show", "reason"),
    [
        (("sh", "-c", "echo no bus >&2; exit 1", "show"), "no bus"),
        (("sh", "-c", "exit 3", "show"), "ended with 3"),
        (("sh", "-c", "printf 'Id=a.service\\nNRestarts=many\\n'", "show"), "can.t parse the answer"),
        (("/no/such/program",), "No such file"),
    ],
)
def test_a_failing_query_is_an_error_until_it_succeeds(tmp_path: Path, show: tuple[str, ...], reason: str) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    collector = SystemdCollector(root=tmp_path, show=show)
    with pytest.raises(OSError, match=reason):
        answer(collector)
    with pytest.raises(OSError, match=reason):
        collector.collect(an_instant(30))
    collector._command = ("true",)
    assert answer(collector, 60) == {FAILED_UNITS: 0.0}


def test_a_machine_without_systemd_is_not_queried(tmp_path: Path) -> None:
    collector = SystemdCollector(root=tmp_path, show=("/no/such/program",))
    assert collector.collect(an_instant()) == {}


def test_the_program_gets_the_patterns(tmp_path: Path) -> None:
    collector = SystemdCollector(("a*.service", "b.mount"), root=tmp_path)
    assert collector._command[:2] == ("systemctl", "show")
    assert collector._command[-3:] == ("--", "a*.service", "b.mount")


def test_services_are_monitored_unless_the_list_is_empty() -> None:
    for units, monitored in ((["*.service"], True), ([], False)):
        collectors = make_collection(AgentConfig.model_validate({"services": {"units": units}})).collectors
        assert any(collector.name == "systemd" for collector in collectors) == monitored


@given(st.text("ab-.:1", min_size=1), st.text("xy7:.@-"), st.sampled_from(["service", "mount", "socket"]))
def test_instance_names_are_never_reported(prefix: str, instance: str, kind: str) -> None:
    assert without_instance(f"{prefix}@{instance}.{kind}") == f"{prefix}@.{kind}"
    assert without_instance(f"{prefix}.{kind}") == f"{prefix}.{kind}"


@given(st.text())
def test_the_parser_accepts_any_output(output: str) -> None:
    assert all(unit["Id"] is not None for unit in parse(output))
