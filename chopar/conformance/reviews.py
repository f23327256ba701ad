"""What the conformance kit checks of a provider that looks again: answers that stand, corrections, whose they are.

The checks are `chopar.conformance`'s; who plays the other side, `rig`'s.
"""

from datetime import timedelta
from hashlib import sha256

from chopar.conformance.rig import Answered, Case, Reviewed, Rig, require
from chopar.identifiers import uuid7
from chopar.messages.dispute import EvidenceCorrected, EvidenceDisputed, EvidenceUpheld
from chopar.messages.entitlement import beyond
from chopar.messages.evidence import EvidenceRequested
from chopar.provider.corrections import Corrections

_OTHER = sha256(b"an answer that was never given").digest()


async def dispute(rig: Rig, case: Case) -> None:
    """An answer stands while the register says so; one that is another takes the place of what is named."""
    request = rig.request(case, case.hit)
    first = await rig.ask(request)
    disputed = await rig.dispute(request, _digest(first))
    [upheld] = await rig.reviews(request)
    require(isinstance(upheld.said, EvidenceUpheld), "what the register still says is corrected")
    _require_recorded(upheld, disputed)
    before = rig.register.calls
    again = await _again(rig, request, disputed, 2)
    require(again.value == upheld.value, "the same dispute is answered by other bytes: is a clock or chance in it?")
    require(again.message_id == upheld.message_id, "what is said to the same dispute has another id")
    require(rig.register.calls > before, "a dispute is answered without asking the register")
    other = await rig.dispute(request, _OTHER)
    corrected = (await rig.reviews(request, 3))[2]
    body = await _evidence(rig, case, corrected, other)
    require(corrected.said.provider == rig.provider.agency, "a correction is another agency's")
    require(len(corrected.value) == len(upheld.value), "the size tells a correction from an answer that stands")
    require(body == first.provided.body, "the same register gives another body when the answer is disputed")
    await _fields_cut(rig, case)
    await _too_late(rig, case)


async def correction(rig: Rig, case: Case) -> None:
    """After the register has changed: what is disputed is corrected, and what nobody disputes too."""
    assert case.change is not None
    request, other = rig.request(case, case.hit), rig.request(case, case.hit)
    first, told = await rig.ask(request), await rig.ask(other)
    await case.change()
    disputed = await rig.dispute(request, _digest(first))
    [corrected] = await rig.reviews(request)
    require(isinstance(corrected.said, EvidenceCorrected), "after `change` the register says the same")
    body = _corrected(corrected, disputed)
    require(body != first.provided.body, "after `change` the register says the same")
    require(corrected.message_id != first.message_id, "another answer has the id of the first")
    async with Corrections(rig.handler, rig.bus, rig.decoder, rig.clock) as corrections:
        put_right = uuid7(rig.clock(), 1)
        sent = await corrections.correct(lambda asked: asked.request_id == other.request_id, put_right)
    require(sent.corrected == 1, "the holder's own correction does not reach who was told")
    [by_itself] = await rig.reviews(other)
    require(
        isinstance(by_itself.said, EvidenceCorrected)
        and (by_itself.said.correction_id, by_itself.said.supersedes) == (put_right, None)
        and by_itself.said.body != told.provided.body,
        "the holder's own correction is not what the register says",
    )


async def _again(rig: Rig, request: EvidenceRequested, disputed: EvidenceDisputed, count: int) -> Reviewed:
    await rig.put(disputed, disputed.dispute_id, disputed.demand_id, disputed.disputed_at)
    return (await rig.reviews(request, count))[count - 1]


async def _fields_cut(rig: Rig, case: Case) -> None:
    only = case.all_fields[0]
    request = rig.request(case, case.hit, fields=(only,))
    await rig.ask(request)
    disputed = await rig.dispute(request, _OTHER)
    [corrected] = await rig.reviews(request)
    await _evidence(rig, case, corrected, disputed)
    if isinstance(corrected.said, EvidenceCorrected):
        _, datum = await rig.decoder.datum(corrected.said.body)
        more = beyond(datum, (only,))
        require(not more, f"with the field {only} alone a correction gives {', '.join(more)} too")


async def _too_late(rig: Rig, case: Case) -> None:
    now = rig.clock()
    late = rig.request(case, case.hit, as_of=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    await rig.dispute(late, _OTHER)
    sentinel = rig.request(case, case.hit)
    await rig.ask(sentinel)
    require(not await rig.reviewed(late), "a dispute is answered although the time of its request is over")


async def _evidence(rig: Rig, case: Case, reviewed: Reviewed, disputed: EvidenceDisputed) -> bytes:
    """The body of a correction that holds evidence."""
    body = _corrected(reviewed, disputed)
    name, _ = await rig.decoder.datum(body)
    require(name == case.record.RECORD, f"a correction is no {case.record.__name__}")
    return body


def _corrected(reviewed: Reviewed, disputed: EvidenceDisputed) -> bytes:
    """The body of a correction of what was disputed."""
    said = reviewed.said
    require(isinstance(said, EvidenceCorrected), "what is not the register's answer is said to stand")
    assert isinstance(said, EvidenceCorrected)
    require(said.correction_id == disputed.dispute_id, "a correction does not name the dispute")
    require(said.supersedes == disputed.answer_digest, "a correction does not name the answer whose place it takes")
    _require_recorded(reviewed, disputed)
    return said.body


def _require_recorded(reviewed: Reviewed, disputed: EvidenceDisputed) -> None:
    accesses = [one.access for one in reviewed.accesses if one.access is not None]
    require(
        any((one.because, one.correction_id) == ("disputed", disputed.dispute_id) for one in accesses),
        "the register was read again without a record of it",
    )


def _digest(answer: Answered) -> bytes:
    return sha256(answer.provided.nonce + answer.provided.body).digest()
