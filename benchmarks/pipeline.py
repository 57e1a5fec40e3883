"""How near indexing comes to what the network alone can do.

    python benchmarks/pipeline.py --encoder rad-dino --files 48

Writes checkpoints of the true size with random weights and generated DICOM radiographs (kept in
--folder). Then, twice in turn, so that a machine that becomes slower harms both alike: the pure
forward of the encoder on prepared inputs, and indexing the files into a new library, which
reads, decodes, prepares, embeds, draws thumbnails and commits. Same batches, same threads. Prints
one JSON object; efficiency is the ratio of their throughputs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from api.service import ingest
from indexer.config import Settings
from indexer.encoders.contract import Encoder, EncoderContext
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.reading.tasks import read_query
from indexer.registry import make_encoder
from indexer.types import Prepared


def prepared(files: list[Path], name: str, models: Path) -> list[Prepared]:
    """What the encoder takes of each file."""
    options = ReadOptions((name,), key=b"k" * 32, models=models)
    return [read_query(file, options)[1][0].tensors[name] for file in files]


def forward(encoder: Encoder, inputs: list[Prepared]) -> float:
    """Seconds of the network alone, in the batches that indexing uses."""
    began = time.perf_counter()
    for start in range(0, len(inputs), 64):
        encoder.embed(inputs[start : start + 64])
    return time.perf_counter() - began


def index(files: Path, name: str, settings: Settings) -> float:
    """Seconds of indexing into a new library; the network is in memory already."""
    folder = Path(tempfile.mkdtemp())
    with Library.create(folder / "library", encoders=(name,)) as library:
        began = time.perf_counter()
        summary = ingest.index(library, ingest.IndexRequest([files]), settings)
        seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    assert summary.items == summary.files
    return seconds


def main() -> None:
    # Here, since worker processes load this file too, and have no use for torch.
    import torch  # noqa: PLC0415 - see above
    from ingest import make_files  # noqa: PLC0415 - see above

    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from full_size import published_models  # noqa: PLC0415 - see above

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "full-size")
    parser.add_argument("--encoder", default="rad-dino")
    parser.add_argument("--files", type=int, default=48)
    parser.add_argument("--codec", default="none", choices=("none", "jpeg-lossless", "jpeg2000"))
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    models = published_models(options.folder)
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # the tests' helpers had set it to one
    folder = options.folder / f"films-{options.files}-{options.codec}"
    make_files(folder, options.files, options.codec)
    settings = Settings(models=models)
    encoder = make_encoder(EncoderContext(options.encoder, models, settings.device))
    inputs = prepared(sorted(folder.glob("*.dcm")), options.encoder, models)
    encoder.embed(inputs[:4])
    pure, whole = [], []
    for number in range(options.rounds):
        pure.append(forward(encoder, inputs))
        whole.append(index(folder, options.encoder, settings))
        print(f"round {number}: {pure[-1]:.1f} s, {whole[-1]:.1f} s", file=sys.stderr)
    print(
        json.dumps(
            {
                "encoder": options.encoder,
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
                "threads": torch.get_num_threads(),
                "files": len(inputs),
                "codec": options.codec,
                "forward_per_second": round(len(inputs) / float(np.mean(pure)), 3),
                "index_per_second": round(len(inputs) / float(np.mean(whole)), 3),
                "efficiency": round(float(np.sum(pure) / np.sum(whole)), 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
