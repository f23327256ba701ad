"""The gateway process: a demand becomes data fetches, by the lists of what may not be demanded."""
