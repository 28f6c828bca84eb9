"""Tells the owner of a job, once, how it ended."""

import logging
from collections.abc import Callable
from email.message import EmailMessage

from audiolift import job_mail, metrics, tracing
from audiolift import jobs as job_store
from audiolift.errors import PermanentError

log = logging.getLogger(__name__)

#: Hands a mail over and returns once the mail server has taken it.
#: `PermanentError` (`mail_refused`): it never will. `TransientError`: it did not this time.
Send = Callable[[EmailMessage], None]

#: Seconds that a worker has for its mail before another one may send it. A transport takes less, short of a server that
#: answers each command in the last of its TIMEOUT_S seconds.
LEASE_S = 120.0

MAILS = metrics.Counter(
    "audiolift_mails_total",
    "Mails by what became of them this time.",
    label="outcome",
    values=("sent", "refused", "postponed"),
)


def mail_owner(
    job_id: str, *, jobs: job_store.Jobs, compose: Callable[[job_store.Job], EmailMessage], send: Send
) -> None:
    """Sends the mail that an ended job owes its owner; does nothing where it owes none (any more).

    Raises:
        TransientError: `unavailable`, when another worker is at it, or the mail was not taken this time.
    """
    job = job_mail.claim(jobs, job_id, lease_s=LEASE_S)
    if job is None:
        return
    try:
        with tracing.span("mail", kind="client"):
            send(compose(job))
    except PermanentError as error:
        log.warning("the mail of job %s was refused for good: %s", job_id, error)
        job_mail.refused(jobs, job_id, error)
        MAILS.add("refused")
    except Exception:
        job_mail.release(jobs, job)
        MAILS.add("postponed")
        raise
    else:
        job_mail.sent(jobs, job_id)
        MAILS.add("sent")
        log.info("the owner of job %s was told that it is %s", job_id, job["state"])
