"""One folder, one process: the services that hold registers or keep the exchange running."""

import chopar.plain_structlog  # noqa: F401
