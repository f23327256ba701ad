"""The gateway process: a demand becomes data fetches, by the lists of what may not be demanded."""

import chopar.plain_structlog  # noqa: F401
