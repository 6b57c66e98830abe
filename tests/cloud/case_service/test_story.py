"""The whole story of a case, printed from the audit log."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.case_service.story import harmless, story
from cloud.cases.cases import Label
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Outcome
from cloud.cases.silences import Silence
from cloud.store.tables import Account
from tests.builders import DEVICE, NOON
from tests.cloud.case_service.fleet import at, clear, report

SERVICE = CaseService(Rules())


async def test_the_story_of_a_case_tells_who_did_what_and_why(session: AsyncSession) -> None:
    """Suppressed, opened, taken, handed over, cleared, closed with a label, reopened."""
    for name in ("alice", "bob"):
        session.add(Account(name=name, password_hash="", created_at=NOON))
    end = NOON + timedelta(hours=1)
    window = Silence(owner="alice", reason="disk swap", zone="UTC", device=DEVICE, starts_at=NOON, ends_at=end)
    await SERVICE.silences.create(session, window, NOON)
    await report(SERVICE, session, 60)
    await SERVICE.tick(session, at(3600))
    await SERVICE.staff.take(session, 1, "alice", at(3700))
    await SERVICE.staff.hand_over(session, 1, "alice", "bob", "needs a new card", at(3800))
    await clear(SERVICE, session, 4000)
    await SERVICE.tick(session, at(4300))
    await SERVICE.staff.close(session, 1, "bob", Outcome(label=Label.TRUE_FAULT, note="card replaced"), at(4400))
    await report(SERVICE, session, 9000)
    lines = (await story(session, 1)).splitlines()
    assert lines[0] == "Case 1: File system /data of pump-07 is filling up"
    assert [" ".join(line[22:56].split()) for line in lines[3:]] == [
        "forewarn episode opened",
        "forewarn episode suppressed",
        "forewarn episode fired",
        "forewarn opened",
        "alice taken",
        "alice handed_over",
        "forewarn cleared",
        "forewarn resolved",
        "forewarn pending_close",
        "bob closed",
        "forewarn episode opened",
        "forewarn episode fired",
        "forewarn reopened",
    ]
    assert "silence 1 of alice until 2026-07-01 13:00 (UTC): disk swap" in lines[4]
    assert "evaluated again after silence 1" in lines[5]
    assert lines[8].endswith("Handed over to bob by alice: needs a new card")


async def test_a_case_that_does_not_exist_has_no_story(session: AsyncSession) -> None:
    with pytest.raises(LookupError, match=r"There is no case 4\."):
        await story(session, 4)


def test_hostile_text_does_not_reach_the_terminal() -> None:
    assert harmless("a\x1b[2Jb\u202ec\nd") == "a\\u001b[2Jb\\u202ec\\u000ad"
