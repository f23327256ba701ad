"""The noun `up`: have the local stack running, send the example demands of its plan, print what Kafka holds of them."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.session import Session, checkout

if TYPE_CHECKING:
    from chopar.broker.plan import ExampleDemand
    from chopar.broker.stack import Stack
    from chopar.cli.demand_answer import Answer
    from chopar.cli.demand_flags import Asked
    from chopar.cli.output import Output, Table

app = typer.Typer(name="up", rich_markup_mode=None)

_WAIT_SECONDS = 30.0
_MEGABYTE = 1_000_000
_PERCENT_A_LINE = 10  # where each step is a line of its own: a log, a pipe
_ORDINALS = {"first": 0, "second": 1, "third": 2}


@app.command()
def up(
    context: typer.Context,
    plan: Annotated[
        Path | None, typer.Option(help="What to start; deploy/local.toml of the checkout otherwise.", metavar="FILE")
    ] = None,
    demands: Annotated[bool, typer.Option("--demands/--no-demands", help="Send the example demands.")] = True,
) -> int:
    """Start Kafka, schema registry, gateway and services, and send two example demands. Again: only what is missing.

    Exit codes: 0 everything is ready and the gateway answers (a holder that does not is named); 1 the gateway's answer
    is still waited for; 2 a port, jar or setting is wrong; 3 something does not come up.
    """
    from chopar.broker.local_stack import start
    from chopar.broker.plan import load_plan
    from chopar.broker.ports import port_base

    session = Session.of(context)
    output = session.output
    path = plan_path(plan)
    examples = load_plan(path).demands if demands else ()
    stack = start(
        session.home(),
        path,
        port_base(session.environ),
        Progress(output.step, 1 if sys.stderr.isatty() else _PERCENT_A_LINE),
        environ=session.environ,
    )
    output.end_step()
    answers = session.run(lambda: _answers(_on(session, stack), examples)) if examples else []
    coming = session.run(lambda: _coming(_on(session, stack))) if answers else []
    output.show(to_json(session, stack, answers, coming), *to_text(stack, answers))
    _words(output, answers, coming)
    unheard, unanswered = silence(answer for _, answer in answers)
    for holder in unheard:
        output.say(
            f"{holder} has not answered in {_WAIT_SECONDS:.0f} s: it is connected, and its process may not run. "
            f"All else is ready; its answer is taken when it comes (`{program()} demand list`)."
        )
    if unanswered:
        output.say(
            f"The gateway has not answered {unanswered} of the example demands in {_WAIT_SECONDS:.0f} s: "
            f"`{program()} doctor` looks for why."
        )
    return ExitCode.NO if unanswered else ExitCode.DONE


def silence(answers: "Iterable[Answer]") -> tuple[list[str], int]:
    """Who keeps demands waiting: the holders that are silent, and how many demands the gateway has not answered."""
    waiting = [answer for answer in answers if answer.status == "waiting"]
    documents = [[one for one in answer.documents if one.arrived_ms is None] for answer in waiting]
    holders = {one.provider for ones in documents for one in ones if one.outcome is not None and one.provider}
    return sorted(holders), sum(any(one.outcome is None for one in ones) for ones in documents)


def plan_path(given: Path | None) -> Path:
    """The plan's file.

    Raises:
        ConfigurationError: none was given, and this is no checkout.
    """
    from chopar.errors import ConfigurationError

    folder = checkout()
    if given is not None:
        return given
    if folder is None:
        raise ConfigurationError("the local stack is started from a checkout of the project; elsewhere say --plan FILE")
    return folder / "deploy" / "local.toml"


class Progress:
    """Says how far a step is: each process, but of a download only every so many percent.

    Args:
        say: takes the words.
        percent: of a download, between one saying and the next.
    """

    def __init__(self, say: Callable[[str], None], percent: int) -> None:
        self._say = say
        self._percent = percent
        self._told = -1

    def __call__(self, step: str, done: int, total: int) -> None:
        """Take how far the step is."""
        if step == "jars":
            part = done * 100 // max(total, 1) // self._percent
            if part == self._told:
                return
            self._told = part
        self._say(progress_words(step, done, total))


def progress_words(step: str, done: int, total: int) -> str:
    """How far a step is, in words."""
    if step == "jars":
        return f"fetching Kafka's jars: {done / _MEGABYTE:.0f} of {total / _MEGABYTE:.0f} MB"
    if step == "changed":
        return "what runs was started with other ports, settings or another plan: it is stopped and started anew"
    if step == "processes":
        return f"starting: {done} of {total} are ready"
    return f"{step}: {done} of {total}"


def to_json(
    session: Session, stack: "Stack", answers: "list[tuple[ExampleDemand, Answer]]", coming: list[dict[str, Any]]
) -> dict[str, Any]:
    """As it is printed."""
    return {
        "home": str(session.home()),
        "addresses": stack.addresses,
        "processes": [
            {"name": process.name, "pid": process.pid, "address": process.address, "ready": process.ready}
            for process in stack.processes
        ],
        "synthetic": True,
        "coming_law": coming,
        "demands": [
            {
                "title": example.title,
                "requester": example.requester,
                "procedure": example.procedure,
                "fetch_mode": answer.fetch_mode,
                "answer": answer.to_json(),
            }
            for example, answer in answers
        ],
    }


def to_text(stack: "Stack", answers: "list[tuple[ExampleDemand, Answer]]") -> "list[Table | str]":
    """The answers as tables, and where everything listens."""
    from chopar.cli import demand_text
    from chopar.cli.output import Table
    from chopar.texts import Texts

    texts = Texts.shipped()
    parts: list[Table | str] = []
    for example, answer in answers:
        title = f"{example.title}\n{example.requester}, {example.procedure}"
        parts += [*demand_text.parts(answer, texts, title=title), ""]
    listening = [(process.name, process.address, process.pid) for process in stack.processes if process.address]
    parts.append(Table(("listens", "address", "pid"), listening, right=frozenset({"pid"})))
    return parts


async def _answers(session: Session, examples: "tuple[ExampleDemand, ...]") -> "list[tuple[ExampleDemand, Answer]]":
    from chopar.cli.demand_create import answer_in

    found = []
    for example, asked in zip(examples, asked_by(examples), strict=True):
        session.output.step(f"demand of {example.requester}: waiting for the answer")
        found.append((example, await answer_in(session, asked, _WAIT_SECONDS)))
    session.output.end_step()
    return found


async def _coming(session: Session) -> list[dict[str, Any]]:
    from chopar.cli.gateway_client import GatewayClient

    async with session.gateway_client() as client:
        return await GatewayClient(client).coming_law()


def asked_by(examples: "tuple[ExampleDemand, ...]") -> "list[Asked]":
    """The examples as demands: whom they are about is drawn from the synthetic population."""
    from chopar.cli.demand_flags import Flags, read_flags
    from chopar.population import DEFAULT_SEED, Population

    population = Population.make(DEFAULT_SEED)
    people, firms = population.people_for_examples(), population.firms_for_examples()

    def person(which: str) -> str:
        return people[_ORDINALS[which]].pinfl.text if which in _ORDINALS else which

    def business(which: str) -> str:
        return firms[_ORDINALS[which]].stir.text if which in _ORDINALS else which

    def filled(texts: tuple[str, ...], which: str | None) -> list[str]:
        if which not in _ORDINALS:
            return list(texts)
        firm = firms[_ORDINALS[which]]
        owned = firm.objects[0]
        values = {
            "{founder}": firm.founders[0].text,
            "{account_address}": owned.account_address,
            "{cadastral_number}": owned.cadastral_number,
        }
        for name, value in values.items():
            texts = tuple(text.replace(name, value) for text in texts)
        return list(texts)

    return [
        read_flags(
            Flags(
                requester=example.requester,
                procedure=example.procedure,
                document=example.documents,
                person=person(example.person) if example.person else None,
                business=business(example.business) if example.business else None,
                party=filled(example.parties, example.business),
                with_=filled(example.parameters, example.business),
            )
        )
        for example in examples
    ]


def _on(session: Session, stack: "Stack") -> Session:
    """The session on the stack that was just started, whatever the command line says."""
    from dataclasses import replace

    addressed = {
        option: stack.addresses[key]
        for option, key in (("--bootstrap", "bootstrap"), ("--registry", "registry"), ("--gateway", "gateway"))
        if key in stack.addresses
    }
    return replace(session, given={**session.given, **addressed})


def _words(output: "Output", answers: "list[tuple[ExampleDemand, Answer]]", coming: list[dict[str, Any]]) -> None:
    modes = sorted({str(answer.fetch_mode) for _, answer in answers if answer.fetch_mode})
    output.say("")
    output.say("The registers are synthetic: nobody in them exists.")
    if modes:
        output.say(
            f"The list version in force fetches in mode `{', '.join(modes)}`"
            + (": access grounds count although their acts were not read by a lawyer." if "inferred" in modes else ".")
        )
    for law in coming:
        output.say(
            f"From {law.get('holds_from')} another list version holds ({str(law.get('list_digest'))[:12]}, "
            f"fetch mode {law.get('fetch_mode')})."
        )
    traced = next((answer.demand_id for _, answer in answers if answer.demand_id), None)
    if traced:
        output.say(
            f"Next: {program()} demand trace {traced}   (every hop with its time; `{program()} status`: the processes)"
        )
    else:
        output.say(f"Next: {program()} status")


def program() -> str:
    """How this program is called from here: by its name if it is on the path, else by its place."""
    import shutil

    python = Path(sys.executable)
    script = python.with_name("chopar")
    found = shutil.which("chopar")
    if found and Path(found).resolve() == script.resolve():
        return "chopar"
    if not _names_its_folder(script):
        return f"{_from_here(python)} -m chopar.cli"
    return _from_here(script)


def _names_its_folder(script: Path) -> bool:
    """Whether a console script can run: its first line names the Python beside it, unless its folder was moved."""
    try:
        with script.open("rb") as file:
            return str(script.parent).encode() in file.read(1024)
    except OSError:
        return False


def _from_here(path: Path) -> str:
    """A path as it is typed from the current folder; links are not followed, for Python's own is one."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
