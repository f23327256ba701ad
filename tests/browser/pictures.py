"""Takes the pictures of the page "May they ask?" in `docs/pictures`: `python -m tests.browser.pictures`."""

import tempfile
from pathlib import Path
from urllib.parse import urlencode

from chopar.errors import ConfigurationError
from tests.browser import chromium
from tests.browser.serving import served

DOCS = Path(__file__).resolve().parents[2] / "docs" / "pictures"
QUESTION = {
    "requester": "electricity-het",
    "procedure": "electricity-supply-contract",
    "document": "tax-debt-certificate",
    "on": "2026-11-26",
}
PICTURES = {
    "may-they-ask-desk-en": (1280, 800, "en"),
    "may-they-ask-phone-uz": (360, 1180, "uz"),
    "may-they-ask-phone-ru": (360, 1180, "ru"),
}


def main() -> None:
    """Take them all."""
    program = chromium.found()
    if program is None:
        raise ConfigurationError("no Chromium on the path (Debian and Ubuntu: apt install chromium)")
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as address:
        profile = Path(name) / "profile"
        profile.mkdir()
        with chromium.running(program, profile) as browser:
            for picture, (width, height, language) in PICTURES.items():
                page = browser.page()
                page.size(width, height)
                place = "#answer" if width < 500 else ""  # where the form leads to
                page.open(f"{address}/may-they-ask?{urlencode({**QUESTION, 'lang': language})}{place}")
                path = DOCS / f"{picture}.png"
                path.write_bytes(page.picture())
                print(f"{path.name}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
