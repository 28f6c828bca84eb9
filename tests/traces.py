"""Reads all that MongoDB and MariaDB have, to find what is left of somebody."""

import contextlib
from typing import Any

import bson
from pymongo import MongoClient

from database import parse_server
from tests.auth_helpers import connect


def traces(mongo: MongoClient[dict[str, Any]], mysql_url: str, *words: str) -> list[str]:
    """Where any of these words stands: `database.collection: word`, and `table: word`."""
    found = []
    for base in set(mongo.list_database_names()) - {"admin", "config", "local"}:
        for name in mongo[base].list_collection_names():
            for document in mongo[base][name].find():
                raw = bson.encode(document)
                found += [f"{base}.{name}: {word}" for word in words if word.encode() in raw]
    with contextlib.closing(connect(parse_server(mysql_url))) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW TABLES")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM `{table}`")
            text = repr(cursor.fetchall())
            found += [f"{table}: {word}" for word in words if word in text]
    return found
