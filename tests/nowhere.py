"""Settings with which each function starts, although none of the servers that they name is there."""

import json

from tests.token_keys import new_key

_NOWHERE = "127.0.0.1:1"
SETTINGS = {
    "auth": {
        "MYSQL_URL": f"mysql://a:b@{_NOWHERE}/auth",
        "TOKEN_KEYS": json.dumps({"keys": [new_key("nowhere")]}),
        "PUBLIC_URL": f"http://{_NOWHERE}",
        "K_SINK": f"http://{_NOWHERE}",
        "CLUSTER_HOST": "auth",
    },
    "upload": {
        "MONGODB_URI": f"mongodb://{_NOWHERE}",
        "K_SINK": f"http://{_NOWHERE}",
        "JWKS_URL": f"http://{_NOWHERE}",
        "LINK_KEYS": "k1=" + "5a" * 32,
        "PUBLIC_URL": f"http://{_NOWHERE}",
        "CLUSTER_HOST": "upload",
    },
    "convert": {"MONGODB_URI": f"mongodb://{_NOWHERE}", "K_SINK": f"http://{_NOWHERE}"},
    "notify": {
        "MONGODB_URI": f"mongodb://{_NOWHERE}",
        "K_SINK": f"http://{_NOWHERE}",
        "LINK_KEYS": "k1=" + "5a" * 32,
        "PUBLIC_URL": f"http://{_NOWHERE}",
        "MAIL_FROM": "audiolift@example.com",
        "MAIL_TRANSPORT": "smtp",
        "SMTP_URL": f"smtp://{_NOWHERE}",
    },
}
