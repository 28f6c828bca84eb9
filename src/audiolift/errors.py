"""The two families of error that decide delivery, and the one table of codes that people see.

A `PermanentError` means that the input is at fault: trying again cannot help, so a consumer records the failure,
tells the owner and answers 2xx. A `TransientError` is anything else: the consumer answers 5xx and the broker
delivers the event again.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What a stable error code stands for: its HTTP status, and a sentence that says what to do."""

    status: int
    sentence: str


#: Every code that leaves the system. Sentences may name fields, filled from the error's keyword arguments.
CODES: dict[str, Code] = {
    # Any function
    "bad_request": Code(400, "The request could not be understood: {reason}"),
    "not_found": Code(404, "There is nothing at this address."),
    "method_not_allowed": Code(405, "This address does not take that method."),
    "internal": Code(500, "Something went wrong on our side. Please try again in a minute."),
    "unavailable": Code(503, "The service is not ready for this just now. Please try again in a few seconds."),
    "too_slow": Code(
        408, "Fewer than {limit} bytes a second came. Please send it again; a resumable upload goes on where it stood."
    ),
    "too_many_at_once": Code(
        429, "You have {limit} {kind} at once already. Please wait for one of them to end, and try again."
    ),
    "places_taken": Code(503, "All places for {kind} are taken just now. Please try again in a few seconds."),
    # The gateway of the one-machine platform
    "service_unknown": Code(404, "There is no Service that answers here."),
    "function_not_started": Code(503, "The function {service} could not be started. The reason is in {log}"),
    "function_lost": Code(502, "The function {service} ended before it had answered. The reason may be in {log}"),
    "function_too_slow": Code(504, "The function {service} did not answer within {seconds} seconds."),
    # Accounts and tokens
    "email_invalid": Code(422, "That is not a mail address. Please write it like name@example.com."),
    "email_not_ascii": Code(
        422,
        "Please write the mail address in ASCII, with a domain of other letters in its form that starts with xn--.",
    ),
    "email_taken": Code(409, "There is an account with that mail address already. Please log in instead."),
    "password_weak": Code(422, "Please choose another password: {reason}"),
    "credentials_missing": Code(401, "Please send your mail address and password with Basic authentication."),
    "credentials_wrong": Code(401, "The mail address or the password is not right."),
    "account_disabled": Code(403, "This account is disabled. Please ask whoever runs this service."),
    "too_many_attempts": Code(429, "Too many attempts. Please wait {seconds} seconds and try again."),
    "token_missing": Code(401, "Please log in and send the access token as 'Authorization: Bearer ...'."),
    "token_invalid": Code(401, "The access token is not valid. Please log in again."),
    "token_expired": Code(401, "The access token has expired. Please refresh it or log in again."),
    "refresh_token_invalid": Code(401, "The refresh token is not valid or has expired. Please log in again."),
    "session_missing": Code(401, "Nobody is logged in here. Please log in."),
    "cross_site": Code(403, "The request does not come from our own page, so your login was not used for it."),
    "user_not_found": Code(404, "There is no account with that mail address."),
    "admin_key_wrong": Code(401, "Please send the admin key of this service as 'Authorization: Bearer ...'."),
    "refresh_token_reused": Code(
        401, "The refresh token was used before, so this login was ended for safety. Please log in again."
    ),
    # Uploads and jobs
    "upload_too_large": Code(413, "The video is larger than the {limit} bytes that are accepted."),
    "quota_storage": Code(
        403,
        "There is not enough room: {used} of your {limit} bytes are taken. Please delete jobs that you do not need.",
    ),
    "jobs_too_many": Code(403, "You have {limit} jobs already. Please delete those that you do not need."),
    "quota_jobs": Code(
        429, "As many of your videos as may be at once, {limit}, are under way. Please wait until one of them is done."
    ),
    "quota_minutes": Code(
        429,
        "Of your {limit} minutes of sound in 24 hours {left} are left, and {needed} are needed."
        " Please try again later, or convert a shorter part.",
    ),
    "upload_incomplete": Code(400, "The upload ended before all of the video had arrived. Please send it again."),
    "upload_abandoned": Code(409, "The upload took too long and was given up. Please send it again."),
    "upload_not_found": Code(404, "You have no upload with that id."),
    "upload_gone": Code(410, "The upload has expired or was ended. Please start a new one."),
    "upload_offset_wrong": Code(
        409, "The upload stands at byte {offset}. Please ask where it stands with HEAD, and go on from there."
    ),
    "upload_taken_over": Code(
        409, "A newer request has gone on with this upload. Please ask where it stands with HEAD, and go on from there."
    ),
    "upload_beyond_length": Code(413, "More bytes came than the upload's {length}. Please check the file."),
    "upload_type_wrong": Code(415, "Please send the bytes as 'Content-Type: application/offset+octet-stream'."),
    "tus_version_unsupported": Code(412, "Please send 'Tus-Resumable: 1.0.0', the one version that is spoken here."),
    "tus_header_invalid": Code(400, "The header {header} is not right: {reason}"),
    "checksum_mismatch": Code(460, "The bytes do not have the checksum that came with them. Please send them again."),
    "multipart_invalid": Code(400, "The multipart body could not be read: {reason}"),
    "file_missing": Code(422, "The form has no field 'file' with a video in it."),
    "name_invalid": Code(422, "Please send the video's name as '?filename='."),
    "option_invalid": Code(422, "The option '{option}' is not right: {reason}"),
    "cover_too_large": Code(413, "The cover is larger than the {limit} bytes that are accepted."),
    "cover_too_many_pixels": Code(
        422, "The cover has more than the {limit} pixels that are accepted. Please make it smaller."
    ),
    "cover_invalid": Code(422, "The cover is neither a JPEG nor a PNG picture."),
    "covers_too_many": Code(
        429, "You have sent {limit} covers within a day. Please name one of them again, or try again later."
    ),
    "idempotency_key_invalid": Code(422, "An Idempotency-Key is 1 to 255 visible ASCII characters."),
    "idempotency_key_in_use": Code(
        409, "An upload with this Idempotency-Key is still arriving. Please wait for it or use another key."
    ),
    "idempotency_key_reused": Code(
        422, "This Idempotency-Key was used for another upload. Please use a new key for each video."
    ),
    "job_not_found": Code(404, "You have no job with that id."),
    "job_not_waiting": Code(
        409, "The job does not wait to be told how to convert its video (it is {state}). Please send the video again."
    ),
    "waveform_not_ready": Code(
        404, "There is no waveform of this audio, or not yet: the job links to it once it is there."
    ),
    "audio_not_found": Code(404, "You have no audio with that id."),
    "audio_not_ready": Code(409, "The audio is not ready yet. Please follow the job until it is converted."),
    "audio_failed": Code(409, "There is no audio, because the conversion failed: {reason}"),
    "link_invalid": Code(403, "This download link is not valid. Please copy the whole link."),
    "link_expired": Code(410, "This download link has expired. Please log in to download the audio."),
    "link_lifetime_invalid": Code(422, "Please send 'expires_s' as a whole number of seconds from 60 to {limit}."),
    "webhook_invalid": Code(422, "The webhook is not right: {reason}"),
    "webhook_not_found": Code(404, "You have no webhook with that id."),
    "webhook_off": Code(409, "The webhook is switched off. Please switch it on first, by PATCH with 'active': true."),
    "webhooks_too_many": Code(409, "You have {limit} webhooks already. Please change or delete one of them."),
    "webhook_tries_too_many": Code(
        429, "Tests and replays are limited to {limit} a minute. Please try again in {seconds} seconds."
    ),
    "delivery_not_found": Code(404, "There is no delivery with that id; they go with their job."),
    "dead_letter_not_found": Code(
        404, "There is no dead letter with that id: they go when replayed or dropped, and with their job."
    ),
    "dead_letter_outdated": Code(
        409, "The event is of no use any more, as its job is {state} by now. Please drop the dead letter."
    ),
    "range_unsatisfiable": Code(416, "The requested range lies outside of the audio."),
    "event_invalid": Code(400, "This is not an event that is understood here: {reason}"),
    # Conversions
    "video_empty": Code(422, "The file is empty. Please check it and send it again."),
    "video_missing": Code(404, "The video is no longer stored. Please send it again."),
    "not_media": Code(422, "The file is not a video or audio file that we can read."),
    "video_truncated": Code(
        422, "The video ends too early, as if a copy or download was cut off. Please send the whole file."
    ),
    "video_encrypted": Code(422, "The video is encrypted (DRM), so its sound cannot be read."),
    "no_audio": Code(422, "The video has no sound."),
    "audio_empty": Code(422, "The sound track of the video has no sound in it."),
    "audio_unsupported": Code(422, "The sound of the video is of a kind that we cannot read."),
    "audio_damaged": Code(422, "The sound track of the video is damaged and cannot be decoded."),
    "video_too_complex": Code(
        422,
        "The video has too many tracks, or takes too much memory to read. Please save it in another format.",
    ),
    "video_too_long": Code(422, "The video is longer than the {limit} that are accepted."),
    "track_not_found": Code(422, "The video has no sound track {track}. It has: {tracks}."),
    "start_after_end": Code(422, "The part asked for starts at {start} s, but the sound ends at {duration} s."),
    "too_many_chapters": Code(
        422,
        "The video has {count} chapters, but only {limit} can become files of their own. Please leave out the split.",
    ),
    "audio_too_large": Code(422, "The audio would be larger than the {limit} bytes that are accepted."),
    "conversion_timeout": Code(503, "The conversion took longer than is allowed."),
    "conversion_failed": Code(
        500, "The conversion failed on our side, even after several tries. Please send the video again."
    ),
    # Mail
    "mail_undelivered": Code(503, "The mail could not be delivered, although it was tried for hours."),
    "mail_refused": Code(422, "The mail server refused the mail for good."),
}


