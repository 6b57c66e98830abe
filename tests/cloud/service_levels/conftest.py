"""A transaction on each database, with the device pump-07 in it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.database import Database
from cloud.store.tables import Device
from tests.builders import DEVICE, NOON


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.begin() as session:
        session.add(Device(device=DEVICE, first_seen=NOON, last_seen=NOON))
        yield session
