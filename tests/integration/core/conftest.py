"""A real MongoDB, with a database of its own for each test."""

import uuid
from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from audiolift import jobs as job_store
from audiolift import store
from audiolift.jobs import Job, Jobs
from audiolift.store import Bucket


@pytest.fixture(scope="session")
def mongo(mongod: str) -> Iterator[MongoClient[Job]]:
    with store.connect(mongod) as client:
        yield client


@pytest.fixture
def bucket(mongo: MongoClient[Job]) -> Iterator[Bucket]:
    name = f"test_{uuid.uuid4().hex}"
    store.ensure_indexes(mongo[name])
    yield mongo[name]
    mongo.drop_database(name)


@pytest.fixture
def jobs(bucket: Bucket) -> Jobs:
    found = job_store.collection(bucket)
    job_store.ensure_indexes(found)
    return found