class AudioliftError(Exception):
    """An error with a stable code and a public sentence.

    Args:
        code: A key of `CODES`; any other is a `KeyError` at once.
        cause: What really happened, for the log only.
        retry_after: Seconds after which another try makes sense (the Retry-After header).
        fields: What the code's sentence names; an `option` among them is also told apart.
    """

    def __init__(self, code: str, *, cause: str = "", retry_after: int | None = None, **fields: object) -> None:
        self.code = code
        self.status = CODES[code].status
        self.sentence = CODES[code].sentence.format(**fields)
        self.cause = cause
        self.retry_after = retry_after
        self.option = fields.get("option")
        super().__init__(f"{code}: {self.sentence}" + (f" ({cause})" if cause else ""))


class PermanentError(AudioliftError):
    """The input is at fault: trying again cannot help."""


class TransientError(AudioliftError):
    """Something else is at fault: trying again can help."""


def problem(error: AudioliftError) -> tuple[int, dict[str, str], bytes]:
    """The error as an HTTP answer: status, headers and body (RFC 9457, application/problem+json)."""
    body: dict[str, object] = {
        "type": f"urn:audiolift:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.sentence,
        "code": error.code,
    }
    if error.option is not None:
        body["option"] = error.option
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="audiolift"' if error.code.startswith("credentials") else "Bearer"
    if error.status == 408:
        # What is still to come of the request is not waited for (RFC 9110, section 15.5.9).
        headers["Connection"] = "close"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return error.status, headers, json.dumps(body).encode()
