"""auth: accounts, logins and the tokens that all other functions trust."""

import functools
import json
import logging

import flask
import functions_framework
from flask import request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

import accounts
import attempts
import bodies
import deletions
import passwords
import session_cookies
import sessions
import signing
from audiolift import admin, logs, metrics, tokens, tracing
from audiolift.errors import AudioliftError, PermanentError, TransientError, problem
from audiolift.publish import publisher
from audiolift.settings import load
from auth_settings import AuthSettings
from database import Database

logs.start()
tracing.start("auth")
# It tells of each connection that it makes.
logging.getLogger("mysql.connector").setLevel(logging.WARNING)
log = logging.getLogger("auth")
SETTINGS = load(AuthSettings)
DATABASE = Database(SETTINGS.mysql_url, connections=SETTINGS.mysql_connections)
JWKS = signing.public_jwks(SETTINGS.token_keys)
PUBLISH = publisher(SETTINGS.k_sink)
KEYS = tokens.public_keys(JWKS)
LOGINS = metrics.Counter(
    "audiolift_logins_total",
    "Logins by how they ended.",
    label="outcome",
    values=("admitted", "refused", "disabled", "limited", "failed"),
)
_LOGIN_OUTCOMES = {200: "admitted", 401: "refused", 403: "disabled", 429: "limited"}


class _Traced(flask.Flask):
    """Each request belongs to its caller's trace; one that changes something is a span of it."""

    def dispatch_request(self) -> flask.typing.ResponseReturnValue:
        tracing.follow(tracing.given(request.headers))
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return super().dispatch_request()
        route = str(request.url_rule or "")
        about = {"http.request.method": request.method, "http.route": route}
        with tracing.span(f"{request.method} {route}".strip(), about, kind="server"):
            return super().dispatch_request()


app = _Traced(__name__, static_folder=None)
# A wrong address is not found, rather than redirected to one that is right.
app.url_map.merge_slashes = False


@functions_framework.http
def auth(_: flask.Request) -> flask.Flask:
    """The function's entry: the framework calls the WSGI app that a handler returns."""
    return app


@app.post("/register")
def register() -> flask.typing.ResponseReturnValue:
    email, password = _texts("email", "password")
    email = accounts.normalised_email(email)
    passwords.accept(password, email=email)
    with passwords.turn():
        _count_attempt(email)
        user = accounts.register(email, password, database=DATABASE)
    attempts.forgive(email, database=DATABASE)
    return {"id": user.id, "email": user.email}, 201


@app.post("/login")
def login() -> flask.typing.ResponseReturnValue:
    return _token_answer(*_begun_session())


@app.post("/token/refresh")
def refresh() -> flask.typing.ResponseReturnValue:
    (token,) = _texts("refresh_token")
    return _token_answer(*sessions.refresh(token, database=DATABASE, valid_s=SETTINGS.refresh_token_s))


@app.post("/logout")
def logout() -> flask.typing.ResponseReturnValue:
    (token,) = _texts("refresh_token")
    sessions.end(token, database=DATABASE)
    return "", 204


@app.post("/session")
def begin_browser_session() -> flask.typing.ResponseReturnValue:
    session_cookies.require_own_page(request, public_url=SETTINGS.public_url)
    return _cookie_answer(*_begun_session())


@app.post("/session/refresh")
def refresh_browser_session() -> flask.typing.ResponseReturnValue:
    token = session_cookies.refresh_token(request, public_url=SETTINGS.public_url)
    return _cookie_answer(*sessions.refresh(token, database=DATABASE, valid_s=SETTINGS.refresh_token_s))


@app.delete("/session")
def end_browser_session() -> flask.typing.ResponseReturnValue:
    sessions.end(session_cookies.refresh_token(request, public_url=SETTINGS.public_url), database=DATABASE)
    return session_cookies.forget(flask.Response(status=204), public_url=SETTINGS.public_url)


@app.delete("/account")
def delete_account() -> flask.typing.ResponseReturnValue:
    user = _authenticated()
    _delete(user)
    log.info("the user %s has deleted their account", user.id)
    return session_cookies.forget(flask.Response(status=204), public_url=SETTINGS.public_url)


