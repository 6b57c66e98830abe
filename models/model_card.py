"""The card of an artifact: what it is, what it was made from, and what it can't do.

What flows in: the manifest. What flows out: Markdown.
"""

from typing import Any

CARD_FILE = "card.md"

_TEXT = """# {name}-{version}

What a device knows of relations between its metrics before it has seen anything: {relations}. For each of them it
holds the mean and the covariance of the weights of a linear regression on a few named inputs, their squares and
products; the noise of a row; and the strength that opens a case ({bars}). The device goes on learning from there
(edge_agent/detection/relations/regression.py). {bytes} bytes.

- sha256 of fleet.npz: `{sha256}`

## How it was made

    {command}

Two hundred virtual devices lived on real recordings: random disks, processors and loads, and a thermal model with
random boards, heat sinks, fans and rooms under the recorded load (models/simulated_devices.py). The weights'
distribution was fitted by expectation and maximisation (models/fleet_prior.py). The bars were set on recordings held
out in turn, for one false case a device-week and relation; a device gives each relation a third of its rate. \
Libraries: {libraries}.
{repeated}

## Data

{files} recordings, each with its SHA-256 in manifest.json; models/recordings/README.md says how they were made.

## Limits

- One machine was recorded, an x86-64 virtual one without sensors: the devices differ from it by factors only.
- Temperatures are the thermal model's. No real board has taught it, none has confirmed it.
- docs/adr/0010 has the figures, and what was tried and left out, a network among it.
"""

_REPEATED = {
    True: "It was made twice, and both times gave the same fleet.npz to the byte.",
    False: "It was made twice, and the two fleet.npz DIFFER: this one can't be made again.",
}


def card(manifest: dict[str, Any]) -> str:
    """Return the card of an artifact."""
    fields = {
        "relations": ", ".join(manifest["relations"]),
        "bars": ", ".join(f"{bar:.2f}" for bar in manifest["bar"]),
        "libraries": ", ".join(f"{name} {version}" for name, version in manifest["libraries"].items()),
        "repeated": _REPEATED[bool(manifest["repeatable"])],
        "files": len(manifest["data"]),
    }
    return _TEXT.format_map(manifest | fields)
