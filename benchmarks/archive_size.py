"""Memory of an ingest against the size of the archive: it should not grow with it.

    python benchmarks/archive_size.py --sizes 2000 20000

Draws small 8-bit pictures, indexes each archive into a library of its own and prints the largest
resident size of any of its processes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from ingest import timed_index
from PIL import Image

SIDE = 64


def make_pictures(folder: Path, count: int) -> None:
    """Draw noise with a disc in it, a thousand pictures a folder."""
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.png"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        values = rng.integers(0, 90, (SIDE, SIDE), np.uint8)
        y, x = np.mgrid[:SIDE, :SIDE] - rng.uniform(20, 44, 2)[:, None, None]
        values[y**2 + x**2 < rng.uniform(5, 20) ** 2] += np.uint8(120)
        Image.fromarray(values).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "syntopy-archive-size"
    )
    options = parser.parse_args()
    for size in options.sizes:
        pictures, library = options.folder / str(size), options.folder / f"library-{size}"
        make_pictures(pictures, size)
        shutil.rmtree(library, ignore_errors=True)
        seconds, peak, said = timed_index(pictures, library)
        print(
            json.dumps(
                {
                    "files": size,
                    "items": said["items"],
                    "files_per_s": round(size / seconds, 1),
                    "peak_resident_mb": round(peak / 2**20),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