@app.post("/validate")
def validate() -> flask.typing.ResponseReturnValue:
    claims = tokens.verified_claims(
        tokens.bearer(request.headers.get("Authorization")),
        key_of=KEYS.get,
        issuer=SETTINGS.token_issuer,
        audience=SETTINGS.token_audience,
    )
    if not accounts.is_active(claims["sub"], database=DATABASE):
        raise PermanentError("token_invalid", cause="the user is disabled or gone")
    return claims


@app.before_request
def let_only_the_operator_in() -> None:
    if request.path.startswith("/admin/"):
        admin.require(request.headers.get("Authorization"), SETTINGS.admin_key)


@app.post("/admin/users")
def add_user() -> flask.typing.ResponseReturnValue:
    email, password = _texts("email", "password")
    email = accounts.normalised_email(email)
    passwords.accept(password, email=email)
    with passwords.turn():
        user = accounts.register(email, password, database=DATABASE)
    log.info("the operator has added the user %s", user.id)
    return {"id": user.id, "email": user.email}, 201


@app.post("/admin/users/<path:email>/disable")
def disable_user(email: str) -> flask.typing.ResponseReturnValue:
    user = accounts.disable(accounts.normalised_email(email), database=DATABASE)
    log.info("the operator has disabled the user %s", user.id)
    return {"id": user.id, "email": user.email, "disabled": True}


@app.post("/admin/users/<path:email>/enable")
def enable_user(email: str) -> flask.typing.ResponseReturnValue:
    user = accounts.enable(accounts.normalised_email(email), database=DATABASE)
    log.info("the operator has enabled the user %s", user.id)
    return {"id": user.id, "email": user.email, "disabled": False}


@app.get("/admin/users/<path:email>")
def show_user(email: str) -> flask.typing.ResponseReturnValue:
    user, disabled = accounts.look_up(accounts.normalised_email(email), database=DATABASE)
    return {"id": user.id, "email": user.email, "disabled": disabled}


@app.delete("/admin/users/<path:email>")
def delete_user(email: str) -> flask.typing.ResponseReturnValue:
    user, _ = accounts.look_up(accounts.normalised_email(email), database=DATABASE)
    _delete(user)
    log.info("the operator has deleted the user %s", user.id)
    return "", 204


@app.post("/sweep")
def sweep() -> flask.typing.ResponseReturnValue:
    # Knative's outer gateway knows no cluster-local names, so nobody outside can send this Host.
    if request.host.partition(":")[0] != SETTINGS.cluster_host:
        raise PermanentError("not_found")
    _announce_deletions()
    return "", 204


@app.get("/.well-known/jwks.json")
def jwks() -> flask.typing.ResponseReturnValue:
    return JWKS, {"Cache-Control": "public, max-age=300"}


@app.get("/healthz")
def healthz() -> flask.typing.ResponseReturnValue:
    return {"status": "live"}


@app.get("/metrics")
def scrape() -> flask.typing.ResponseReturnValue:
    return metrics.answer(request.host)


@app.get("/readyz")
def readyz() -> flask.typing.ResponseReturnValue:
    with DATABASE.transaction() as cursor:
        cursor.execute("SELECT 1")
    return {"status": "ready"}


@app.after_request
def count_login(response: flask.Response) -> flask.Response:
    if request.method == "POST" and request.path in ("/login", "/session"):
        LOGINS.add(_LOGIN_OUTCOMES.get(response.status_code, "failed"))
    return response


@app.after_request
def keep_out_of_caches(response: flask.Response) -> flask.Response:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@app.after_request
def let_the_page_ask(response: flask.Response) -> flask.Response:
    # At the challenge Basic a browser would ask for the password itself, in a window of its own.
    if response.status_code == 401 and request.path.startswith(("/session", "/account")):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@app.errorhandler(AudioliftError)
def answer_error(error: AudioliftError) -> flask.typing.ResponseReturnValue:
    if isinstance(error, TransientError):
        log.warning("%s", error)
    return _problem(error)


