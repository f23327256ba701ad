"""What a test tells at the end of the run, beside whether it passed: how much it tried."""

NOTE = "note"
"""The property that it records (`record_property`); `conftest.py` shows it."""
