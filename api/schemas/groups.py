"""Clusterings, maps and reference sets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.schemas.common import Asked, Told
from clustering.quality import Confidence, Silhouette
from ood.calibrate import Interval
from ood.picture_checks import Finding
from ood.reference import Verdict


class Run(Told):
    """A clustering as it was stored."""

    name: str
    encoder: str
    method: str
    parameters: dict[str, object]
    seed: int
    filter: str
    items: int
    left: int = Field(description="Items that are there still.")
    clusters: int
    noise: int
    notes: list[str]
    version: str
    seconds: float
    created_at: str


class Cluster(Told):
    """A cluster; -1 is noise."""

    cluster: int
    size: int
    name: str
    given_name: str
    called: str
    about: dict[str, object]


class RunDetails(Told):
    """A clustering with its clusters, and how good it is."""

    run: Run
    clusters: list[Cluster]
    n_clusters: int
    acc: float | None
    nmi: float | None
    ari: float | None
    silhouette: Silhouette | None
    confidence: Confidence | None
    notes: list[str]


class Method(Told):
    """A way to cluster."""

    name: str = Field(examples=["hdbscan"])
    about: str
    options: dict[str, Any] = Field(description="JSON Schema of each of its parameters.")


class ClusterMatch(Told):
    """How much two clusters have in common."""

    first: int | None
    second: int | None
    shared: int = Field(description="Items in both.")
    jaccard: float = Field(description="These, as a share of the items in either.")


class ComparedClusters(Told):
    """A cluster of one clustering, and the cluster of the other that it became."""

    first: str | None = Field(description="Number and name; null without a counterpart.")
    second: str | None
    match: ClusterMatch


class ComparedRuns(Told):
    """Two clusterings over the items that both have."""

    first: str
    second: str
    items: int = Field(description="In both.")
    only_first: int
    only_second: int
    ari: float = Field(description="Noise counts as a group.")
    nmi: float
    moved: int = Field(description="Items that are in no cluster that matches theirs.")
    clusters: list[ComparedClusters]
    confusion: list[tuple[int, int, int]] = Field(
        description="Cluster of the first, cluster of the second, items in both; no zeros."
    )


class Map(Told):
    """A version of the map of a space."""

    encoder: str
    version: int
    filter: str
    parameters: dict[str, object]
    report: dict[str, object]
    points: int
    fitted: int
    created_at: str


class MapItems(Told):
    """Public ids of items on a map, in the order of its points or of what was asked."""

    map: Map
    tag: str = Field(description="ETag of the points that these belong to.")
    items: list[str]


class MapItemsAsked(Asked):
    """Positions among the points of a map, from zero."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"at": [0, 17]}]})

    at: list[Annotated[int, Field(ge=0, le=1 << 31)]] = Field(max_length=5_000)


class MapPlace(Told):
    """Where among the points of a map an item is."""

    map: Map
    tag: str = Field(description="ETag of the points that it belongs to.")
    at: int | None = Field(description="From zero; null where it is not on the map.")


class MapLegendValue(Told):
    """A value of points."""

    value: str = Field(examples=["CR"])
    name: str = Field(description="What it is called: a cluster has a name.")
    points: int = Field(description="That have it.")


class MapLegend(Told):
    """What the values of the points of a map stand for."""

    map: Map
    by: str
    kind: Literal["category", "number"] = Field(
        description="category: uint16 a point, 0 where nothing is known, n for the nth of values, "
        "one more than there are for any other. number: float32 a point, NaN where nothing is."
    )
    ordered: bool = Field(description="In an order of their own; else the most frequent first.")
    values: tuple[MapLegendValue, ...]
    more: int = Field(description="Values that are not listed.")
    more_points: int = Field(description="That have one of these.")
    unknown: int = Field(description="Points of which nothing is known.")
    tag: str = Field(description="ETag of the values that this belongs to.")


class MapMissing(Told):
    """How many items are not on a map."""

    map: Map
    missing: int


class Reference(Told):
    """A reference set."""

    name: str
    encoder: str
    filter: str
    alarm: float
    seed: int
    items: int
    report: dict[str, object]
    heat: dict[str, object] | None = Field(
        description="Report of its patches, by which heat is drawn; null where none were fitted."
    )
    version: str
    created_at: str


class ScoreAsked(Asked):
    """Which items of the library are to be judged, by which reference."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reference": "chest", "filter": "modality=CR"}]}
    )

    reference: str = Field(min_length=1, max_length=128)
    filter: str = Field(default="", max_length=900_000)
    alarm: float | None = Field(default=None, gt=0, lt=1, description="False-alarm rate.")
    limit: int = Field(default=100, ge=1, le=1000, description="Studies that are judged.")
    look: bool = Field(
        default=True,
        description="Also look for the reason in the pixels of what is flagged, which are read "
        "again from its files and take most of the time.",
    )


class ScoreFilesAsked(Asked):
    """By which reference the files that come are to be judged."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reference": "chest"}]})

    reference: str = Field(min_length=1, max_length=128)
    alarm: float | None = Field(default=None, gt=0, lt=1, description="False-alarm rate.")
    one_study: bool = Field(default=False, description="All files together are one study.")


class ReferenceCase(Told):
    """A case of the reference near to one that was judged."""

    item: str
    study_instance_uid: str
    distance: float


class ItemJudged(Told):
    """What a reference says of one image or volume."""

    item: str
    flagged: bool | None = Field(description="null where it cannot be judged.")
    why: str
    reason: str
    findings: list[Finding]
    stratum: str | None
    described_by: str
    p_value: float | None
    verdicts: dict[str, Verdict]
    nearest: list[ReferenceCase]


class StudyJudged(Told):
    """What a reference says of a study."""

    study_instance_uid: str
    flagged: bool | None
    p_value: float | None
    alarm: float
    alarm_interval: Interval | None
    reason: str
    items: list[ItemJudged]
    notes: list[str]
    viewer_url: str | None = Field(
        default=None, description="Where a viewer shows it; null without one."
    )


class Scores(Told):
    """Studies that were judged."""

    studies: list[StudyJudged]
    more: bool = Field(description="Whether the limit left some out.")
