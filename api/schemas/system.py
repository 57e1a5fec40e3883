"""The service, its library, spaces and models."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Told


class Version(Told):
    """What is running."""

    version: str = Field(description="Of Syntopy.")
    api: str = Field(description="Of the routes: the first part of their addresses.")


class State(Told):
    """How the service is."""

    status: str = Field(description="ok", examples=["ok"])


class LibraryInfo(Told):
    """A library in figures."""

    id: str
    created: str
    phi: str = Field(description="pseudonym, or keep where real patient ids are stored too.")
    store: str = Field(examples=["faiss"])
    patients: int
    studies: int
    series: int
    instances: int
    items: dict[str, int]
    modalities: dict[str, int]
    labels: dict[str, int] = Field(description="How many values each label was given.")
    reports: int
    outcomes: dict[str, int] = Field(description="What became of the files handed in.")
    rejected_by_reason: dict[str, int]
    spaces: list[dict[str, object]] = Field(description="Encoder, dim and vectors of each.")
    index: list[dict[str, object]]
    bridges: list[dict[str, object]]
    bytes: int
    storage: dict[str, int] = Field(
        description="Bytes of each part: catalog, index, inbox (originals that were sent) …"
    )
    notices: list[str]


class Space(Told):
    """A space: what made its vectors."""

    encoder: str
    dim: int
    weights: str = Field(description="Digest of the weights.")
    preprocessing: str
    notice: str
    generation: int = Field(description="Grows with every removal.")


class Model(Told):
    """An encoder, and whether it can be used here."""

    name: str
    title: str
    state: str = Field(description="ready, built in, not here, licence or unavailable.")
    licence: str
    commercial: bool
    bytes: int
    dim: int
    inputs: tuple[str, ...]
    modalities: tuple[str, ...]
    text: bool
    patches: bool
    recipes: tuple[str, ...]
