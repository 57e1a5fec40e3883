"""What HTTP adds to a search, how many it answers, and what indexing and time do to it.

    python benchmarks/load.py --folder /tmp/load --items 100000 --seconds 20

Makes a library of synthetic vectors (kept in the folder), starts ``syntopy serve`` on loopback in a
process of its own, and asks with wrk (apt-get install wrk) from another for the neighbours of
random items. One line of JSON for each measurement; times are milliseconds:

- the service call itself, in this process, without HTTP;
- what HTTP adds to it, of each request the time less that of the search in it;
- 1, 8 and 64 clients, without keys; with keys and the audit;
- 8 clients while ``syntopy index`` runs over a folder of phantoms;
- the server's memory before and after mixed requests, refused ones among them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from search_service import fill

from api.service.access import keys
from api.service.search import open_searcher
from indexer.config import load_settings
from indexer.encoders.texture import TextureEncoder
from indexer.index.saving import save_projection
from indexer.library import Library
from indexer.phantoms import write_cohort
from indexer.searching.asking import SearchRequest, like

COMMAND = (sys.executable, "-m", "api.cli.main")
CLIENTS = (1, 8, 64)
COHORT = 200
"""Studies of phantoms that are indexed meanwhile."""
_ASK = """
math.randomseed(os.time())
request = function()
  local number = math.random(1, %(items)d)
  return wrk.format("GET", "/v1/items/item" .. number .. "/neighbours?k=10")
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nTOLD {"requests": %%d, "seconds": %%.3f, "p50": %%.3f, "p99": %%.3f, ' ..
    '"refused": %%d, "broken": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="for the library and the phantoms"
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=20, help="of each measurement with wrk")
    parser.add_argument("--calls", type=int, default=500, help="of the service itself")
    parser.add_argument("--mixed", type=int, default=10_000, help="requests, for the memory")
    parser.add_argument("--studies", type=int, default=COHORT, help="that are indexed meanwhile")
    said = parser.parse_args()
    path = made(said.folder, said.items)
    in_process(path, said.items, said.calls)
    with serving(path) as (_, address):
        added(address, said.items, said.calls)
        for clients in CLIENTS:
            tell("no keys", wrk(address, said.items, clients, said.seconds))
    with Library.open(path) as library:
        token = keys.create(library, keys.KeyRequest("load"), actor="benchmark").token
    key = {"Authorization": f"Bearer {token}"}
    with serving(path, "--auth", headers=key) as (_, address):
        for clients in CLIENTS:
            tell("keys and audit", wrk(address, said.items, clients, said.seconds, key))
    with serving(path) as (process, address):
        tell("before indexing", wrk(address, said.items, 8, said.seconds))
        with indexing(path, cohort(said.folder, said.studies)):
            tell("while indexing", wrk(address, said.items, 8, said.seconds))
        remembering(process.pid, address, said.items, said.mixed)


def made(folder: Path, items: int) -> Path:
    """The library, made the first time."""
    path = folder / f"load-{items}"
    if not path.exists():
        with Library.create(path) as library:
            fill(library, items, TextureEncoder.spec)
            with library.writing():
                save_projection(library, library.spaces()[0])
    return path


def cohort(folder: Path, studies: int) -> Path:
    path = folder / f"cohort-{studies}"
    if not path.exists():
        write_cohort(path, studies, 1)
    return path


def in_process(path: Path, items: int, calls: int) -> None:
    """The call that the route makes."""
    with Library.open(path) as library:
        searcher = open_searcher(library, load_settings())
        searcher.load()
        taken = []
        for number in np.random.default_rng(0).integers(1, items + 1, calls + 20):
            start = time.perf_counter()
            searcher.search(SearchRequest(like(uid=f"item{number}"), evidence=True))
            taken.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.percentile(taken[20:], [50, 99]).round(2)  # the first ones fill what is kept
    tell("service call", {"clients": 1, "p50": p50, "p99": p99})


