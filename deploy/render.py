"""Make what follows from the code: compose.yaml and the Kubernetes manifests. `--check` says what is out of date.

`python -m deploy.render`, after a change of `chopar/topics.py`, the lists of agencies or `deploy/processes.py`.
Alerts, dashboard and the Dockerfile are written by hand.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.compose import compose
from deploy.manifests import kafka, processes, topics, users
from gateway.list_version import ListVersion

FOLDER = Path(__file__).parent
LISTS = FOLDER.parent / "gateway" / "lists"
HEADER = "# Made by `python -m deploy.render`. Do not edit: it follows from the code.\n"


class _Plain(yaml.SafeDumper):  # the dumper in C has no hook for the indentation of lists
    """Written out in full, without anchors: a person has to read it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def text_of(documents: Iterable[Mapping[str, Any]], *, short: bool = False) -> str:
    """YAML of some documents, in the order in which they were put together.

    Args:
        documents: one after another.
        short: whether what holds nothing nested stands on one line; for files of hundreds of documents.
    """
    text: str = yaml.dump_all(
        documents,
        Dumper=_Plain,
        sort_keys=False,
        width=160 if short else 120,
        allow_unicode=True,
        default_flow_style=None if short else False,
    )
    return HEADER + text


def rendered() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    lists = ListVersion.load(LISTS)
    agencies = sorted(agency.id for agency in lists.agencies.values() if agency.is_connected_kind)
    holders = sorted({entry.provider for entry in lists.directory.values() if entry.connected})
    return {
        FOLDER / "compose.yaml": text_of([compose()]),
        FOLDER / "k8s" / "kafka.yaml": text_of(kafka()),
        FOLDER / "k8s" / "topics.yaml": text_of(topics(agencies), short=True),
        FOLDER / "k8s" / "users.yaml": text_of(users(agencies, holders), short=True),
        FOLDER / "k8s" / "processes.yaml": text_of(processes()),
    }


def main(argv: list[str] | None = None) -> int:
    """Write the files, or with `--check` compare them; 1 if one differs."""
    options = argparse.ArgumentParser(prog="python -m deploy.render", description=__doc__.splitlines()[0])
    options.add_argument("--check", action="store_true", help="change nothing; say what is out of date")
    check = options.parse_args(argv).check
    stale = [(path, text) for path, text in rendered().items() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(FOLDER.parent)}", file=sys.stderr)  # noqa: T201
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
