"""Prepares MongoDB once, as `python -m audiolift.prepare`: the indexes and, on a sharded cluster, the shard keys.

Run again it changes nothing. The functions make the indexes as well, when they start; made here, they are there before
the first file, and a sharded cluster spreads files from the first one on. Why this key: docs/adr/0010.
"""

import logging
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient

from audiolift import covers, deliveries, jobs, store, webhooks
from audiolift.settings import load, setting

log = logging.getLogger("prepare")

BUCKETS = ("videos", "mp3s", "segments")
SHARD_KEY = {"files_id": 1, "n": 1}


@dataclass(frozen=True)
class PrepareSettings:
    """What the Job in knative/cluster/mongodb.yaml sets."""

    mongodb_uri: str = setting(
        "where MongoDB is; its user may make indexes and, where that is due, shard", secret=True, parse=store.parse_uri
    )


def prepare(mongo: MongoClient[dict[str, Any]]) -> bool:
    """Makes the indexes; shards the chunks of files where the server is a mongos.

    Returns:
        Whether the server shards.

    Raises:
        pymongo.errors.PyMongoError: The server is out of reach, or does not allow it.
    """
    for kept in (jobs, webhooks, deliveries):
        kept.ensure_indexes(kept.collection(mongo["videos"]))
    covers.ensure_indexes(mongo["videos"])
    for bucket in BUCKETS:
        store.ensure_indexes(mongo[bucket])
    # How a mongos says that it is one (MongoDB Server Discovery and Monitoring specification).
    sharded = mongo.admin.command("hello").get("msg") == "isdbgrid"
    if sharded:
        for bucket in BUCKETS:
            mongo.admin.command("shardCollection", f"{bucket}.fs.chunks", key=SHARD_KEY, unique=True)
    return sharded


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sharded = prepare(store.connect(load(PrepareSettings).mongodb_uri))
    log.info("the indexes stand; %s", "the chunks of files are sharded" if sharded else "the server does not shard")
