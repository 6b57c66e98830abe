"""Recordings, what is learnt from them, and how good the detection is: never imported by a device."""

import os

# one thread adds in one order, whatever the number of processors; for matrices as small as ours it is faster, too
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
