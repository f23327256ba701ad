"""`python -m chopar.cli`, for where the script is not on the path."""

import sys

from chopar.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
