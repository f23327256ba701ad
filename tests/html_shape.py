"""Whether a page is whole: tags closed in their order, ids once, every label and reference to something."""

from html.parser import HTMLParser

VOID = {"meta", "input", "link", "br", "img", "hr"}


class Shape(HTMLParser):
    """What a page consists of; `flaws` says what is wrong with it.

    Args:
        page: its text.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.flaws: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        self.flaws += [f"not closed: {tag}" for tag in self._open]
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        self.flaws += [f"twice: {one}" for one in set(ids) if ids.count(one) > 1]
        for tag, attributes in self.elements:
            for name in ("for", "aria-labelledby", "aria-describedby"):
                self.flaws += [f"{tag} {name}: no {one}" for one in attributes.get(name, "").split() if one not in ids]
        labelled = {attributes["for"] for tag, attributes in self.elements if tag == "label" and "for" in attributes}
        for tag, attributes in self.elements:
            is_field = tag == "select" or (tag == "input" and attributes.get("type") == "date")
            if is_field and attributes.get("id") not in labelled:
                self.flaws.append(f"no label: {attributes.get('name')}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.flaws.append(f"{tag}: an attribute twice")
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.flaws.append(f"closed out of order: {tag}")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "option"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """What stands on it, without the choices."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of the elements of a kind that have these."""
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]
