"""Which document of a demand a resolved one is: from what the gateway repeats of it back to what was sent. Pure."""

from collections.abc import Mapping

from chopar.errors import NotAnEffectError
from chopar.messages.demand import Demand, DemandResolved, ResolvedDocument


def parameters_of(demand: Demand, document: ResolvedDocument, resolution: DemandResolved | None) -> Mapping[str, str]:
    """With which parameters a document was demanded; one that replaces another has those of the other.

    Args:
        demand: as it was sent.
        document: as it was resolved, which has the names of its parameters alone.
        resolution: of the demand. Needed only where two documents are alike but for the values of their parameters.

    Raises:
        NotAnEffectError: it is no document of this demand, or one of several and `resolution` does not say which.
    """
    alike: dict[str, list[dict[str, str]]] = {}
    for demanded in demand.documents:
        if demanded.about == document.about and tuple(sorted(demanded.parameters)) == document.parameter_names:
            known = alike.setdefault(demanded.type, [])
            if demanded.parameters not in known:
                known.append(demanded.parameters)
    choices = alike.get(_demanded_type(document, alike, resolution), [])
    if len(choices) == 1:
        return choices[0]
    if not choices:
        raise NotAnEffectError("the answer is of no document of this demand, unless the resolution says otherwise")
    # A resolution keeps the order of the demand, each distinct document once.
    rivals = [one.request_id for one in (resolution.documents if resolution else ()) if _place(one) == _place(document)]
    if len(rivals) != len(choices) or document.request_id not in rivals:
        raise NotAnEffectError("several documents of the demand are alike, and no resolution says which one this is")
    return choices[rivals.index(document.request_id)]


def _demanded_type(
    document: ResolvedDocument, demanded: Mapping[str, object], resolution: DemandResolved | None
) -> str:
    """The type under which a document was demanded: its own, or that of the first in a row of replacements."""
    origin = document
    passed: set[str] = set()
    while origin.replaces is not None and origin.document_type not in passed:
        passed.add(origin.document_type)
        if origin.replaces in demanded or resolution is None:
            return origin.replaces
        sought = (origin.replaces, document.about, document.parameter_names)
        origin = next((one for one in resolution.documents if _place(one)[:3] == sought), origin)
    return origin.document_type


def _place(document: ResolvedDocument) -> tuple[str, str | None, tuple[str, ...], str | None]:
    return document.document_type, document.about, document.parameter_names, document.replaces
