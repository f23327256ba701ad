"""Pages for people, rendered here and working without a script."""
