"""What the gateway tells everybody: the page "May they ask?", the same as JSON, and the lists as open data.

Nothing here is about a person: there is no field for one, what an address holds besides the known keys is passed over,
and what the lists do not know is not repeated. Everything may be kept by caches.
"""

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from chopar.errors import ChoparError, NotFoundError, UnavailableError
from chopar.identifiers import AgencyId, DocumentType, ProcedureId
from chopar.near import near_misses
from chopar.texts import Language, Texts
from gateway.conditional import FOR_EVER, SHORT, entity_tag, kept
from gateway.law_reader import LawReader
from gateway.list_version import ListVersion
from gateway.may_they_ask import KINDS, Answered, Question, answered, conditions
from gateway.open_data import FORMATS, TABLES, Shelf, difference_words, index, table
from gateway.pages.may_they_ask import CIRCUMSTANCE, JSON_PATH, PATH, Asked, MayTheyAskPage, Words
from gateway.shown import shown
from gateway.standing import Standing

_FORM = "2"
"""Goes into every entity tag: the next number when the same lists come out in another form."""
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_KEPT = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def public_routes(law: LawReader, lists_folder: Path) -> tuple[APIRouter, list[Route]]:
    """The JSON and CSV as a router (it is in the OpenAPI document), and the page.

    Args:
        law: which lists hold.
        lists_folder: where list versions lie.
    """
    texts = Texts.shipped(with_page=True)
    pages = [Route(PATH, _page(law, texts), name="may_they_ask"), Route("/", RedirectResponse(PATH), name="front")]
    return _router(law, Shelf(lists_folder), texts), pages


def _page(law: LawReader, texts: Texts) -> Any:
    page = MayTheyAskPage(texts)
    form = entity_tag(_FORM, page.edition)

    async def may_they_ask(request: Request) -> Response:
        """The page; 400 for a day that is none, 404 for what no list knows, 503 as long as no list can be read."""
        language, is_said = _language(request)
        headers = {
            "Content-Security-Policy": page.policy,
            "Referrer-Policy": "no-referrer",
            "Content-Language": language.value,
            "X-Frame-Options": "DENY",
            **({} if is_said else {"Vary": "Accept-Language"}),
        }
        try:
            standing = await law.newest_ready()
        except ChoparError as error:
            body = page.render(Asked(None, flaw="not_ready"), None, None, language)
            status = 503 if isinstance(error, UnavailableError) else 500
            return Response(body, status, {**headers, **_NOT_KEPT}, "text/html")
        asked = _asked(request.query_params, standing.lists, law.day())
        if asked.flaw:
            body = page.render(asked, None, standing.lists, language)
            return Response(body, _status(asked), {**headers, **_NOT_KEPT}, "text/html")
        question = asked.question

        def made() -> str:
            found = answered(question, standing.lists, standing.fetch_mode) if question else None
            return page.render(asked, found, standing.lists, language)

        tag = entity_tag(form, *_standing_parts(standing), language.value, repr(asked))
        return kept(request, tag, SHORT, "text/html", headers, made)

    return may_they_ask


