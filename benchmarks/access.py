"""What recognising keys and writing, checking and exporting the audit cost.

    python benchmarks/access.py --rows 20000

Makes a new library, and prints one line of JSON for each measurement. Times are milliseconds; that
of a write is mostly the disk's.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from api.service.access import audit, keys
from indexer.catalog.audit import Action, AuditEvent
from indexer.errors import NotAuthenticatedError
from indexer.library import Library

QUERY = AuditEvent(
    actor="dr-who",
    action=Action.QUERY,
    subject={"level": "study", "uid": "1.2.840.113619.2.1", "hits": 10},
    patients=("m7ipsq6gff3irlll",),
    origin="192.0.2.7",
    request_id="0123456789abcdef",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="of the audit")
    parser.add_argument("--calls", type=int, default=500)
    said = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Library.create(Path(folder) / "library") as library,
    ):
        recognising(library, said.calls)
        writing(library, said.calls)
        reading(library, said.rows)


def recognising(library: Library, calls: int) -> None:
    token = keys.create(library, keys.KeyRequest("viewer"), actor="benchmark").token
    given = {
        "right key": token,
        "wrong key": token[:-3] + "AAA",
        "unknown key": "syn_000000000000" + token[16:],
    }

    def ask(each: str) -> None:
        with suppress(NotAuthenticatedError):
            keys.authenticate(library, each)

    ask(token)  # notes the day of use
    for name, each in given.items():
        tell(name, [timed(lambda each=each: ask(each)) for _ in range(calls)])


def writing(library: Library, calls: int) -> None:
    tell("record", [timed(lambda: audit.record(library, QUERY)) for _ in range(calls)])
    for threads in (1, 8, 64):
        with audit.Recorder(library) as recorder, ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            jobs = [pool.submit(timed, lambda: recorder.record(QUERY)) for _ in range(calls)]
            taken = [job.result() for job in jobs]
            rate = calls / (time.perf_counter() - start)
        tell(f"recorder, {threads} threads", taken, a_second=round(rate))


def reading(library: Library, rows: int) -> None:
    audit.record(library, *[QUERY] * rows)
    there = audit.verify(library).rows
    each = timed(lambda: audit.verify(library)) / there
    print(json.dumps({"what": "verify", "rows": there, "a_row": round(each, 4)}))
    for form in audit.FORMATS:
        out = io.StringIO()
        taken = timed(lambda out=out, form=form: audit.export(library, out, actor="b", form=form))
        print(json.dumps({"what": f"export {form}", "a_row": round(taken / there, 4)}))


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def tell(what: str, taken: list[float], **more: float) -> None:
    p50, p99 = np.percentile(taken, [50, 99]).round(2)
    print(json.dumps({"what": what, "p50": p50, "p99": p99, **more}))


if __name__ == "__main__":
    main()
