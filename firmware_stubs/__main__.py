"""`python -m firmware_stubs` is `virtual-devices`."""

import sys

from firmware_stubs.cli import main

sys.exit(main())