def _router(law: LawReader, shelf: Shelf, texts: Texts) -> APIRouter:
    router = APIRouter()

    @router.get(JSON_PATH)
    async def may_they_ask(
        request: Request,
        requester: Annotated[str, Query(description="Agency that would ask.")] = "",
        procedure: Annotated[str, Query(description="What for.")] = "",
        document: Annotated[str, Query(description="The paper.")] = "",
        on: Annotated[str, Query(description="Day in Tashkent, YYYY-MM-DD; today if it is left out.")] = "",
        kind: Annotated[str, Query(description="Whom the case is about: `person` or `business`.")] = "",
        about: Annotated[str, Query(description="Kind of another party that the paper is about.")] = "",
        lang: Annotated[str, Query(description="`uz`, `ru` or `en`.")] = "",
    ) -> Response:
        """Whether an agency may ask for a paper, without anybody's identifier. `circumstance.CODE=yes|no` says more.

        404 with `code` and `near` for an agency, procedure or paper that the lists do not know: nothing is looked up.
        """
        del requester, procedure, document, on, kind, about, lang  # read below with the circumstances; here for OpenAPI
        standing = await law.newest_ready()
        language, is_said = _language(request)
        words = Words(texts, language)
        asked = _asked(request.query_params, standing.lists, law.day())
        if asked.flaw or asked.question is None:
            return JSONResponse(_problem(asked, words), _status(asked), _NOT_KEPT)
        question = asked.question
        tag = entity_tag(_FORM, "json", texts.edition, *_standing_parts(standing), language.value, repr(asked))
        headers = {"Content-Language": language.value, **({} if is_said else {"Vary": "Accept-Language"})}

        def made() -> str:
            found = answered(question, standing.lists, standing.fetch_mode)
            return json.dumps(_answer(asked, found, standing, words), ensure_ascii=False)

        return kept(request, tag, SHORT, "application/json", headers, made)

    @router.get("/v1/lists")
    def lists(request: Request) -> Response:
        """Which lists there are as open data: the version in force, its tables, other versions. It is not complete."""
        standing = law.newest_standing()
        digests = shelf.digests()
        tag = entity_tag(_FORM, *_standing_parts(standing), *digests)

        def made() -> str:
            return json.dumps(index(standing.lists, standing.fetch_mode, digests), ensure_ascii=False)

        return kept(request, tag, SHORT, "application/json", _OPEN, made)

    @router.get("/v1/lists/{digest}/{file}")
    def one_list(request: Request, digest: str, file: str) -> Response:
        """One table of a list version, whose names `/v1/lists` gives, as `.json` or `.csv`."""
        name, _, ending = file.rpartition(".")
        if ending not in FORMATS or name not in TABLES:
            raise NotFoundError(f"the tables are {', '.join(TABLES)}, each as .json and .csv")
        version = shelf.version(digest, in_force=law.newest_standing().lists)
        media_type, written = FORMATS[ending]
        tag = entity_tag(_FORM, version.digest, name, ending)
        disposition = f'inline; filename="{name}-{version.digest[:12]}.{ending}"'
        headers = {**_OPEN, "Content-Disposition": disposition}
        return kept(request, tag, FOR_EVER, media_type, headers, lambda: written(table(version, name)))

    @router.get("/v1/lists/{before}/diff/{after}")
    def diff(
        request: Request,
        before: str,
        after: str,
        form: Annotated[str, Query(alias="format", description="`json` or `text`.")] = "json",
    ) -> Response:
        """What differs between two list versions, in words and field by field."""
        in_force = law.newest_standing().lists
        older, newer = shelf.version(before, in_force=in_force), shelf.version(after, in_force=in_force)
        media_type, written = difference_words(form)
        tag = entity_tag(_FORM, older.digest, newer.digest, media_type)
        # The words are the code's, not the lists', so they are not kept for ever.
        return kept(request, tag, SHORT, media_type, _OPEN, lambda: written(older, newer))

    return router


_OPEN = {"Access-Control-Allow-Origin": "*"}
"""Open data: a page of anybody's may read it."""


def _standing_parts(standing: Standing) -> tuple[str, ...]:
    return standing.list_digest, standing.fetch_mode.value, str(standing.rules_number)


