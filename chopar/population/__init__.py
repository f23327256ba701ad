"""Synthetic people, families and firms, by seed; pure."""
