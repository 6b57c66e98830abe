import re
from datetime import timedelta
from importlib.resources import files

import pytest

from cloud.web import formatting
from edge_agent.protocol import wording
from edge_agent.protocol.metrics import METRICS
from tests.cloud.web.conftest import NOW


@pytest.mark.parametrize(
    ("seconds", "text", "coarse"),
    [
        (-3, "0 s", "0 s"),
        (0.9, "1 s", "1 s"),
        (89, "89 s", "89 s"),
        (91, "2 min", "1 min"),
        (3599, "1 h", "59 min"),
        (3600, "1 h", "60 min"),
        (7140, "1 h 59 min", "1 h"),
        (11_400, "3 h 10 min", "3 h"),
        (172_740, "47 h 59 min", "47 h"),
        (172_800, "2 d", "2 d"),
        (187_200, "2 d 4 h", "2 d"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str, coarse: str) -> None:
    assert formatting.duration(seconds) == text
    assert formatting.duration(seconds, coarse=True) == coarse


def test_a_countdown_turns_into_what_was_expected() -> None:
    assert formatting.countdown(NOW + timedelta(hours=3, minutes=10), NOW) == "in 3 h 10 min"
    assert formatting.countdown(NOW - timedelta(minutes=2), NOW) == "due 2 min ago"


def test_an_interval_is_honest_when_its_ends_pass() -> None:
    low, high = NOW + timedelta(minutes=160), NOW + timedelta(minutes=230)
    assert formatting.interval(low, high, NOW) == "between 2 h 40 min and 3 h 50 min"
    assert formatting.interval(low, high, NOW + timedelta(hours=3)) == "any moment now, in 50 min at the latest"
    assert formatting.interval(low, high, NOW + timedelta(hours=4)) == "the latest estimate passed 10 min ago"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (31.2 * (1 << 30), "By", "31.2 GiB"),
        (0, "By", "0 B"),
        (1536, "By/s", "1.5 KiB/s"),
        (0.42, "1", "42 %"),
        (81.24, "Cel", "81.2 °C"),
        (12, "{fd}", "12 open files"),
        (1_899_000, "{inode}", "1,899,000 inodes"),
        (3.0, "1/s", "3 per s"),
        (0.0042, "V", "0.0042 V"),
        (-61, "dBm", "-61 dBm"),
        (40, "{drop}", "40 drop"),
        (0.00004, "V", "4.0e-05 V"),
    ],
)
def test_quantities_are_in_units_that_people_use(value: float, unit: str, text: str) -> None:
    assert wording.quantity(value, unit) == text


def test_an_expected_range_may_have_one_open_end() -> None:
    assert wording.span(40, 55, "Cel") == "40 to 55 °C"
    assert wording.span(None, 55, "Cel") == "up to 55 °C"
    assert wording.span(40, None, "Cel") == "from 40 °C"
    assert wording.span(None, None, "Cel") == ""


def test_every_metric_of_ours_has_a_name_for_people() -> None:
    assert [name for name in METRICS if wording.metric_words(name) == name] == []
    assert wording.metric_words("hw.temperature{hw.name=cpu_thermal}") == "Temperature (cpu_thermal)"
    assert wording.metric_words("their.metric") == "their.metric"


def test_a_small_share_is_not_shown_as_none() -> None:
    assert [formatting.percent(share) for share in (0, 0.004, 0.58, 1)] == ["0 %", "under 1 %", "58 %", "100 %"]


def test_all_text_is_legible_in_both_themes() -> None:
    css = (files("cloud.web") / "static" / "console.css").read_text()
    themes = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
        for ground in ("ground", "hover", "tint"):
            for text in ("text", "muted", "accent", "critical", "high", "warning", "info", "fine"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, f"WCAG AA: {text} on {ground}"
        assert _contrast(colours["on-accent"], colours["accent"]) >= 4.5
        assert _contrast(colours["critical"], colours["alert"]) >= 4.5
        assert _contrast(colours["edge"], colours["ground"]) >= 3, "WCAG AA: the edge of a control"


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("judge", "version", "meaning"),
    [
        ("trend", "trends-4", "not a probability: whether it goes on is not known"),
        ("trend", "trends-4/persistence-2", "Of 100 warnings like this one, about 62 came true"),
        ("trend", "trends-2", "not a probability"),
        ("rule", "rules-3", "measured, not estimated"),
        ("model", "scorer-4", "not a probability"),
    ],
)
def test_a_confidence_is_explained_by_its_detector(judge: str, version: str, meaning: str) -> None:
    assert meaning in formatting.confidence_meaning(judge, version, 0.62)


@pytest.mark.parametrize("version", ["trends-4", "trends-4/persistence-2"])
def test_a_limit_that_is_reached_is_no_estimate(version: str) -> None:
    assert "The limit is reached" in formatting.confidence_meaning("trend", version, 1.0)


def test_the_confidence_of_an_unknown_detector_has_no_explanation() -> None:
    assert formatting.confidence_meaning("oracle", "1", 0.5) == ""
