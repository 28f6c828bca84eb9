"""The upload function: takes videos, shows jobs and their progress, serves the audio, and keeps house."""

import functools
import json
import logging
import re

import functions_framework.aio
from cloudevents.http import CloudEvent, from_http
from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import admin_desk
import asking
import choosing
import dead_letters
import delivering
import erasing
import figures
import me
import pages
import receiving
import sweeping
import tus
import webhook_desk
from answering import Endpoint, answering, http_error
from audiolift import admin, cookies, covers, events, links, logs, metrics, quotas, settings, store, tracing
from audiolift import deliveries as delivery_store
from audiolift import jobs as job_store
from audiolift import webhooks as webhook_store
from audiolift.errors import PermanentError, TransientError
from audiolift.jobs import Job
from audiolift.publish import Publish, publisher
from audiolift.tokens import Owner, Verifier
from audiolift.views import job_view, link_view, listed_view, waveform_view
from pacing import Pace, PacedResponse, Pacing
from places import Holding, Places
from tus_state import Terms
from upload_settings import UploadSettings
from watching import Watcher

logs.start()
tracing.start("upload")
log = logging.getLogger("upload")

SETTINGS = settings.load(UploadSettings)
MONGO = store.connect(SETTINGS.mongodb_uri)
PUBLISH: Publish = publisher(SETTINGS.k_sink)
VERIFIER = Verifier(SETTINGS.jwks_url, issuer=SETTINGS.token_issuer, audience=SETTINGS.token_audience)
PACE = Pace(SETTINGS.slowest_bytes_s, SETTINGS.slow_s)
UPLOADS = Places("uploads", SETTINGS.uploads_at_once, share=SETTINGS.owner_share)
DOWNLOADS = Places("downloads", SETTINGS.downloads_at_once, share=SETTINGS.owner_share)
STREAMS = Places("streams", SETTINGS.streams_at_once, share=SETTINGS.owner_share)


@functools.cache
def stores() -> sweeping.Stores:
    """The stores, with their indexes made; once per process."""
    found = sweeping.Stores(job_store.collection(MONGO["videos"]), MONGO["videos"], MONGO["mp3s"], MONGO["segments"])
    job_store.ensure_indexes(found.jobs)
    store.ensure_indexes(found.videos)
    store.ensure_indexes(found.mp3s)
    store.ensure_indexes(found.segments)
    covers.ensure_indexes(found.videos)
    dead_letters.ensure_indexes(found.videos["dead_letters"])
    delivery_store.ensure_indexes(delivery_store.collection(found.videos))
    return found


@functools.cache
def watcher() -> Watcher:
    """The one watcher of the process."""
    return Watcher(stores().jobs)


@functools.cache
def desk() -> tus.Desk:
    """Where resumable uploads are served; once per process."""
    terms = Terms(SETTINGS.max_video_bytes, SETTINGS.resumable_s, SETTINGS.retention_s, SETTINGS.limits)
    return tus.Desk(stores(), terms, send=_send_outbox)


@functools.cache
def hooks() -> webhook_desk.Desk:
    """Where webhooks are served, with their indexes made; once per process."""
    videos = stores().videos
    found = webhook_store.collection(videos)
    webhook_store.ensure_indexes(found)
    accounts, deliveries = webhook_store.accounts(videos), delivery_store.collection(videos)
    return webhook_desk.Desk(found, accounts, deliveries, SETTINGS.webhook_allowed_networks, PUBLISH)


async def take_video(request: Request) -> Response:
    """POST /upload: a video as the form field `file`, or as the body with its name in `?filename=`."""
    owner = await _owner(request)
    UPLOADS.take(request, owner.id)
    job, new = await receiving.receive(
        receiving.Request(
            owner=owner,
            content_type=request.headers.get("content-type", ""),
            query=request.query_params,
            declared_size=asking.declared_size(request),
            idempotency_key=asking.idempotency_key(request),
            traceparent=tracing.here(),
        ),
        figures.received(request.stream()),
        jobs=(await _stores()).jobs,
        videos=(await _stores()).videos,
        max_bytes=SETTINGS.max_video_bytes,
        retention_s=SETTINGS.retention_s,
        limits=SETTINGS.limits,
    )
    await run_in_threadpool(_send_outbox, job["_id"])
    headers = {"Location": f"/jobs/{job['_id']}"} | ({} if new else {"Idempotency-Replayed": "true"})
    return JSONResponse(job_view(job), 202, headers)


async def resumable(request: Request) -> Response:
    """/uploads/ and /uploads/{upload}: a video in several goes (tus 1.0.0)."""
    answer = await answering(_resumable)(request)
    answer.headers.update(tus.HEADERS)
    return answer


