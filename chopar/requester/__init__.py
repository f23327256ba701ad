"""An agency that asks: in memory, where a process waits for its answers, and durably, where they are acted on once."""
