"""The network that ships for virtual pumps fits the features that this agent computes."""

from edge_agent.artifacts.tflite_network import MODEL_FILE, load_network, shipped_network
from edge_agent.detection.machine.classifier import feature_names
from firmware_stubs.device import PUMP_NETWORK
from firmware_stubs.pump import FAST_CHANNELS


def test_the_shipped_network_is_intact_and_made_for_the_channels_of_a_virtual_pump() -> None:
    network = load_network(shipped_network(PUMP_NETWORK), feature_names(FAST_CHANNELS))

    assert network.name == PUMP_NETWORK
    assert network.outputs == ("logit",)
    assert (shipped_network(PUMP_NETWORK) / MODEL_FILE).stat().st_size < 20_000
