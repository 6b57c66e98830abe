"""A transaction on each database, in it pump-07, which is connected and sends telemetry every four minutes."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.database import Database
from cloud.store.tables import Device
from tests.builders import DEVICE, NOON


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.begin() as session:
        device = Device(
            device=DEVICE,
            first_seen=NOON,
            last_seen=NOON,
            presence="online",
            presence_at=NOON,
            telemetry_at=NOON,
            telemetry_every_s=240.0,
        )
        session.add(device)
        yield session
