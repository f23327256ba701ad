"""What the gateway's listener answers besides health and metrics: rehearsals, who may ask, the public page, open data.

A rehearsal resolves for any day and any requester of the list, sends nothing, fetches nothing and records nothing;
identifiers are checked and dropped. It has no authentication and therefore answers on loopback only.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from chopar.envelope import cloudevent_time
from chopar.errors import ChoparError, ConfigurationError, NotFoundError, UnavailableError
from chopar.identifiers import AgencyId
from chopar.messages.demand import MAX_ASKED, MAX_PARTIES, ActingAs, AskedHolder, DemandedDocument, Party, Subject
from chopar.messages.record import places_of
from gateway.answer import demand_of
from gateway.conditional import HeadAsGet
from gateway.law import Activation
from gateway.law_reader import LawReader
from gateway.public import public_routes
from gateway.resolver import resolve
from gateway.shown import shown

_STATUS = {NotFoundError: 404, ConfigurationError: 400, UnavailableError: 503}


class Rehearsal(BaseModel):
    """A demand that is only tried out."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    requester: Annotated[str, Field(max_length=120)]
    procedure: Annotated[str, Field(max_length=120)]
    subject: Subject
    parties: Annotated[list[Party], Field(max_length=MAX_PARTIES)] = []
    applicant: Subject | None = None
    acting_as: ActingAs = ActingAs.SELF
    circumstances: dict[str, Literal["yes", "no"]] = {}
    documents: Annotated[list[DemandedDocument], Field(min_length=1)]
    asked: Annotated[
        list[AskedHolder],
        Field(max_length=MAX_ASKED, description="Holders to pass over, as if they had had no record."),
    ] = []
    on: Annotated[date | None, Field(description="Day in Tashkent; today if it is left out.")] = None


def gateway_app(law: LawReader, lists_folder: Path) -> FastAPI:
    """The application.

    Args:
        law: which lists hold.
        lists_folder: where list versions lie, which are open data.
    """
    app = FastAPI(
        title="Chopar gateway",
        version="1",
        summary="What may not be demanded of a person, and where the data are fetched instead.",
        docs_url=None,
        redoc_url=None,
    )
    router, pages = public_routes(law, lists_folder)
    app.include_router(router)
    app.router.routes.extend(pages)
    app.add_middleware(HeadAsGet)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        """422 without the input: what was wrong is named, what was sent (keys too) is not repeated."""
        found = [{**e, "loc": e["loc"][1:]} for e in error.errors()]  # the first says that it was the body
        places = ", ".join(places_of(found, Rehearsal)) or "the body"
        return JSONResponse({"code": "invalid", "message": f"not valid: {places}"}, status_code=422)

    @app.exception_handler(ChoparError)
    async def failed(_: Request, error: ChoparError) -> Response:
        """404 and 400 for what was asked wrongly, 503 for what passes, 500 for what somebody has to look at."""
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        return JSONResponse({"code": error.code, "message": str(error)}, status_code=status)

    @app.get("/v1/requesters/{requester}")
    async def requester(requester: str) -> Response:
        """Whether an agency is known, and whether it is connected (a kind of body is not)."""
        agency = (await law.newest_ready()).lists.agencies.get(AgencyId(requester))
        if agency is None:
            body = {"code": "unknown_requester", "message": "no agency of this id stands in the list"}
            return JSONResponse(body, status_code=404)
        return JSONResponse({"requester": agency.id, "name": agency.name_en, "connected": agency.is_connected_kind})

    @app.get("/v1/law")
    async def in_force() -> dict[str, Any]:
        """Which list version holds at the last record read of `law.activated`, and which are to come."""
        now = law.law.read_to_ms
        held = law.law.held_at(now)
        return {
            "in_force": _activation(held) if held else None,
            "coming": [
                {**_activation(a), "holds_from": cloudevent_time(a.effective_at_ms)} for a in law.law.to_come(now)
            ],
        }

    @app.post("/v1/rehearsals")
    async def rehearse(given: Rehearsal) -> dict[str, Any]:
        """Resolve a demand for any day and any requester of the list; nothing is sent, fetched or recorded."""
        standing = await law.newest_ready()
        on = given.on or law.day()
        resolution = resolve(demand_of(given, given.asked), standing.lists, on, standing.fetch_mode, rehearsal=True)
        return {
            "on": on.isoformat(),
            "list_digest": standing.list_digest,
            "fetch_mode": standing.fetch_mode.value,
            "rules_number": standing.rules_number,
            "legal_basis_start": resolution.legal_basis_start,
            "refused": resolution.refused,
            "documents": [shown(document) for document in resolution.documents],
        }

    return app


def _activation(activation: Activation) -> dict[str, Any]:
    message = activation.message
    return {
        "list_digest": message.list_digest,
        "fetch_mode": message.fetch_mode.value,
        "activated_by": message.activated_by,
    }
