"""A transaction on each database, with two devices in it, and a case service whose labels teach."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.outcomes import outcome_followers
from cloud.store.database import Database
from cloud.store.tables import Device
from tests.builders import DEVICE, NOON
from tests.cloud.web.conftest import hashed_accounts as hashed_accounts


@pytest.fixture
def service() -> CaseService:
    return CaseService(Rules(), outcome_followers())


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.begin() as session:
        for name in (DEVICE, "pump-08"):
            session.add(Device(device=name, first_seen=NOON, last_seen=NOON))
        yield session
