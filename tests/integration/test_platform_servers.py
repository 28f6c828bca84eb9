"""The servers start in a directory with a space in its name, and end without leaving a process."""

import smtplib
from pathlib import Path
from urllib.parse import urlsplit

import mysql.connector
import pika
import pymongo


def test_mongod_stores(mongod: str) -> None:
    with pymongo.MongoClient[dict[str, object]](mongod) as client:
        client.test.things.insert_one({"_id": 1})
        assert client.test.things.find_one() == {"_id": 1}


def test_mariadb_has_the_database(mariadb: str) -> None:
    url = urlsplit(mariadb)
    with mysql.connector.connect(
        host=url.hostname, port=url.port, user=url.username, database=url.path.strip("/")
    ) as connection:
        assert connection.is_connected()


def test_rabbitmq_declares_a_quorum_queue(rabbitmq: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"kept")
        assert channel.basic_get("q", auto_ack=True)[2] == b"kept"
        channel.queue_delete("q")


def test_smtp_keeps_a_mail(smtp: tuple[str, Path]) -> None:
    url, mails = smtp
    with smtplib.SMTP("127.0.0.1", urlsplit(url).port or 0) as client:
        client.sendmail("a@example.com", ["b@example.com"], b"Subject: hello\r\n\r\nbody\r\n")
    assert any(b"Subject: hello" in mail.read_bytes() for mail in mails.glob("*.eml"))
