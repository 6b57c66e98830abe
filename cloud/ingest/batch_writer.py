"""Batch writer: a batch of parsed messages becomes one transaction.

What flows in: parsed messages. What flows out: how far each stream is committed. If a batch fails because of a message,
each of its messages is written alone; the one that fails again is dead-lettered with the error.
"""

import logging
from collections.abc import Sequence

from cloud.case_service import CaseService
from cloud.ingest.parsing import ParsedMessage, Rejected
from cloud.ingest.stream_cache import StreamCache
from cloud.ingest.transaction import BatchTransaction, WriteResult
from cloud.store.database import Database, is_trouble

DEAD_LETTERS_MAX = 1000

log = logging.getLogger(__name__)


class BatchWriter:
    """Writes the messages of all devices, one batch after the other."""

    def __init__(
        self, database: Database, case_service: CaseService, *, dead_letters_max: int = DEAD_LETTERS_MAX
    ) -> None:
        self._database = database
        self._case_service = case_service
        self._dead_letters_max = dead_letters_max
        self._cache = StreamCache()

    async def write(self, batch: Sequence[ParsedMessage]) -> WriteResult:
        """Commit a batch. Raises an error for which `is_trouble` is true if the database fails; nothing is stored."""
        try:
            return await self._commit(batch)
        except Exception as error:
            if is_trouble(error):
                raise
        results = [await self._write_alone(message) for message in batch]
        return WriteResult(
            stored_up_to={key: up_to for result in results for key, up_to in result.stored_up_to.items()},
            dead_lettered=sum(result.dead_lettered for result in results),
            changed=any(result.changed for result in results),
        )

    async def _write_alone(self, message: ParsedMessage) -> WriteResult:
        """Commit one message; dead-letter it if its own transaction fails."""
        try:
            return await self._commit([message])
        except Exception as error:
            if is_trouble(error) or isinstance(message.content, Rejected):
                raise
            log.exception("a message on %s could not be stored: this is a bug", message.received.topic)
            rejected = ParsedMessage(message.received, Rejected(f"could not be stored: {error}"))
            return await self._commit([rejected])

    async def _commit(self, messages: Sequence[ParsedMessage]) -> WriteResult:
        try:
            async with self._database.begin() as session:
                transaction = BatchTransaction(session, self._case_service, self._dead_letters_max, self._cache)
                result = await transaction.write(messages)
        except Exception:
            self._cache.clear()
            raise
        self._cache.update(transaction.progress, transaction.seen)
        return result
