"""Virtual devices: the real agent on simulated hardware, with injected faults whose time of impact is known.

What flows in: device names and faults. What flows out: MQTT messages, as a real device would send them. The package
also holds the demo and the smoke test, which start a cloud and an agent as processes and read cases over the REST API.
"""
