"""An agency that answers: what a function for each evidence type needs around it, up to the whole process."""
