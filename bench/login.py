"""Whether the time of a refused login tells who has an account.

    PYTHONPATH=src:functions/auth .venv/bin/python -m bench.login [--rounds N]

Starts auth on a MariaDB of its own and logs in again and again: as somebody who is known, unknown or disabled, with a
wrong password and the right one, one kind after the other in each round, in an order that differs from round to round.
Prints the times, the CPU time of auth (which other load on the machine does not change), and how far each kind is from
a known user's wrong password, with the 95 % interval by bootstrap. The noise is the same for even and odd rounds.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

import httpx
import psutil

from bench import servers
from tests.auth_helpers import ADMIN_KEY, KEYS, PASSWORD, PUBLIC_URL
from tests.functions import running

Login = Callable[[], int]
RESAMPLES = 2000
#: Where no event is sent.
NOBODY = "http://127.0.0.1:1"
KNOWN, UNKNOWN = "known, wrong password", "unknown"
STATUSES = {
    KNOWN: 401,
    UNKNOWN: 401,
    "disabled, wrong password": 401,
    "disabled, right password": 403,
    "known, right password": 200,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    unlimited = dict.fromkeys(("LOGIN_ATTEMPTS_PER_ACCOUNT", "LOGIN_ATTEMPTS_PER_ADDRESS"), "1000000")
    about = {"TOKEN_KEYS": KEYS, "ADMIN_KEY": ADMIN_KEY, "PUBLIC_URL": PUBLIC_URL, "K_SINK": NOBODY} | unlimited
    about |= {"CLUSTER_HOST": "auth"}
    with (
        servers.mariadb() as url,
        running("auth", about | {"MYSQL_URL": url}) as auth,
        httpx.Client(base_url=auth.url, timeout=60) as http,
    ):
        (worker,) = psutil.Process(auth.process.pid).children()
        report(*measured(logins(http), rounds, cpu_s=lambda: sum(worker.cpu_times()[:2])))


def logins(http: httpx.Client) -> dict[str, Login]:
    """Makes the accounts. Returns a login of each kind, which gives the status of its answer."""
    for name in ("known", "disabled"):
        account = {"email": f"{name}@example.com", "password": PASSWORD}
        assert http.post("/register", content=json.dumps(account), headers={"Content-Type": "application/json"})
    http.post("/admin/users/disabled@example.com/disable", headers={"Authorization": f"Bearer {ADMIN_KEY}"})

    def login(name: str, password: str) -> Login:
        return lambda: http.post("/login", auth=(f"{name}@example.com", password)).status_code

    return {
        KNOWN: login("known", "a wrong password"),
        UNKNOWN: login("nobody", "a wrong password"),
        "disabled, wrong password": login("disabled", "a wrong password"),
        "disabled, right password": login("disabled", PASSWORD),
        "known, right password": login("known", PASSWORD),
    }


def measured(
    kinds: dict[str, Login], rounds: int, *, cpu_s: Callable[[], float]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds of each login, and of auth's CPU, after one of each kind that is not counted."""
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    work: dict[str, list[float]] = {kind: [] for kind in kinds}
    order = list(kinds)
    for counted in [False] + [True] * rounds:
        random.shuffle(order)
        for kind in order:
            worked, began = cpu_s(), time.perf_counter()
            assert kinds[kind]() == STATUSES[kind]
            if counted:
                times[kind].append((time.perf_counter() - began) * 1000)
                work[kind].append((cpu_s() - worked) * 1000)
    return times, work


def report(times: dict[str, list[float]], work: dict[str, list[float]]) -> None:
    """Prints the table."""
    print(f"{'login':27}{'median':>10}{'p10':>10}{'p95':>11}{'CPU, mean':>12}{'from the first':>17}   95 % interval")
    for kind, taken in times.items():
        parts = statistics.quantiles(taken, n=20)
        figures = f"{statistics.median(taken):8.1f}ms{parts[1]:8.1f}ms{parts[-1]:9.1f}ms"
        print(f"{kind:27}{figures}{statistics.fmean(work[kind]):10.1f}ms{far(times[KNOWN], taken)}")
    print(f"{'noise: even and odd rounds':70}{far(times[KNOWN][::2], times[KNOWN][1::2])}")


def far(one: list[float], other: list[float]) -> str:
    """How far the medians are from each other, and the interval."""
    low, high = interval(one, other)
    return f"{statistics.median(other) - statistics.median(one):+15.1f}ms   {low:+.1f} to {high:+.1f}"


def interval(one: list[float], other: list[float]) -> tuple[float, float]:
    """Between what the difference of the medians lies, in 95 of 100 resamples."""
    draws = sorted(
        statistics.median(random.choices(other, k=len(other))) - statistics.median(random.choices(one, k=len(one)))
        for _ in range(RESAMPLES)
    )
    return draws[len(draws) // 40], draws[-len(draws) // 40]


if __name__ == "__main__":
    main()