def _asked(query: Mapping[str, str], lists: ListVersion, today: date) -> Asked:
    """What an address asks; keys and values that mean nothing here are passed over."""
    requester, procedure, document = (query.get(name, "") for name in ("requester", "procedure", "document"))
    day, kind, about = (query.get(name, "").strip() for name in ("on", "kind", "about"))
    flaw = ""
    try:
        on = _day(day) if day else today
    except ValueError:
        on, flaw = today, "bad_day"
    kinds = {one.value: one for one in KINDS}
    if (kind and kind not in kinds) or (about and about not in kinds):
        flaw = flaw or "bad_kind"
    near: tuple[str, ...] = ()
    for code, name, among in (
        ("unknown_requester", requester, lists.agencies),
        ("unknown_procedure", procedure, lists.procedures),
        ("unknown_document", document, lists.documents),
    ):
        if name and name not in among and not flaw:
            flaw, near = code, tuple(near_misses(name, among))
    known = conditions(DocumentType(document), lists)
    circumstances = {
        code: query[key] == "yes"
        for key in sorted(query)
        if (code := key.removeprefix(CIRCUMSTANCE)) != key and code in known and query[key] in ("yes", "no")
    }
    whole = requester and procedure and document and not flaw
    return Asked(
        question=Question(requester, procedure, document, on, kinds.get(kind), kinds.get(about), circumstances)
        if whole
        else None,
        requester=requester if AgencyId(requester) in lists.agencies else "",
        procedure=procedure if ProcedureId(procedure) in lists.procedures else "",
        document=document if DocumentType(document) in lists.documents else "",
        on=on.isoformat(),
        kind=kinds.get(kind),
        about=kinds.get(about),
        circumstances=tuple(circumstances.items()),
        flaw=flaw,
        near=near,
    )


def _status(asked: Asked) -> int:
    return 404 if asked.flaw.startswith("unknown_") else 400


def _problem(asked: Asked, words: Words) -> dict[str, Any]:
    """Why a question has no answer; what was asked is not repeated."""
    message = words.page(asked.flaw or "choose_all")
    if _status(asked) == 404:
        return {"code": asked.flaw, "message": message, "near": list(asked.near)}
    return {"code": "invalid", "message": message}


def _day(text: str) -> date:
    if not _DAY.fullmatch(text):
        raise ValueError
    return date.fromisoformat(text)


def _answer(asked: Asked, found: Answered, standing: Standing, words: Words) -> dict[str, Any]:
    """The answer as JSON: codes, and the page's sentences in one language beside them."""
    document = found.document
    said = dict(asked.circumstances)
    return {
        "requester": asked.requester,
        "procedure": asked.procedure,
        "document": asked.document,
        "on": asked.on,
        "kind": found.kind.value,
        "about": asked.about.value if asked.about else None,
        "circumstances": {code: _yes_or_no(said.get(code)) for code in found.circumstances},
        "person_may_be_asked": document.person_may_be_asked.value,
        "refused": found.resolution.refused,
        "conducted_by": list(found.conducted_by),
        "documents": [
            {
                **shown(one),
                "document_type": one.document_type if one.document_type in standing.lists.documents else None,
            }
            for one in found.resolution.documents
        ],
        "said": {
            "language": words.language.value,
            "person_may_be_asked": words.page(f"answer_{document.person_may_be_asked.value}"),
            "outcome": words.outcome(document),
            "code": words.say("code", document.code),
            "next_step": words.step(document, words.holder(document, standing.lists)),
            "not_complete": words.page("not_complete"),
            "paper_accepted": words.say("always", "paper_accepted"),
        },
        "complete": False,
        "list_digest": standing.list_digest,
        "fetch_mode": standing.fetch_mode.value,
        "rules_number": standing.rules_number,
    }


def _yes_or_no(said: bool | None) -> str | None:
    return None if said is None else "yes" if said else "no"


def _language(request: Request) -> tuple[Language, bool]:
    """The language, and whether the address says it; else the first of ours that the browser's reader knows."""
    said = request.query_params.get("lang", "")
    if said in tuple(Language):
        return Language(said), True
    weighed: list[tuple[float, int, Language]] = []
    for place, part in enumerate(request.headers.get("accept-language", "").split(",")[:20]):
        name, _, weight = part.partition(";")
        code = name.strip().lower().split("-")[0]
        if code in tuple(Language) and (quality := _quality(weight)) > 0:
            weighed.append((-quality, place, Language(code)))
    return (min(weighed)[2] if weighed else Language.UZBEK), False


def _quality(weight: str) -> float:
    name, _, value = weight.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
