"""What stands around notify: a mail server, SendGrid's API, and the jobs in a real MongoDB."""

from collections.abc import Iterator

import pytest

from audiolift import jobs as job_store
from audiolift import store
from audiolift.jobs import Jobs
from tests.mail_servers import Mailbox, SendGrid, sendgrid_api, smtp_server


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def sendgrid() -> Iterator[SendGrid]:
    with sendgrid_api() as running:
        yield running


@pytest.fixture
def jobs(mongod: str) -> Iterator[Jobs]:
    """The collection that the function reads, too; empty for other functions' tests afterwards."""
    with store.connect(mongod) as client:
        found = job_store.collection(client["videos"])
        job_store.ensure_indexes(found)
        yield found
        found.delete_many({})
