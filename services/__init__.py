"""One folder, one process: the services that hold registers or keep the exchange running."""
