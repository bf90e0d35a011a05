"""`python -m kdzoo` is the command `kdzoo`."""

import sys

from kdzoo.cli import main

sys.exit(main())
