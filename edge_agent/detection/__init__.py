"""Detection: what flows in are samples, what flows out are findings with their reasons. Pure: no I/O, no clock.

Read `pipeline.Pipeline.step` first; it names the stages in the order a sample passes them.
"""
