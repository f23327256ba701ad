"""Runs a line of Python as a module would be run by the bench's variant."""

import sys

if __name__ == "__main__":
    exec(sys.argv[1])