async def _resumable(request: Request) -> Response:
    asked = tus.method(request)
    if asked == "OPTIONS":
        return tus.describe(SETTINGS.max_video_bytes)
    call = tus.Call(request, await _owner(request), asking.declared_size(request), tracing.here())
    if call.has_body:
        UPLOADS.take(request, call.owner.id)
    return await tus.serve(asked, call, await run_in_threadpool(desk))


async def take_cover(request: Request) -> Response:
    """POST /covers: a picture as the body, to be named by the option `cover` within a day."""
    owner = await _owner(request)
    UPLOADS.take(request, owner.id)
    too_large = PermanentError("cover_too_large", limit=covers.LIMIT)
    cover = covers.read(await asking.body(request, at_most=covers.LIMIT, beyond=too_large))
    cover_id = await run_in_threadpool(covers.add, (await _stores()).videos, cover, owner=owner.id)
    return JSONResponse({"id": cover_id, "size": len(cover.data), "content_type": cover.content_type}, 201)


async def list_jobs(request: Request) -> Response:
    """GET /jobs: the newest first, `?limit=` of them (at most 100), older than the job `?before=`."""
    owner = await _owner(request)
    limit, before = asking.page_size(request.query_params), request.query_params.get("before")
    found = await run_in_threadpool(job_store.list_of, (await _stores()).jobs, owner.id, limit=limit + 1, before=before)
    shown, more = found[:limit], len(found) > limit
    following = f"/jobs?limit={limit}&before={shown[-1]['_id']}" if more else None
    return JSONResponse({"jobs": [listed_view(job) for job in shown], "next": following})


async def show_job(request: Request) -> Response:
    """GET /jobs/{id}."""
    return JSONResponse(job_view(await _own_job(request)), headers={"Cache-Control": "no-store"})


async def convert_job(request: Request) -> Response:
    """POST /jobs/{id}/convert: the options of a job that waits for them."""
    job = await _own_job(request)
    given = await asking.json_object(request)
    found = await _stores()
    job = await run_in_threadpool(
        lambda: choosing.convert(job, given, jobs=found.jobs, videos=found.videos, limits=SETTINGS.limits)
    )
    await run_in_threadpool(_send_outbox, job["_id"])
    return JSONResponse(job_view(job), 202)


async def job_waveform(request: Request) -> Response:
    """GET /jobs/{id}/waveform: the peaks of the audio, to draw it."""
    job = await _own_job(request)
    return delivering.deliver_json(waveform_view(job), job["audio"]["file_id"], request.headers)


async def delete_job(request: Request) -> Response:
    """DELETE /jobs/{id}: stops the conversion, and removes the video and the audio."""
    await _own_job(request)
    job = await run_in_threadpool(job_store.delete, (await _stores()).jobs, request.path_params["job"])
    if job:
        await run_in_threadpool(sweeping.purge, job, await _stores())
    return Response(status_code=204)


async def job_events(request: Request) -> Response:
    """GET /jobs/{id}/events: Server-Sent Events `progress`; goes on after Last-Event-ID."""
    job = await _own_job(request)
    last = request.headers.get("last-event-id", "")
    version = int(last) if re.fullmatch(r"\d{1,15}", last, re.ASCII) else None
    if version == job["version"] and job["state"] in job_store.ENDED:
        return Response(status_code=204)  # tells an EventSource to stop reconnecting
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        # Otherwise the line would be busy for minutes, with nothing to be seen of it.
        return Response(headers=headers, media_type="text/event-stream")
    STREAMS.take(request, job["owner"])
    stream = watcher().watch(job, version=version, watch_s=SETTINGS.watch_s)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def job_audio(request: Request) -> Response:
    """GET /jobs/{id}/audio: for the owner, or for who holds a signed link."""
    if "signature" in request.query_params:
        links.verify(request.url.path, request.query_params, keys=SETTINGS.link_keys)
        job = await run_in_threadpool(job_store.get, (await _stores()).jobs, request.path_params["job"])
        if job is None:
            raise PermanentError("job_not_found")
    else:
        job = await _own_job(request)
    return await _deliver(job, request)


async def make_link(request: Request) -> Response:
    """POST /jobs/{id}/links: a signed link to the audio, for `expires_s` seconds and no longer than the job."""
    job = await _own_job(request)
    valid_s = (await asking.json_object(request)).get("expires_s", SETTINGS.link_valid_s)
    if type(valid_s) is not int or not links.SHORTEST_S <= valid_s <= SETTINGS.link_valid_s:
        raise PermanentError("link_lifetime_invalid", limit=SETTINGS.link_valid_s)
    delivering.audio_of(job)
    link = links.to_audio(job, public_url=SETTINGS.public_url, keys=SETTINGS.link_keys, valid_s=valid_s)
    return JSONResponse(link_view(link), 201, {"Cache-Control": "no-store"})


