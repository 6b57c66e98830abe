"""Sparklines of the inbox: drawn once for each evidence pack, whose first half never changes."""

from collections import OrderedDict
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store import queries
from cloud.web.evidence_series import curve_of, evaluated_points, path, thin

WIDTH, HEIGHT = 88, 24


class Sparklines:
    """SVG paths by evidence id; the oldest are forgotten when there are too many."""

    MOST_PATHS = 2000

    def __init__(self) -> None:
        self._paths: OrderedDict[str, str] = OrderedDict()

    async def draw(self, session: AsyncSession, ids: Sequence[str]) -> dict[str, str]:
        """Return the paths of these packs; a pack that has not arrived yet is left out and asked for again."""
        missing = [evidence_id for evidence_id in ids if evidence_id not in self._paths]
        if missing:
            for evidence_id, body in (await queries.evidence_before(session, missing)).items():
                evaluated = evaluated_points(body)
                self._paths[evidence_id] = (
                    path(thin(curve_of(*evaluated[0]).points, 80), WIDTH, HEIGHT) if evaluated else ""
                )
        found = {evidence_id: self._paths[evidence_id] for evidence_id in ids if evidence_id in self._paths}
        while len(self._paths) > self.MOST_PATHS:
            self._paths.popitem(last=False)
        return found
