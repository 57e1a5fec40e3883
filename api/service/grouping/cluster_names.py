"""Names that people give to clusters, several at once; the name that was found stays beside."""

from __future__ import annotations

from dataclasses import dataclass

from api.service.curating.editing import Author, Expected, digest, plain
from indexer.catalog.database import reading, transaction
from indexer.groups.runs import NamedCluster, cluster_of, name_cluster, run_named
from indexer.library import Library


@dataclass(frozen=True)
class ClusterName:
    """What a cluster of a run is called.

    Attributes:
        run, cluster: which.
        name: found for it.
        given_name: by a person; "" if nobody gave one.
        called: that of the person, else the one that was found.
    """

    run: str
    cluster: int
    name: str
    given_name: str
    called: str

    @property
    def tag(self) -> str:
        """Changes with the name that a person gave."""
        return digest([self.run, self.cluster, self.given_name])


def cluster_name(library: Library, run: str, cluster: int) -> ClusterName:
    """What a cluster is called.

    Raises:
        QueryError: there is no such clustering or cluster.
    """
    with reading(library.engine) as db:
        return _told(run, cluster_of(db, run_named(db, run), cluster))


def call_cluster(
    library: Library, run: str, cluster: int, name: str, *, expected: Expected, author: Author
) -> ClusterName:
    """Give a cluster a name; ``""`` brings back the one that was found.

    Raises:
        QueryError: there is no such clustering or cluster, or the name cannot be one.
        ChangedMeanwhileError: it was given another name.
    """
    called = plain("the name of a cluster", name, 128, empty=True)
    with transaction(library.engine) as db:
        stored = run_named(db, run)
        before = _told(run, cluster_of(db, stored, cluster))
        expected.check(f"the name of cluster {cluster}", before.tag, before)
        name_cluster(db, stored, cluster, called)
        author.sign(db, (), cluster=cluster)
        return _told(run, cluster_of(db, stored, cluster))


def _told(run: str, found: NamedCluster) -> ClusterName:
    return ClusterName(run, found.cluster, found.name, found.given_name, found.called)