def about_webhooks(act: webhook_desk.Act) -> Endpoint:
    """An endpoint for the owner of webhooks, of what it does."""

    async def endpoint(request: Request) -> Response:
        owner = await _owner(request)
        body = await asking.json_object(request)
        call = webhook_desk.Call(owner.id, request.path_params, request.query_params, body)
        return await run_in_threadpool(lambda: act(call, hooks()))

    return answering(endpoint)


def about_admin(act: admin_desk.Act) -> Endpoint:
    """An endpoint for the operator, of what it does."""

    async def endpoint(request: Request) -> Response:
        admin.require(request.headers.get("authorization"), SETTINGS.admin_key)
        found = await _stores()
        desk = admin_desk.Desk(found.videos["dead_letters"], found.jobs, PUBLISH, _send_outbox, SETTINGS.limits)
        body = await asking.json_object(request) if request.method == "PUT" else {}
        call = admin_desk.Call(request.path_params, request.query_params, body)
        return await run_in_threadpool(act, call, desk)

    return answering(endpoint)


async def about_me(request: Request) -> Response:
    """GET /me: who the token speaks for, what they may take and do take, and how long it is kept."""
    owner = await _owner(request)
    found = await _stores()
    shown = await run_in_threadpool(me.view, owner, jobs=found.jobs, settings=SETTINGS)
    return JSONResponse(shown, headers={"Cache-Control": "no-store"})


async def download(request: Request) -> Response:
    """GET /download?fid=: the same by the audio's id."""
    owner = await _owner(request)
    job = await run_in_threadpool(
        job_store.of_audio, (await _stores()).jobs, request.query_params.get("fid", ""), owner=owner.id
    )
    if job is None:
        raise PermanentError("audio_not_found")
    return await _deliver(job, request)


async def sweep(request: Request) -> Response:
    """POST /sweep: what the PingSource asks for every minute."""
    _only_from_the_cluster(request)
    done = await run_in_threadpool(
        sweeping.sweep,
        await _stores(),
        publish=PUBLISH,
        stall_s=SETTINGS.stall_s,
        video_s=SETTINGS.video_retention_s,
    )
    log.info("swept: %s", ", ".join(f"{count} {name}" for name, count in done.items() if count) or "nothing to do")
    return Response(status_code=204)


async def deleted_account(request: Request) -> Response:
    """POST /deleted-accounts: the event that an account is gone."""
    received = await _event(request)
    event = events.decode(received.get_attributes(), received.get_data())
    if not isinstance(event, events.AccountDeleted):
        raise PermanentError("event_invalid", reason=f"the type {event.type!r} is not for this address.")
    found = await _stores()
    # An order, where other events are hints: so auth signs it.
    deletion = await run_in_threadpool(VERIFIER.deletion, event.statement)
    await run_in_threadpool(lambda: erasing.erase(deletion, jobs=found.jobs))
    log.info("what the deleted account %s had is removed", deletion.account)
    return Response(status_code=204)


async def dead_letter(request: Request) -> Response:
    """POST /dead-letters: what the broker could not deliver."""
    event = await _event(request)
    found = await _stores()
    await run_in_threadpool(
        dead_letters.record,
        event.get_attributes(),
        event.get_data(),
        jobs=found.jobs,
        dead_letters=found.videos["dead_letters"],
    )
    logs.about(event.get_attributes().get("subject"))
    log.warning("dead letter: %s", json.dumps(dict(event.get_attributes()), default=str))
    return Response(status_code=204)


async def page(request: Request) -> Response:
    """GET /, /docs, /openapi.json and /assets/...: the web page, and the API's document."""
    path = request.url.path
    return pages.serve(pages.NAMES.get(path) or path.removeprefix("/"), request.headers)


async def healthz(_: Request) -> Response:
    """GET /healthz: the process lives."""
    return JSONResponse({"status": "ok"})


async def readyz(_: Request) -> Response:
    """GET /readyz: the stores are within reach."""
    await run_in_threadpool((await _stores()).videos.command, "ping")
    return JSONResponse({"status": "ok"})


async def scrape(request: Request) -> Response:
    """GET /metrics: for Prometheus."""
    host = request.headers.get("host", "")
    return Response(*await run_in_threadpool(metrics.answer, host, refresh=lambda: figures.measure(stores())))


