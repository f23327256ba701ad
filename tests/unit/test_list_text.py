"""The text of a list file, read a part at a time: it says what it says as a whole, or is refused as a whole."""

import tomllib

import pytest

from gateway.list_version import FILES
from gateway.lists.reading import loads
from tests.standing import bundle

TABLE = '[[a]]\nid = "%s"\n'
TWO = TABLE % "x" + TABLE % "y"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [1, 500, 20_000])
def test_parts_say_what_the_whole_says(name: str, size: int) -> None:
    text = bundle()[name].decode()
    assert loads(text, size) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        f"# a remark\r\n \r\n{TWO}",
        f"{TWO}[[b]]\n[b.c]\nd = true\n[[a]]\n",
        f"{TWO}[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n",
        f"{TWO}[b]\nc = 1\n",
        f"{TWO}b = [\n[[1]],\n[[2]]\n]\n{TWO}",
        f'{TWO}b = """\n[[a]]\n"""\n{TWO}',
        f"{TWO}b = '''\n[[a]]\n'''\n{TWO}",
        f"c = 1\n{TWO}",
        f"b = [1]\n{TWO}",
    ],
)
def test_whatever_else_stands_there_is_read_as_a_whole(text: str) -> None:
    assert loads(text, 1) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text", [f"a = []\n{TWO}", f"{TWO}[a]\nb = 1\n", f"{TWO}[[a]\n", f"{TWO}id = 1\n", f"[a]\nb = 1\n{TWO}"]
)
def test_what_is_wrong_as_a_whole_is_wrong_in_parts(text: str) -> None:
    with pytest.raises(ValueError, match=r"line \d|Cannot|Invalid"):
        loads(text, 1)
