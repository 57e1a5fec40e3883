"""Structured reports: given to who asks for one, or sent to where the library says."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.rights import Role
from api.routing import router
from api.schemas.common import Uid
from api.schemas.structured import (
    DestinationNamed,
    OodReportAsked,
    ReportAsked,
    ReportSendAsked,
    ReportSent,
    SimilarReportAsked,
)
from api.served import Served, Service
from api.service.outgoing import destinations
from api.service.outgoing import structured as service
from api.service.outgoing.sending import send
from api.structured.document import Document

# A report names the patient, whom curators know by a pseudonym alone.
routes = router("structured", Role.OPERATOR)
_DICOM = "application/dicom"
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A Comprehensive SR in the DICOM file format. It names the patient.",
        "content": {_DICOM: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@routes.post("/studies/{uid}/sr", response_class=Response, responses=_FILE)
def make_report(request: Request, served: Service, uid: Uid, asked: ReportAsked) -> Response:
    """Report a study as DICOM: what a reference says of it, or the studies most like it."""
    made = _made(request, served, uid, asked)
    return Response(made.content, media_type=_DICOM)


@routes.post("/studies/{uid}/sr/send")
def send_report(request: Request, served: Service, uid: Uid, asked: ReportSendAsked) -> ReportSent:
    """Report a study and send that to a destination; answered when it has taken it.

    The same report sent again is the same object.
    """
    to = destinations.find_destination(served.library, asked.destination)
    request.state.about = {"to": to.name}
    made = _made(request, served, uid, asked.report)
    request.state.about["sop_instance_uid"] = made.sop_instance_uid
    if served.recording is not None:  # before anything leaves; what fails then is one more row
        served.recording.exported(request, service.patients_of(served.library, made))
    send(to, made.content)
    return ReportSent(
        destination=to.name,
        sop_instance_uid=made.sop_instance_uid,
        series_instance_uid=made.series_instance_uid,
        study_instance_uid=made.study_instance_uid,
    )


@routes.get("/destinations")
def list_destinations(served: Service) -> list[DestinationNamed]:
    """Where reports may be sent; the library's file destinations.toml says so."""
    found = destinations.named(served.library)
    return [DestinationNamed.model_validate(each) for each in found]


def _made(
    request: Request, served: Served, uid: str, asked: OodReportAsked | SimilarReportAsked
) -> Document:
    library, settings = served.library, served.settings
    if isinstance(asked, OodReportAsked):
        made, _ = service.ood_report(library, asked.as_request(uid), settings)
    else:
        made = service.similar_report(library, asked.as_request(uid), settings, served.searcher)
    request.state.studies = made.studies  # whose data leaves the library, for the audit
    return made
