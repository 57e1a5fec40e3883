"""Sign in with a browser, who is signed in, sign out."""

# Parameters that issuers add to their answers are named, so that they are not refused.
# ruff: noqa: ARG001

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from api import cookies
from api.problems import ProblemError
from api.recording import Recording
from api.rights import Principal, Role, permitted
from api.routing import router
from api.schemas.session import SessionTold, SignInAsked
from api.served import Served, Service
from api.service.access import sessions
from api.service.access.keys import authenticate
from api.service.access.sessions import Recognised, SessionInfo
from api.signing_in import LONGEST_SECONDS, SigningIn
from indexer.catalog.audit import Action, Ending
from indexer.errors import AccessDeniedError, AccessError, NotAuthenticatedError

routes = router("session", None)
_CALLBACK = "/v1/session/callback"


@routes.get("/session")
def get_session(request: Request, served: Service) -> SessionTold:
    """Who asks, by cookie, key or token; and how one may sign in."""
    found = _recognised(request, served)
    if found is not None:
        return _told(served, found.principal, found.session)
    return _told(served, _known(request, served))


@routes.post("/session")
def sign_in(
    request: Request, response: Response, served: Service, asked: SignInAsked
) -> SessionTold:
    """Sign in with an API key; it is not asked for again. Answers with a cookie."""
    recording = _recording(served)
    try:
        served.site.from_a_page(request.method, request.headers)
        principal = authenticate(served.library, asked.key.get_secret_value())
        return _told(served, *_begun(request, response, served, principal))
    except (NotAuthenticatedError, AccessDeniedError):
        recording.refused(request)
        raise


@routes.delete("/session", status_code=204)
def sign_out(request: Request, response: Response, served: Service) -> None:
    """Sign out; a session that has ended already is no error."""
    served.site.from_a_page(request.method, request.headers)
    found = _recognised(request, served)
    if found is not None:
        _end(request, served, found)
    cookies.put(response, cookies.SESSION, "", served.site.origin(request.headers))


@routes.get("/session/start", status_code=303, response_class=RedirectResponse)
def start(
    request: Request,
    served: Service,
    next: Annotated[
        str,
        Query(max_length=500, description="Where to go on to: a path of this site.",
              examples=["/#/search"]),
    ] = "/",
) -> RedirectResponse:  # fmt: skip
    """Go to the issuer, to sign in there."""
    origin = served.site.origin(request.headers)
    started = _signing_in(served).start(origin + _CALLBACK, next)
    response = RedirectResponse(started.url, 303)
    # Lax: the browser comes back from another site, and would leave a strict one at home.
    cookies.put(
        response, cookies.STARTED, started.cookie, origin, same_site="lax", seconds=LONGEST_SECONDS
    )
    return response


@routes.get("/session/callback", status_code=303, response_class=RedirectResponse)
def callback(
    request: Request,
    served: Service,
    state: Annotated[str, Query(max_length=200, description="As it was sent there.")] = "",
    code: Annotated[str, Query(max_length=4000, description="For a token.")] = "",
    error: Annotated[str, Query(max_length=200, description="Why there is none.")] = "",
    iss: Annotated[str | None, Query(max_length=1000, description="The issuer.")] = None,
    error_description: Annotated[str, Query(description="Not looked at.")] = "",
    error_uri: Annotated[str, Query(description="Not looked at.")] = "",
    session_state: Annotated[str, Query(description="Not looked at.")] = "",
    scope: Annotated[str, Query(description="Not looked at.")] = "",
    authuser: Annotated[str, Query(description="Not looked at.")] = "",
    prompt: Annotated[str, Query(description="Not looked at.")] = "",
    hd: Annotated[str, Query(description="Not looked at.")] = "",
) -> RedirectResponse:
    """Come back from the issuer, and be signed in."""
    issuer, recording = _signing_in(served), _recording(served)
    origin = served.site.origin(request.headers)
    answer = {"state": state, "code": code, "error": error} | ({"iss": iss} if iss else {})
    recording.stranger(request)  # each makes us ask the issuer, with our credentials
    try:
        came = issuer.finish(
            cookies.read(request.headers, cookies.STARTED, origin), answer, origin + _CALLBACK
        )
        response = RedirectResponse(came.next, 303)
        _begun(request, response, served, came.principal)
    except (NotAuthenticatedError, AccessDeniedError):
        recording.refused(request)
        raise
    cookies.put(response, cookies.STARTED, "", origin, same_site="lax")
    return response


def _begun(
    request: Request, response: Response, served: Served, principal: Principal
) -> tuple[Principal, SessionInfo]:
    """A new session in place of that which the browser may have had."""
    request.state.principal = principal
    permitted(principal, Role.READER, served.library.config.id)
    if served.rates is not None:
        served.rates.take(principal)
    before = _recognised(request, served)
    event = _recording(served).event(request, Action.LOGIN, Ending.SUCCESS)
    made = sessions.start(served.library, principal, served.settings, event)
    if before is not None:
        _end(request, served, before)
    origin = served.site.origin(request.headers)
    cookies.put(response, cookies.SESSION, made.cookie, origin)
    found = sessions.recognise(served.library, made.cookie, served.settings)
    return found.principal, found.session


def _known(request: Request, served: Served) -> Principal | None:
    """Whose key or token was sent; a guess costs, and is recorded, as on any other route."""
    given = "authorization" in request.headers
    try:
        found: Principal = request.app.state.authenticate(request.headers)
    except AccessError as error:
        refused = isinstance(error, NotAuthenticatedError | AccessDeniedError)
        if given and refused and served.recording is not None:
            served.recording.refused(request)
        return None
    if given and served.rates is not None:
        served.rates.take(found)
    return found


def _recognised(request: Request, served: Served) -> Recognised | None:
    """The session of the cookie, where that is what counts."""
    if served.recording is None or "authorization" in request.headers:
        return None
    try:
        origin = served.site.origin(request.headers)
        cookie = cookies.read(request.headers, cookies.SESSION, origin)
        return sessions.recognise(served.library, cookie, served.settings, use=False)
    except NotAuthenticatedError:
        return None


def _end(request: Request, served: Served, found: Recognised) -> None:
    request.state.principal = found.principal
    event = _recording(served).event(request, Action.LOGOUT, Ending.SUCCESS)
    sessions.end(served.library, found.session.prefix, event)


def _told(
    served: Served, principal: Principal | None, session: SessionInfo | None = None
) -> SessionTold:
    ways: list[Literal["key", "issuer"]] = [] if served.recording is None else ["key"]
    if served.signing_in is not None:
        ways.append("issuer")
    return SessionTold(
        signed_in=session is not None,
        name=principal.name if principal else "",
        role=principal.role.value if principal else "",
        libraries=sorted(principal.libraries) if principal else [],
        how=principal.how if principal else "",
        expires_at=session.expires_at if session else "",
        idle_minutes=served.settings.session_minutes,
        ways=ways,
    )


def _recording(served: Served) -> Recording:
    if served.recording is None:
        raise ProblemError(409, "nobody has to sign in here")
    return served.recording


def _signing_in(served: Served) -> SigningIn:
    if served.signing_in is None:
        raise ProblemError(404, "nobody signs in with an issuer here")
    return served.signing_in