@app.errorhandler(HTTPException)
def answer_http_error(error: HTTPException) -> flask.typing.ResponseReturnValue:
    if isinstance(error, NotFound):
        return _problem(PermanentError("not_found"))
    if isinstance(error, MethodNotAllowed):
        body, status, headers = _problem(PermanentError("method_not_allowed"))
        return body, status, {**headers, "Allow": ", ".join(error.valid_methods or ())}
    return _problem(_bad_request(error.description or "HTTP cannot be read like that."))


@app.errorhandler(Exception)
def answer_unexpected_error(error: Exception) -> flask.typing.ResponseReturnValue:
    log.error("unexpected error", exc_info=error)
    return _problem(TransientError("internal"))


# The framework answers some addresses itself, as /robots.txt.
functions_framework.errorhandler(HTTPException)(answer_http_error)


def _problem(error: AudioliftError) -> tuple[bytes, int, dict[str, str]]:
    status, headers, body = problem(error)
    return body, status, headers


def _authenticated() -> accounts.User:
    email, password = _basic_credentials()
    # The turn first: who was not let in has not tried.
    with passwords.turn():
        _count_attempt(email)
        user = accounts.authenticate(email, password, database=DATABASE)
    attempts.forgive(email, database=DATABASE)
    return user


def _delete(user: accounts.User) -> None:
    deletions.delete(user, database=DATABASE)
    attempts.forgive(user.email, database=DATABASE)
    try:
        _announce_deletions()
    except TransientError as error:
        log.warning("a deleted account is told of by the sweep: %s", error)


def _announce_deletions() -> None:
    state = functools.partial(
        signing.deletion_statement,
        key=SETTINGS.token_keys[0],
        issuer=SETTINGS.token_issuer,
        audience=SETTINGS.token_audience,
    )
    deletions.announce(database=DATABASE, publish=PUBLISH, state=state, token_s=SETTINGS.access_token_s)


def _begun_session() -> tuple[accounts.User, str]:
    user = _authenticated()
    return user, sessions.begin(user, database=DATABASE, valid_s=SETTINGS.refresh_token_s)


def _token_answer(user: accounts.User, refresh_token: str) -> dict[str, object]:
    return {
        "access_token": _access_token(user),
        "token_type": "Bearer",
        "expires_in": SETTINGS.access_token_s,
        "refresh_token": refresh_token,
    }


def _cookie_answer(user: accounts.User, refresh_token: str) -> flask.Response:
    return session_cookies.answer(
        user.email,
        access_token=_access_token(user),
        access_s=SETTINGS.access_token_s,
        refresh_token=refresh_token,
        refresh_s=SETTINGS.refresh_token_s,
        public_url=SETTINGS.public_url,
    )


def _access_token(user: accounts.User) -> str:
    return signing.access_token(
        user.id,
        user.email,
        key=SETTINGS.token_keys[0],
        issuer=SETTINGS.token_issuer,
        audience=SETTINGS.token_audience,
        valid_s=SETTINGS.access_token_s,
    )


def _basic_credentials() -> tuple[str, str]:
    sent = request.authorization
    if sent is None or sent.type != "basic":
        raise PermanentError("credentials_missing")
    try:
        return accounts.normalised_email(sent.username or ""), sent.password or ""
    except PermanentError as error:
        raise PermanentError("credentials_wrong", cause=str(error)) from None


def _texts(*names: str) -> list[str]:
    if request.mimetype != "application/json":
        raise _bad_request("the body is not declared as application/json.")
    data = bodies.read(request)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise _bad_request("the body is not JSON.") from None
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
        raise _bad_request(f"the body is not an object with text in {' and '.join(names)}.")
    return [body[name] for name in names]


def _bad_request(reason: str) -> PermanentError:
    return PermanentError("bad_request", reason=reason)


def _count_attempt(email: str) -> None:
    attempts.count_attempt(
        email,
        attempts.client_address(
            request.headers.get("X-Forwarded-For", ""), request.remote_addr or "", trusted=SETTINGS.trusted_proxies
        ),
        database=DATABASE,
        per_account=SETTINGS.login_attempts_per_account,
        per_address=SETTINGS.login_attempts_per_address,
        window_s=SETTINGS.login_attempts_window_s,
    )
