"""prepare on a real MongoDB, as the Job runs it. No package has a mongos, so what one would be told is recorded."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from pymongo import MongoClient

from audiolift import prepare

_SOURCE = str(Path(__file__).parents[3] / "src")


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audiolift.prepare"]
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": _SOURCE, **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)


class _Mongos:
    """A client of a real mongod that says it is a mongos and notes what it is told to shard."""

    def __init__(self, real: MongoClient[dict[str, Any]]) -> None:
        self._real = real
        self.admin = self
        self.sharded: list[tuple[str, dict[str, Any]]] = []

    def __getitem__(self, name: str) -> Any:
        return self._real[name]

    def command(self, name: str, value: str = "", **options: Any) -> dict[str, Any]:
        if name == "shardCollection":
            self.sharded.append((value, options))
        return {"msg": "isdbgrid"} if name == "hello" else {}


def _indexes(mongo: MongoClient[dict[str, Any]], database: str, collection: str) -> list[tuple[str, ...]]:
    return [tuple(index["key"]) for index in mongo[database][collection].list_indexes()]


def test_the_job_makes_all_indexes_and_may_run_again(mongod: str) -> None:
    with MongoClient[dict[str, Any]](mongod) as mongo:
        for database in prepare.BUCKETS:
            mongo.drop_database(database)
        for _ in range(2):
            done = _run(MONGODB_URI=mongod)
            assert done.returncode == 0, done.stderr
            assert "the server does not shard" in done.stderr
        for database in prepare.BUCKETS:
            assert ("files_id", "n") in _indexes(mongo, database, "fs.chunks")
            assert ("filename", "uploadDate") in _indexes(mongo, database, "fs.files")
        assert ("state", "updated_at") in _indexes(mongo, "videos", "jobs")
        assert ("owner", "slot") in _indexes(mongo, "videos", "webhooks")
        assert ("state", "due_at") in _indexes(mongo, "videos", "deliveries")


def test_a_mongos_is_told_to_shard_the_chunks_by_file_and_number(mongod: str) -> None:
    with MongoClient[dict[str, Any]](mongod) as mongo:
        mongos = _Mongos(mongo)
        assert prepare.prepare(cast(Any, mongos)) is True
        key = {"files_id": 1, "n": 1}
        assert mongos.sharded == [
            (f"{name}.fs.chunks", {"key": key, "unique": True}) for name in ("videos", "mp3s", "segments")
        ]
        # A unique index must begin with the shard key, or the cluster refuses to shard.
        index = mongo["videos"]["fs.chunks"].index_information()["files_id_1_n_1"]
        assert index["unique"] and dict(index["key"]) == key


def test_without_an_address_it_fails_and_says_so() -> None:
    done = _run()
    assert done.returncode == 1
    assert "MONGODB_URI is not set" in done.stderr
