"""A transaction on each database, with two devices in it, a case service whose labels teach, and the console."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.outcomes import outcome_followers
from cloud.store.database import Database
from cloud.store.tables import Device
from tests.builders import DEVICE, NOON
from tests.cloud.web.conftest import alice as alice
from tests.cloud.web.conftest import app as app
from tests.cloud.web.conftest import case_service as case_service
from tests.cloud.web.conftest import change_signal as change_signal
from tests.cloud.web.conftest import hashed_accounts as hashed_accounts
from tests.cloud.web.conftest import numbers as numbers
from tests.cloud.web.conftest import staffed as staffed


@pytest.fixture
def service() -> CaseService:
    return CaseService(Rules(), outcome_followers())


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.begin() as session:
        for name in (DEVICE, "pump-08"):
            session.add(Device(device=name, first_seen=NOON, last_seen=NOON))
        yield session
