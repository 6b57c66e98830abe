"""The system's Chromium, as every test and tool here starts it."""

import os
import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing() -> str:
    """Say why there is no browser to test with; empty if there is one. On CI it must be there."""
    if CHROMIUM:
        return ""
    if os.environ.get("CI") == "true":
        raise RuntimeError("Chromium is missing, and on CI the browser journey must run: apt-get install chromium")
    return "Chromium is not installed: apt-get install chromium"
