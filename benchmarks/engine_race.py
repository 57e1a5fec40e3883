"""Syntopy's stores beside other engines: the same vectors, the same threads, one after another.

    python benchmarks/engine_race.py --n 100000
    python benchmarks/engine_race.py --n 1000000 --engines "syntopy hnsw" hnswlib --out race.jsonl

Each engine runs in a process of its own. It takes the gallery of benchmarks/vectors.py, writes
itself to disk and is opened anew. Engines with a search width are asked with ever wider ones until
recall@10 against exact search reaches --recall on queries of the gallery's distribution; that
width is then timed: single queries one by one (p50, p99), and all queries as one batch. Recall on
queries off the distribution is told at the same width. Memory is private and mapped pages that are
resident after the searches, less what the process had before it opened the index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from engines import ENGINES
from vectors import BLOCK, Ids, Rows, gallery, queries, recall, truth

K = 10


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def run_one(name: str, options: argparse.Namespace) -> dict[str, object]:
    rows = gallery(options.folder, options.n, options.dim)
    asked = {away: queries(options.queries, options.dim, away=away) for away in (False, True)}
    nearest = {away: known_truth(options, rows, asked[away], away) for away in asked}
    kind, arguments = ENGINES[name]
    path = Path(tempfile.mkdtemp(dir=options.folder)) / "index"
    engine = kind(options.dim, options.threads, path, **arguments)
    spent = 0.0
    for start in range(0, options.n, BLOCK):
        block = rows[start : start + BLOCK].astype(np.float32)
        began = time.perf_counter()
        engine.add(start, block)
        spent += time.perf_counter() - began
        print(f"\r{name}: {start + len(block)} rows, {spent:.0f} s ", end="", file=sys.stderr)
    began = time.perf_counter()
    engine.finish()
    spent += time.perf_counter() - began
    del engine, rows, block
    # Opened by a process that has nothing else in memory.
    arguments_of = [sys.executable, __file__, *sys.argv[1:], "--open", str(path), "--one", name]
    answer = subprocess.run(arguments_of, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, object] = json.loads(answer.stdout.splitlines()[-1])
    found |= {
        "build_s": round(spent, 1),
        "disk_bytes_per_vector": round(on_disk(path.parent) / options.n),
    }
    del nearest
    shutil.rmtree(path.parent)
    return found


def open_one(name: str, options: argparse.Namespace) -> dict[str, object]:
    rows = gallery(options.folder, options.n, options.dim)
    asked = {away: queries(options.queries, options.dim, away=away) for away in (False, True)}
    nearest = {away: known_truth(options, rows, asked[away], away) for away in asked}
    kind, arguments = ENGINES[name]
    kind(options.dim, options.threads, options.open.with_name("nothing"), **arguments)  # imports
    before = resident()
    began = time.perf_counter()
    engine = kind(options.dim, options.threads, options.open, **arguments)
    engine.open()
    engine.search(asked[False][:1], K, engine.widths[0])
    opening = time.perf_counter() - began
    width = engine.widths[-1]
    for width in engine.widths:
        reached = recall(engine.search(asked[False], K, width), nearest[False])
        if reached >= options.recall:
            break
    singles = []
    for query in asked[False][: options.singles]:
        began = time.perf_counter()
        engine.search(query[None], K, width)
        singles.append(time.perf_counter() - began)
    batches = []
    for _ in range(3):
        began = time.perf_counter()
        engine.search(asked[False], K, width)
        batches.append(time.perf_counter() - began)
    used = resident() - before
    return {
        "engine": name,
        "n": options.n,
        "width": width,
        "recall@10": round(reached, 4),
        "recall@10 off": round(recall(engine.search(asked[True], K, width), nearest[True]), 4),
        "p50_ms": round(float(np.percentile(singles, 50)) * 1e3, 3),
        "p99_ms": round(float(np.percentile(singles, 99)) * 1e3, 3),
        "batch_qps": round(options.queries / min(batches), 1),
        "open_s": round(opening, 2),
        "bytes_per_vector": round(used / options.n),
    }


def known_truth(options: argparse.Namespace, rows: np.ndarray, asked: Rows, away: bool) -> Ids:
    """Exact neighbours, computed once and kept beside the gallery."""
    name = f"truth-{options.n}-{options.dim}-{options.queries}-{int(away)}.npy"
    path = options.folder / name
    if not path.exists():
        np.save(path, truth(rows, asked, K)[0])
    known: Ids = np.load(path)
    return known


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=500, help="of them asked one by one")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--out", type=Path, help="one JSON object a line is added to this file")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "syntopy-vectors"
    )
    parser.add_argument("--one", choices=list(ENGINES), help=argparse.SUPPRESS)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        print(json.dumps(open_one(options.one, options)))
        return
    if options.one:
        print(json.dumps(run_one(options.one, options)))
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    for name in options.engines:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, text=True, env=environment
        )
        print(file=sys.stderr)
        if done.returncode:
            print(json.dumps({"engine": name, "n": options.n, "failed": done.returncode}))
            continue
        line = done.stdout.splitlines()[-1]
        print(line, flush=True)
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
