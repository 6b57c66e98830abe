"""`python -m cloud` is `support-cloud`."""

import sys

from cloud.cli import main

sys.exit(main())
