"""How well, how fast and in how much memory embeddings are clustered, as a table.

    python benchmarks/cluster_methods.py --n 20000 --data mednist=m64.npz cxr=cxr/labels.csv#finding
    python benchmarks/cluster_methods.py --n 10000 100000 1000000 --n-clusters 100 --out cost.jsonl

Generated vectors are `vectors.labelled`: 30 clusters in 6 kinds, sizes by Zipf's law. Data is an
NPZ of ``images`` ``(n, h, w)`` and ``labels``, or a CSV with a column ``image`` of files beside it
and, after a ``#``, the column of labels; encoded with the built-in encoder. Each step runs in
a process of its own, so that its peak of memory is its own, mapped vectors and all libraries
included: ``neighbours``, the graph that the others are given; each method; ``map``, fitted and all
rows placed. ACC, NMI and ARI are those of `clustering.quality.against`. With --out, what has been
measured is kept there and not measured again. Where several sizes were generated, the slope of
seconds against n, both as logarithms, is printed for each step.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pictures import encoded, read
from vectors import labelled

from clustering.contract import Neighbours
from clustering.neighbours import neighbour_graph
from clustering.projection import fit_map
from clustering.quality import against
from clustering.registry import make_method, method_names

DIM, CLUSTERS, KINDS = 768, 30, 6
HEAD = "| data | step | clusters | ACC | NMI | ARI | noise | s | CPU s | peak MB |"


@dataclass(frozen=True)
class Data:
    """Rows with the labels that are to be found, as files in a folder of their own."""

    name: str
    folder: Path

    def rows(self) -> np.ndarray:
        return np.load(self.folder / "rows.npy", mmap_mode="r")

    def labels(self) -> np.ndarray:
        return np.load(self.folder / "labels.npy")

    def graph(self) -> Neighbours:
        parts = [np.load(self.folder / f"graph-{part}.npy") for part in ("rows", "scores")]
        return Neighbours(*parts, float((self.folder / "recall").read_text()))

    def keep_graph(self, graph: Neighbours) -> None:
        np.save(self.folder / "graph-rows.npy", graph.rows)
        np.save(self.folder / "graph-scores.npy", graph.scores)
        (self.folder / "recall").write_text(str(graph.recall))

    @classmethod
    def kept(cls, name: str, folder: Path, make: Callable[[], tuple[np.ndarray, ...]]) -> Data:
        data = cls(name, folder / name.replace(" ", "-").replace(",", ""))
        if not (data.folder / "labels.npy").exists():
            data.folder.mkdir(parents=True, exist_ok=True)
            rows, labels = make()
            np.save(data.folder / "rows.npy", rows.astype(np.float16))
            np.save(data.folder / "labels.npy", labels)
        return data


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    data: str
    n: int
    step: str
    asked: str
    clusters: int | None
    acc: float | None
    nmi: float | None
    ari: float | None
    noise: float | None
    recall: float | None
    seconds: float
    cpu: float
    peak: float

    @property
    def key(self) -> tuple[str, str, str]:
        return self.data, self.step, self.asked

    def __str__(self) -> str:
        step = self.step if self.recall is None else f"{self.step}, recall {self.recall:.3f}"
        figures = [self.acc, self.nmi, self.ari, self.noise]
        shown = ["" if each is None else f"{each:.3f}" for each in figures]
        cells = [self.data, step, str(self.clusters or ""), *shown]
        cells += [f"{self.seconds:,.0f}", f"{self.cpu:,.0f}", f"{self.peak:,.0f}"]
        return f"| {' | '.join(cells)} |"


def generated(n: int) -> tuple[np.ndarray, np.ndarray]:
    return labelled(n, DIM, CLUSTERS, KINDS)


def apart(work: Callable[..., object], *given: object) -> tuple[object, float, float, float]:
    """What work gives in a process of its own: answer, seconds, CPU seconds, peak MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, given))


def _measured(
    work: Callable[..., object], given: tuple[object, ...]
) -> tuple[object, float, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work(*given)
    used = time.perf_counter() - wall, time.process_time() - cpu
    return answer, *used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def linked(data: Data) -> float:
    graph = neighbour_graph(data.rows())
    data.keep_graph(graph)
    return graph.recall


def mapped(data: Data) -> None:
    rows = data.rows()
    fit_map(rows, neighbours=data.graph()).place(rows)


def clustered(data: Data, method: str, count: int | None) -> np.ndarray:
    return make_method(method).fit(data.rows(), count, neighbours=data.graph()).labels


def measured(data: Data, step: str, asked: str) -> Line:
    truth = data.labels()
    told = len(np.unique(truth)) if asked == "true" else None if asked == "auto" else int(asked)
    recall = clusters = None
    figures: tuple[float | None, ...] = (None,) * 4
    if step == "neighbours":
        recall, *used = apart(linked, data)
    elif step == "map":
        _, *used = apart(mapped, data)
    else:
        labels, *used = apart(clustered, data, step, told)
        assert isinstance(labels, np.ndarray)
        clusters = int(labels.max()) + 1
        found = against(labels, [str(label) for label in truth])
        figures = found.acc, found.nmi, found.ari, found.noise_share
    assert recall is None or isinstance(recall, float)
    return Line(data.name, len(truth), step, asked, clusters, *figures, recall, *used)


def slopes(lines: list[Line]) -> None:
    """Print, for each step, by which power of n its seconds grow."""
    by_step: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.data.startswith("generated"):
            by_step[line.step].append(line)
    for step, its in by_step.items():
        if len({line.n for line in its}) > 1:
            n, seconds = np.log([line.n for line in its]), np.log([line.seconds for line in its])
            print(f"{step}: seconds grow as n to the power of {np.polyfit(n, seconds, 1)[0]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    steps = ["neighbours", *method_names(), "map"]
    parser.add_argument("--n", type=int, nargs="*", default=[], help="sizes of generated data")
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=FILE", help="pictures")
    parser.add_argument("--steps", nargs="*", default=steps, help="default: all")
    parser.add_argument("--n-clusters", default="auto", help="auto, true, or a number")
    parser.add_argument("--out", type=Path, help="file of JSON lines")
    where = Path(tempfile.gettempdir()) / "syntopy-vectors"
    parser.add_argument("--folder", type=Path, default=where, help="of vectors and graphs")
    args = parser.parse_args()
    sets = [Data.kept(f"generated {n:,}", args.folder, lambda n=n: generated(n)) for n in args.n]
    for named in args.data:
        name, _, path = named.partition("=")
        made = Data.kept(f"{name} texture", args.folder, lambda path=path: encoded(*read(path))[:2])
        sets.append(made)
    there = args.out.read_text().splitlines() if args.out and args.out.exists() else []
    done = {line.key: line for line in (Line(**json.loads(text)) for text in there)}
    print(HEAD + "\n" + "|---" * 10 + "|")
    lines = []
    for data in sets:
        for step in args.steps:
            asked = "" if step in {"neighbours", "map"} else args.n_clusters
            line = done.get((data.name, step, asked))
            if line is None:
                line = measured(data, step, asked or "auto")
                line = Line(**{**asdict(line), "asked": asked})
                if args.out:
                    with args.out.open("a") as file:
                        file.write(json.dumps(asdict(line)) + "\n")
            print(line, flush=True)
            lines.append(line)
    slopes(lines)


if __name__ == "__main__":
    main()
