"""Virtual devices: stand-in hardware with faults whose instant of impact is known, under the real agent code."""