def added(address: str, items: int, calls: int) -> None:
    """What HTTP adds: of each request the time less that which the search in it says it took."""
    connection, taken = http.client.HTTPConnection(address, timeout=60), []
    for number in np.random.default_rng(0).integers(1, items + 1, calls):
        start = time.perf_counter()
        connection.request("GET", f"/v1/items/item{number}/neighbours?k=10")
        answer = connection.getresponse().read()
        whole = time.perf_counter() - start
        taken.append((whole - json.loads(answer)["seconds"]) * 1e3)
    connection.close()
    p5, p50, p95 = np.percentile(taken, [5, 50, 95]).round(2)
    tell("HTTP adds", {"clients": 1, "p5": p5, "p50": p50, "p95": p95})


@contextmanager
def serving(
    path: Path, *options: str, headers: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``syntopy serve``, ready, on a free port; without limits of rate."""
    limits = {f"SYNTOPY_SERVE_{name}": "1000000" for name in ("RATE", "BURST", "WAITING")}
    command = [*COMMAND, "serve", "-L", str(path), "--port", "0", *options]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=os.environ | limits
        ) as own,
    ):
        assert own.stderr is not None
        found = re.search(r"127\.0\.0\.1:\d+", own.stderr.readline())
        assert found
        # Who does not read the log of a server stops it when the pipe is full.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(log.writelines, own.stderr)
            try:
                while get(found[0], "/v1/ready")[0] != 200:
                    time.sleep(0.2)
                warm_up(found[0], headers)
                yield own, found[0]
            finally:
                own.send_signal(signal.SIGINT)
                own.wait()


def warm_up(address: str, headers: Mapping[str, str] | None) -> None:
    """What the first searches bring into memory is there then."""
    for number in range(1, 21):
        assert get(address, f"/v1/items/item{number}/neighbours", None, headers)[0] == 200


def wrk(
    address: str, items: int, clients: int, seconds: int, headers: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Ask for so long; returns what was answered, how quickly, and what not."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_ASK % {"items": items})
        script.flush()
        given = [f"-H{name}: {value}" for name, value in (headers or {}).items()]
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", *given]
        command += ["-s", script.name, f"http://{address}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    told = json.loads(shown.stdout.partition("TOLD ")[2])
    rate = round(told.pop("requests") / told.pop("seconds"), 1)
    return {"clients": clients, "a_second": rate, **told}


@contextmanager
def indexing(path: Path, folder: Path) -> Iterator[None]:
    """``syntopy index`` over a folder; what is left of it at the end is left."""
    command = [*COMMAND, "index", str(folder), "-L", str(path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as own:
        try:
            yield
            print(json.dumps({"what": "indexing", "ended_meanwhile": own.poll() is not None}))
        finally:
            own.send_signal(signal.SIGINT)
            own.wait()


def remembering(pid: int, address: str, items: int, requests: int) -> None:
    """Memory before and after mixed requests, of which the first tenth only warms up."""
    ask = [lambda number=number: mixed(address, number, items) for number in range(requests)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda call: call(), ask[: requests // 10]))
        before = resident(pid)
        statuses = list(pool.map(lambda call: call(), ask))
    after, seen = resident(pid), {str(s): statuses.count(s) for s in sorted(set(statuses))}
    grown = round(100 * (after / before - 1), 2)
    tell(
        "memory",
        {"before_mb": before >> 20, "after_mb": after >> 20, "grown_percent": grown, **seen},
    )


def mixed(address: str, number: int, items: int) -> int:
    """One of several kinds of requests."""
    uid = f"item{number * 7919 % items + 1}"
    asked = json.dumps({"examples": [{"uid": uid}], "k": 5, "filter": "sex=F"})
    kind = {"Content-Type": "application/json"}
    kinds = (
        (f"/v1/items/{uid}/neighbours?k=10", None),
        ("/v1/search", asked),
        ("/v1/studies?limit=20&sort=-study_date", None),
        (f"/v1/items/{uid}", None),
        (f"/v1/items/{uid}/thumbnail", None),
        ("/v1/search", "[" * 100),
        ("/v1/items?filter=age>=", None),
        ("/metrics", None),
    )
    path, body = kinds[number % len(kinds)]
    return get(address, path, body, kind)[0]


def get(
    address: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST" if body else "GET", path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def tell(what: str, told: Mapping[str, float]) -> None:
    print(json.dumps({"what": what, **told}), flush=True)


if __name__ == "__main__":
    main()
