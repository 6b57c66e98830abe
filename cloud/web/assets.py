"""What pages load beside themselves: our style sheet and script, and the Vega bundle out of its pip package.

Each URL carries a hash of the content, so browsers may keep it for a year. The bundle (0.9 MB) is made once, at its
first use, in a thread, and is sent deflated. Nothing comes from another host.
"""

import asyncio
import gzip
import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files

import vl_convert
from fastapi import APIRouter, HTTPException, Request, Response

VEGA = "vega.js"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_YEAR = "public, max-age=31536000, immutable"
_SNIPPET = "window.vegaEmbed = vegaEmbed;"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent: plain, and deflated."""

    plain: bytes
    deflated: bytes
    media_type: str


def _asset(name: str, plain: bytes) -> Asset:
    return Asset(plain, gzip.compress(plain, 6, mtime=0), _TYPES[name.rpartition(".")[2]])


class Assets:
    """All files of `static/`, read once, and the Vega bundle, made when it is first asked for."""

    def __init__(self) -> None:
        folder = files("cloud.web") / "static"
        self._files = {entry.name: _asset(entry.name, entry.read_bytes()) for entry in folder.iterdir()}
        self._hashes = {name: _hash(asset.plain) for name, asset in self._files.items()}
        self._hashes[VEGA] = _hash(f"{version('vl-convert-python')} {_SNIPPET}".encode())
        self._making = asyncio.Lock()

    def url(self, name: str) -> str:
        """Return the address of a file in its present version."""
        return f"/static/{name}?v={self._hashes[name]}"

    async def get(self, name: str) -> Asset | None:
        """Return a file, or None if there is none of that name."""
        if name == VEGA and name not in self._files:
            async with self._making:
                if name not in self._files:
                    self._files[name] = await asyncio.to_thread(_vega)
        return self._files.get(name)


def _vega() -> Asset:
    return _asset(VEGA, vl_convert.javascript_bundle(_SNIPPET).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
async def static(name: str, request: Request, v: str = "") -> Response:
    """Send a file of ours; these are the same for everybody, so they need no login."""
    asset = await request.app.state.assets.get(name)
    if asset is None:
        raise HTTPException(404, "There is no such file.")
    headers = {"Cache-Control": _YEAR if v else "no-cache", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(asset.plain, media_type=asset.media_type, headers=headers)
    return Response(asset.deflated, media_type=asset.media_type, headers=headers | {"Content-Encoding": "gzip"})
