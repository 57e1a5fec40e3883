"""From the examples of a request to one query a space: which spaces can take them, and the mix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from indexer.errors import ConfigError, QueryError
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ReadOptions
from indexer.registry import make_encoder
from indexer.searching.asking import ALL, Example, Rocchio, SearchRequest
from indexer.searching.examples import KnownExample, Ready, Subject, View
from indexer.searching.mixing import centre, rocchio, said
from indexer.searching.slices import SliceSet
from indexer.types import Embeddings


@dataclass(frozen=True)
class Query:
    """What one space is asked.

    Attributes:
        space: which.
        vectors: unit vectors ``(n, dim)``; an item counts by the best of them. Of a mix it is one.
        pictures: single pictures of the query, of volumes the slices; owned by the vectors.
        series: SeriesInstanceUID of each vector, "" of words and of a mix.
        how: how the examples reached the space.
        mix: how they were mixed, in a sentence; "" of one alone.
        notes: plain sentences.
        subjects: who the examples are, also those that the space cannot take.
    """

    space: SpaceInfo
    vectors: Embeddings
    pictures: SliceSet
    series: tuple[str, ...]
    how: str
    mix: str
    notes: tuple[str, ...]
    subjects: tuple[Subject, ...]

    @property
    def studies(self) -> frozenset[str]:
        """StudyInstanceUIDs of the examples."""
        return frozenset(s.study for s in self.subjects if s.study)

    @property
    def patients(self) -> frozenset[str]:
        """Pseudonyms of their patients, where these stand for one person."""
        return frozenset(s.patient for s in self.subjects if s.patient and s.patient_known)

    @property
    def pixel_hashes(self) -> frozenset[str]:
        """Of all their items."""
        return frozenset(h for s in self.subjects for h in s.pixel_hashes)


@dataclass(frozen=True)
class Asked:
    """All that is to be searched with.

    Attributes:
        subjects: who the examples are, in the order of the request.
        queries: one for each space that is searched; none where words are all there is, and no
            space takes them.
        refusals: why spaces take none of the examples, in sentences.
        notes: plain sentences.
    """

    subjects: tuple[Subject, ...]
    queries: tuple[Query, ...]
    refusals: tuple[str, ...]
    notes: tuple[str, ...]


Known = dict[tuple[str, str, str], SpaceInfo]
"""Spaces by encoder, weights and preparation. They are never deleted, so they may be remembered."""


def make_asked(
    library: Library, db: Connection, request: SearchRequest, options: ReadOptions, known: Known
) -> Asked:
    """Look up and read the examples, and see which spaces can take them.

    Args:
        library: to be searched.
        db: a view of its catalog.
        request: what is asked.
        options: how files are read.
        known: spaces that were met before; those that are new are added.

    Raises:
        QueryError: no space can take an example, or the library is empty.
        ConfigError: there is no such space.
        ItemNotFoundError, FileRejectedError: of an example.
    """
    spaces = spaces_for(library, request.encoders, options, known)
    ready = [_ready(library, db, example, spaces, options) for example in request.examples]
    subjects = tuple(one.subject for one in ready)
    notes = [note for subject in subjects for note in subject.notes]
    chosen, refusals = _chosen(spaces, ready, every=bool(request.encoders))
    by_words = {e for e in request.examples if e.weight > 0 and (e.text or e.report)}
    if request.keywords is not None:
        by_words = set()
    queries = []
    for space, views in chosen:
        left_out = _left_out(ready, views)
        queries.append(
            _query(space, list(zip(ready, views, strict=True)), request.mix, left_out, subjects)
        )
    for number, one in enumerate(ready):
        taken = any(isinstance(views[number], View) for _, views in chosen)
        if not taken and one.example not in by_words:
            raise QueryError(_cannot(one, spaces))
    if chosen:
        notes += [refusal for refusal in refusals if request.encoders]
    return Asked(subjects, tuple(queries), tuple(refusals), tuple(notes))


def spaces_for(
    library: Library, encoders: Sequence[str], options: ReadOptions, known: Known
) -> list[SpaceInfo]:
    """The spaces to try: those named, else all in the order of the library's encoders.

    Raises:
        ConfigError: the library has no such space.
        QueryError: it holds no items yet.
    """
    own = library.config.encoders
    names = own if not encoders or ALL in encoders else tuple(dict.fromkeys(encoders))
    for name in names:
        if name not in own:
            raise ConfigError(f"the library has no space of '{name}'; it has {', '.join(own)}")
    specs = [make_encoder(options.context(name)).spec for name in names]
    keys = [(spec.name, spec.weights, spec.preprocessing) for spec in specs]
    if any(key not in known for key in keys):
        known |= {(s.encoder, s.weights, s.preprocessing): s for s in library.spaces()}
    found = [known[key] for key in keys if key in known]
    if not found:
        raise QueryError(f"{library.path} holds no items yet; index something first")
    return found


def _ready(
    library: Library,
    db: Connection,
    example: Example,
    spaces: Sequence[SpaceInfo],
    options: ReadOptions,
) -> Ready:
    if example.uid:
        return KnownExample(library, db, example, options)
    if example.file is not None:
        # Decoders, which a UID does not need.
        from indexer.searching.examples_read import ReadExample  # noqa: PLC0415

        return ReadExample(library, example, spaces, options)
    from indexer.searching.examples_words import WordsExample  # noqa: PLC0415 - bridges, as above

    return WordsExample(library, example, options)


Chosen = list[tuple[SpaceInfo, list[View | str]]]


def _chosen(
    spaces: Sequence[SpaceInfo], ready: Sequence[Ready], *, every: bool
) -> tuple[Chosen, list[str]]:
    """Spaces with what each sees of the examples; and why others see none that is liked.

    Args:
        spaces: to try, in this order.
        ready: the examples.
        every: take all that can take one that is liked; else only the first that can take all, or
            most.
    """
    if not ready:
        return [], []
    able: Chosen = []
    refusals: dict[str, None] = {}
    for space in spaces:
        views = [one.view(space) for one in ready]
        if _liked(ready, views):
            able.append((space, views))
            if not every and all(isinstance(view, View) for view in views):
                return [able[-1]], list(refusals)
        else:
            refusals |= dict.fromkeys(view for view in views if isinstance(view, str))
    if able and not every:
        able = [max(able, key=lambda pair: sum(isinstance(v, View) for v in pair[1]))]
    return able, list(refusals)


def _liked(ready: Sequence[Ready], views: Sequence[View | str]) -> bool:
    pairs = zip(ready, views, strict=True)
    return any(one.example.weight > 0 and isinstance(view, View) for one, view in pairs)


def _left_out(ready: Sequence[Ready], views: Sequence[View | str]) -> Iterator[str]:
    for one, view in zip(ready, views, strict=True):
        if isinstance(view, str):
            yield f"{view}: '{one.example.name}' does not count there"


def _cannot(one: Ready, spaces: Sequence[SpaceInfo]) -> str:
    """Why no space takes an example."""
    reasons = dict.fromkeys(view for view in map(one.view, spaces) if isinstance(view, str))
    if one.example.file is not None and one.example.region is None:
        names = ", ".join(space.encoder for space in spaces)
        return f"{one.example.name}: no encoder can take it ({names}); {'; '.join(reasons)}"
    return "; ".join(reasons)


def _query(
    space: SpaceInfo,
    pairs: Sequence[tuple[Ready, View | str]],
    mix: Rocchio,
    left_out: Iterable[str],
    subjects: tuple[Subject, ...],
) -> Query:
    taken = [(one.example.weight, view) for one, view in pairs if isinstance(view, View)]
    notes = (*dict.fromkeys(view.note for _, view in taken if view.note), *left_out)
    if len(taken) == 1:
        ((_, only),) = taken
        return Query(space, only.rows, only.pictures, only.series, only.how, "", notes, subjects)
    weights = [weight for weight, _ in taken]
    shares = {"alpha": mix.alpha, "beta": mix.beta, "gamma": mix.gamma}
    row = rocchio([centre(view.rows) for _, view in taken], weights, **shares)[None]
    how = " + ".join(dict.fromkeys(view.how for _, view in taken))
    pictures = SliceSet.whole(row)
    return Query(space, row, pictures, ("",), how, said(weights, **shares), notes, subjects)
