"""The console script: finds the noun, loads it, runs it, and turns what went wrong into one sentence and an exit code.

The help of the whole is drawn from `nouns` without loading any noun, nor Typer: it answers at once.
"""

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from chopar.cli import nouns
from chopar.cli.exit_codes import ExitCode, of_error
from chopar.cli.output import hide_rejected
from chopar.cli.session import INSECURE, SHARED_HELP, Session, SharedOptionError, take_shared
from chopar.errors import ChoparError

if TYPE_CHECKING:
    from typer import TyperException


PROGRAM = "chopar"
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_HELP = ("--help", "-h")
_SURPLUS = "Got unexpected extra argument"  # how Typer begins what would repeat the words


def main(
    arguments: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Run a command line and give its exit code: 0 done, 1 the answer is no, 2 wrong use, 3 cannot reach.

    Args:
        arguments: without the program; those of the process by default.
        environ: the environment; that of the process by default.
        out: where data goes; standard output by default.
        err: where words go; standard error by default.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names go beyond what some terminals can show
    out, err = out or sys.stdout, err or sys.stderr
    try:
        return int(_run(list(arguments), os.environ if environ is None else environ, out, err))
    except SharedOptionError as error:
        print(f"{PROGRAM}: {hide_rejected(str(error))}. See `{PROGRAM} --help`.", file=err)
        return ExitCode.WRONG_USE
    except ChoparError as error:
        lines = (hide_rejected(line) for line in str(error).splitlines())  # several where a log's last words follow
        print(_sentence(f"{PROGRAM}: " + "\n".join(lines)), file=err)
        return of_error(error)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted; what was started goes on (`{PROGRAM} status`, `{PROGRAM} down`).", file=err)
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output(out)
        return ExitCode.DONE
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        reason = error.strerror or type(error).__name__
        print(f"{PROGRAM}: the system refuses{where}: {reason}. CHOPAR_HOME moves the state elsewhere.", file=err)
        return ExitCode.UNREACHABLE


def _run(arguments: list[str], environ: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    given, rest = take_shared(arguments)
    name = rest[0] if rest else ""
    if name in _HELP:
        print(overview(), file=out)
        return ExitCode.DONE
    if name == "--version":
        from importlib.metadata import version

        print(f"{PROGRAM} {version(PROGRAM)}", file=out)
        return ExitCode.DONE
    if not rest:
        print(overview(), file=err)
        return ExitCode.WRONG_USE
    noun = nouns.own(name) or next((noun for noun in nouns.brought() if noun.name == name), None)
    if noun is None:
        print(f"{PROGRAM}: {_unknown(name)} See `{PROGRAM} --help`.", file=err)
        return ExitCode.WRONG_USE
    command = _command(noun)
    # A noun that declares one of the shared options itself gets it back, behind its verb.
    for option in _declared(command):
        if option in given:
            value = given.pop(option)
            rest += [option] if option == INSECURE else [option, value]
    session = Session.begin(given, environ, Path.cwd(), out, err)
    return _invoke(command, noun.name, rest[1:], session, out, err)


def overview() -> str:
    """The help of the whole."""
    rows = [(noun.name, noun.help) for noun in (*nouns.OWN, *nouns.brought())]
    width = max(len(name) for name, _ in rows) + 2
    lines = [
        f"Usage: {PROGRAM} NOUN [VERB] [OPTIONS]",
        "",
        "Documents move between agencies, not citizens: run a local stack, send demands, look at the law.",
        "",
        "Nouns:",
        *(f"  {name:<{width}}{text}" for name, text in rows),
        "",
        SHARED_HELP,
        "",
        "Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 cannot reach.",
        f"More of a noun: {PROGRAM} NOUN --help",
    ]
    return "\n".join(lines)


def _unknown(name: str) -> str:
    package = nouns.brought_by(name)
    if package is not None:
        return (
            f"{name} comes with the {package}, not with the library: call it in a checkout of the project, "
            f"or ask those who run your exchange."
        )
    kind = "option" if name.startswith("-") else "command"
    sentence = f"there is no {kind} {hide_rejected(name)}."
    from difflib import get_close_matches

    near = get_close_matches(name, [noun.name for noun in (*nouns.OWN, *nouns.brought())], 1)
    return f"{sentence} Did you mean {near[0]}?" if near else sentence


def _command(noun: nouns.Noun) -> Any:
    app = noun.load()
    from typer.main import get_command

    # These two decide how errors and help are printed: by us, and as plain text.
    app.rich_markup_mode = None
    app.pretty_exceptions_enable = False
    app._add_completion = False
    return get_command(app)


def _declared(command: Any) -> Iterator[str]:
    """The options that a command and those below it declare."""
    for parameter in getattr(command, "params", ()):
        yield from parameter.opts
    for below in getattr(command, "commands", {}).values():
        yield from _declared(below)


def _invoke(command: Any, noun: str, rest: list[str], session: Session, out: TextIO, err: TextIO) -> int:
    from typer import Abort, TyperException

    try:
        code = command.main(args=rest, prog_name=f"{PROGRAM} {noun}", standalone_mode=False, obj=session)
    except Abort:
        print(f"{PROGRAM}: stopped; nothing more was done.", file=err)
        return ExitCode.NO
    except TyperException as error:
        print(_usage(error, f"{PROGRAM} {noun}"), file=err)
        return ExitCode.WRONG_USE
    if code == _INTERRUPTED:  # Typer turns a Ctrl-C into that number, without a word
        raise KeyboardInterrupt
    if _HELP[0] in rest:
        print(f"\n{SHARED_HELP}", file=out)
    return code if isinstance(code, int) else ExitCode.DONE


def _usage(error: "TyperException", path: str) -> str:
    """One sentence on what was typed wrongly; or the help, where only a noun was typed."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else path
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return message
    if message.startswith(_SURPLUS):
        message = "more words than it takes; a value with spaces in it stands in quotes."  # a name, as like as not
    near = getattr(error, "possibilities", None)
    if near:
        message = f"{error.message}. Did you mean {sorted(near)[0]}?"
    return f"{path}: {_sentence(hide_rejected(message))} See `{path} --help`."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _drop_output(out: TextIO) -> None:
    """The reader of our output has gone: whatever is still buffered for it goes nowhere."""
    if out is sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
