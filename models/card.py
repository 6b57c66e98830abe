"""The card of an artifact: what it is, what it was made from, how good it is, and what it can't do.

What flows in: the manifest. What flows out: Markdown.
"""

import itertools
from typing import Any

CARD_FILE = "card.md"

_TEXT = """# {name}-{version}

A network of {parameters} weights ({bytes} bytes, int8) that looks at the last {window} rows of one channel
and says, from 0 to 1, how much they look like a fault. All metrics share it; it knows no names and no units,
only how far each row lay from the channel's own mean, in the channel's own deviations (features: {features},
version {feature_version}). The agent's Scorer puts its answer beside two statistics, level and jump
(edge_agent/detection/scoring.py).

- Layers: {layers}, ReLU6 between them (what is bounded loses less when it is rounded), a logistic at the end
- sha256 of model.tflite: `{sha256}`
- float32.npz holds the same weights before rounding; devices don't read it

## How it was made

It learned to tell real series with synthetic faults in them (spike, level shift, drift, stuck, noise, lost
seasonality: models/faults.py) from the same series without. No label of any real incident was used.

    {command}

Libraries: {libraries}. Ops are deterministic, oneDNN is switched off, nothing depends on the clock.
{repeated} Another processor or another TensorFlow may add in another order and give other bytes.

## Data

Only rows without labels: `train` of the Server Machine Dataset (Su et al., KDD 2019) and of the Application
Server Dataset (Li et al., KDD 2021), and the values of Numenta Anomaly Benchmark streams; all three are under
the MIT licence. {files} files, each with its SHA-256, are listed in manifest.json. Every fifth series, by
name, was held out.

## Figures

Synthetic faults in the held-out series ({examples_held_out} windows, half of them faulty; {examples_trained}
trained on):

| | AUC-PR |
|---|---|
| float32 | {auc_pr_float} |
| int8 | {auc_pr_int8} |

Rounding to int8 moves an answer by {int8_mean_difference} on average and {int8_largest_difference} at most.

How often a faulty window is judged more unusual than a usual one (area under ROC, int8; 0.5 is guessing):

{kinds}

These figures say how well it learned its exercise. Whether that helps with real incidents, `make eval` measures:
docs/detection.md has the table.

## Limits

- Servers and applications taught it, not Raspberry Pis; nobody has labelled telemetry of those yet.
- Its window is {window} rows. A rhythm longer than that, such as day and night, is out of its sight.
- It sees one channel at a time: it can't know what temperature owes to load.
- It needs the channel's own mean and deviation first, so it says nothing useful in the first hours of a device.
- The false-alarm rate on other machines is not promised; the device calibrates itself, but holds no rate yet.
"""

_REPEATED = {
    True: "The training was done twice, and both times gave the same model.tflite to the byte.",
    False: "The training was done twice, and the two model.tflite DIFFER: this one can't be made again.",
}


def card(manifest: dict[str, Any]) -> str:
    """Return the card of an artifact."""
    layers = manifest["layers"]
    words = {
        "layers": " – ".join(map(str, layers)),
        "features": ", ".join(manifest["features"]),
        "parameters": sum((a + 1) * b for a, b in itertools.pairwise(layers)),
        "libraries": ", ".join(f"{name} {version}" for name, version in manifest["libraries"].items()),
        "repeated": _REPEATED[bool(manifest["repeatable"])],
        "kinds": "\n".join(f"- {kind}: {area}" for kind, area in manifest["calibration"]["auc_roc_by_kind"].items()),
        "files": len(manifest["data"]),
    }
    return _TEXT.format_map(manifest | manifest["calibration"] | words)
