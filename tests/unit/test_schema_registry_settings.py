"""What `python -m services.schema_registry` says of its settings, as a process."""

import os
import subprocess
import sys

import pytest

PREFIX = "CHOPAR_SCHEMA_REGISTRY_"
GOOD = {f"{PREFIX}KAFKA__BOOTSTRAP": "127.0.0.1:19092", f"{PREFIX}HTTP__ADDRESS": "127.0.0.1:18081"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHOPAR_")}
    return subprocess.run(
        [sys.executable, "-m", "services.schema_registry", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_accepts_valid_settings() -> None:
    done = run("--check", **GOOD)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", GOOD)
def test_check_names_what_is_missing(missing: str) -> None:
    done = run("--check", **{name: value for name, value in GOOD.items() if name != missing})
    assert done.returncode == 2
    assert missing.removesuffix("__BOOTSTRAP").removesuffix("__ADDRESS") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("HTTP__ADDRESS", "0.0.0.0:18081"), ("KAFKA__BOOTSTRAP", "192.0.2.1:9092")]
)
def test_an_address_that_is_not_loopback_is_refused(name: str, value: str) -> None:
    done = run(**GOOD | {PREFIX + name: value})
    assert done.returncode == 2
    assert "--insecure" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
