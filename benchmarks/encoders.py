"""Speed of the encoders at their published size, with random weights.

    python benchmarks/encoders.py                          # every encoder, float32
    python benchmarks/encoders.py --encoder rad-dino --variants float32 bfloat16 int8 channels-last

Writes checkpoints of the true sizes to --folder (4 GB, kept), then for each encoder: seconds and
CPU seconds an input, and for each variant the least cosine with the float32 vectors. `texture` is
timed on one core, its preparation left out. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from full_size import published_models

from indexer.encoders.contract import Encoder, EncoderContext
from indexer.phantoms import radiograph
from indexer.phantoms.probe import probe_volume
from indexer.registry import make_encoder
from indexer.types import ImagePixels, Prepared

VARIANTS = ("float32", "channels-last", "bfloat16", "int8")


def inputs(encoder: Encoder, count: int) -> list[Prepared]:
    """Prepared films, or volumes where it takes no images."""
    if "image" not in encoder.spec.inputs:
        return [encoder.prepare(probe_volume())] * count
    films = (radiograph(np.random.default_rng(seed), size=512) * 4000 for seed in range(count))
    modality = next(iter(sorted(encoder.spec.modalities)), "CR")
    return [encoder.prepare(ImagePixels(film.astype(np.float32), modality)) for film in films]


def timed(encoder: Encoder, batch: Sequence[Prepared]) -> tuple[np.ndarray, float, float]:
    """Vectors, seconds and CPU seconds an input."""
    encoder.embed(batch[:1])
    wall, cpu = time.perf_counter(), time.process_time()
    rows = encoder.embed(batch)
    used = time.perf_counter() - wall, time.process_time() - cpu
    return rows, used[0] / len(batch), used[1] / len(batch)


def changed(network: torch.nn.Module, variant: str) -> torch.nn.Module:
    """The network in another arithmetic or layout."""
    if variant == "bfloat16":
        return network.to(torch.bfloat16)
    if variant == "channels-last":
        for module in network.modules():
            for form, dims in ((torch.channels_last, 4), (torch.channels_last_3d, 5)):
                for parameter in module.parameters(recurse=False):
                    if parameter.dim() == dims:
                        parameter.data = parameter.data.to(memory_format=form)
        return network
    if variant == "int8":
        return torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, torch.qint8)
    return network


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.min((a * b).sum(axis=1) / norms))


def measure(name: str, models: Path, count: int, variants: Sequence[str]) -> dict[str, object]:
    encoder = make_encoder(EncoderContext(name, models))
    batch = inputs(encoder, count)
    if name == "texture":
        with threadpool_limits(1):
            _, seconds, cpu = timed(encoder, batch * 20)
        return {"float32": {"seconds": round(seconds, 5), "cpu_seconds": round(cpu, 5)}}
    found: dict[str, object] = {}
    reference = np.empty(0)
    for variant in variants:
        fresh = type(encoder)(EncoderContext(name, models))  # type: ignore[call-arg]  # a protocol says nothing of it
        fresh._network = changed(fresh._network, variant)  # type: ignore[attr-defined]  # its own
        kind = torch.bfloat16 if variant == "bfloat16" else torch.float32
        with torch.autocast("cpu", kind, enabled=kind != torch.float32):
            rows, seconds, cpu = timed(fresh, batch)
        reference = reference if reference.size else rows
        found[variant] = {
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu, 3),
            "least_cosine": round(least_cosine(rows, reference), 6),
        }
        print(name, variant, found[variant], file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "full-size")
    names = ["texture", "rad-dino", "medimageinsight", "ct-fm"]
    parser.add_argument("--encoder", nargs="+", default=names)
    parser.add_argument("--variants", nargs="+", default=["float32"], choices=VARIANTS)
    parser.add_argument("--inputs", type=int, default=4)
    options = parser.parse_args()
    models = published_models(options.folder)
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # the tests' helpers had set it to one
    print(
        json.dumps(
            {
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
                "threads": torch.get_num_threads(),
                "encoders": {
                    name: measure(name, models, options.inputs, options.variants)
                    for name in options.encoder
                },
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