APP = Starlette(
    routes=[
        Route("/upload", answering(take_video), methods=["POST"]),
        Route("/uploads", resumable, methods=tus.METHODS),
        Route("/uploads/", resumable, methods=tus.METHODS),
        Route("/uploads/{upload}", resumable, methods=tus.METHODS),
        Route("/covers", answering(take_cover), methods=["POST"]),
        Route("/jobs", answering(list_jobs), methods=["GET"]),
        Route("/jobs/{job}", answering(show_job), methods=["GET"]),
        Route("/jobs/{job}", answering(delete_job), methods=["DELETE"]),
        Route("/jobs/{job}/convert", answering(convert_job), methods=["POST"]),
        Route("/jobs/{job}/waveform", answering(job_waveform), methods=["GET"]),
        Route("/jobs/{job}/events", answering(job_events), methods=["GET"]),
        Route("/jobs/{job}/audio", answering(job_audio), methods=["GET"]),
        Route("/jobs/{job}/links", answering(make_link), methods=["POST"]),
        *(Route(path, about_webhooks(act), methods=[method]) for method, path, act in webhook_desk.ROUTES),
        *(
            Route(path, about_admin(act), methods=[method])
            for method, path, act in admin_desk.ROUTES
            if SETTINGS.admin_key
        ),
        Route("/me", answering(about_me), methods=["GET"]),
        Route("/download", answering(download), methods=["GET"]),
        Route("/sweep", answering(sweep), methods=["POST"]),
        Route("/dead-letters", answering(dead_letter), methods=["POST"]),
        Route("/deleted-accounts", answering(deleted_account), methods=["POST"]),
        Route("/", answering(page), methods=["GET"]),
        Route("/docs", answering(page), methods=["GET"]),
        Route("/openapi.json", answering(page), methods=["GET"]),
        Route("/assets/{name}", answering(page), methods=["GET"]),
        Route("/healthz", answering(healthz), methods=["GET"]),
        Route("/readyz", answering(readyz), methods=["GET"]),
        Route("/metrics", answering(scrape), methods=["GET"]),
    ],
    middleware=[Middleware(Holding), Middleware(Pacing, pace=PACE)],
    exception_handlers={HTTPException: http_error},
)
# A redirect would name the Service's own host, under which nobody outside can ask.
APP.router.redirect_slashes = False


@functions_framework.aio.http  # type: ignore[arg-type]  # any ASGI app serves as an answer, its types name fewer
async def upload(_: Request) -> Starlette:
    """Hands every request to the routes above: the framework calls what it is given back."""
    return APP


async def _stores() -> sweeping.Stores:
    return await run_in_threadpool(stores)


async def _owner(request: Request) -> Owner:
    authorization = cookies.authorization(
        request.method, request.headers, request.cookies, public_url=SETTINGS.public_url
    )
    owner = await run_in_threadpool(VERIFIER.owner, authorization)
    if await run_in_threadpool(quotas.is_closed, (await _stores()).videos, owner.id):
        raise PermanentError("token_invalid", cause="the account was deleted")
    return owner


async def _own_job(request: Request) -> Job:
    owner = await _owner(request)
    job = await run_in_threadpool(job_store.get, (await _stores()).jobs, request.path_params["job"])
    if job is None or job["owner"] != owner.id:
        raise PermanentError("job_not_found")
    return job


async def _deliver(job: Job, request: Request) -> Response:
    audio_id = delivering.audio_of(job)
    found = await _stores()
    file = await run_in_threadpool(store.find, found.mp3s, audio_id)
    if file is None:
        raise PermanentError("audio_not_found")
    answer = delivering.deliver(file, job["audio"]["name"], request.headers, bucket=found.mp3s, pace=PACE)
    if request.method == "HEAD":
        # Otherwise all of the audio is read, and then not sent.
        return Response(status_code=answer.status_code, headers=answer.headers)
    if isinstance(answer, PacedResponse):
        DOWNLOADS.take(request, job["owner"])
    return answer


def _send_outbox(job_id: str) -> None:
    logs.about(job_id)
    try:
        job_store.send_outbox(stores().jobs, job_id, PUBLISH)
    except (TransientError, PyMongoError) as error:
        log.warning("job %s: its event waits for the sweep: %s", job_id, error)


async def _event(request: Request) -> CloudEvent:
    _only_from_the_cluster(request)
    too_large = PermanentError("event_invalid", reason=f"it is larger than {events.MOST_BYTES} bytes.")
    body = await asking.body(request, at_most=events.MOST_BYTES, beyond=too_large)
    try:
        return from_http(dict(request.headers), body)
    except Exception as error:  # the SDK raises whatever it trips over
        raise PermanentError("event_invalid", reason="it is no CloudEvent.", cause=str(error)) from error


def _only_from_the_cluster(request: Request) -> None:
    # Knative's outer gateway knows no cluster-local names, so nobody outside can send this Host.
    if request.headers.get("host", "").partition(":")[0] != SETTINGS.cluster_host:
        raise PermanentError("not_found")
