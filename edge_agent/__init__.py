"""The agent on the device. `agent.py` is the loop; `assembly.py` builds its parts."""

import os
from importlib.metadata import version

# Our arrays have a few thousand numbers at most. A BLAS thread for each core would cost 9 MB here and gain nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = version("forewarn")
