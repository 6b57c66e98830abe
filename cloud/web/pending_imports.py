"""Files that staff have checked and may import next."""

from collections import OrderedDict


class PendingImports:
    """Files that somebody has checked and may import next, in memory; the oldest are forgotten."""

    MOST = 8

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def keep(self, who: str, key: str, content: bytes) -> None:
        """Keep a file until it is imported or too many others came after it."""
        self._files[who, key] = content
        self._files.move_to_end((who, key))
        while len(self._files) > self.MOST:
            self._files.popitem(last=False)

    def take(self, who: str, key: str) -> bytes | None:
        """Return a file, once."""
        return self._files.pop((who, key), None)
