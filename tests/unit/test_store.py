"""Connection strings, as settings check them."""

import pytest

from audiolift.store import parse_uri


@pytest.mark.parametrize("uri", ["mongodb://a:b@one,two:27018/?replicaSet=r", "mongodb+srv://a:b@cluster.example.com/"])
def test_a_connection_string_is_kept(uri: str) -> None:
    assert parse_uri(uri) == uri


@pytest.mark.parametrize("text", ["localhost:27017", "http://host", "mongodb://", "mongodb://a:hunter2@host:port"])
def test_anything_else_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is no MongoDB connection string like mongodb://host:27017$") as refused:
        parse_uri(text)
    assert "hunter2" not in str(refused.value)
