"""Counts by which a list or a search can be narrowed."""

from __future__ import annotations

from api.rights import Role
from api.routing import router
from api.schemas.common import FilterParam
from api.schemas.facets import FacetAnswer
from api.served import Service

routes = router("catalog", Role.READER)


@routes.get("/facets")
def get_facets(served: Service, filter: FilterParam = "") -> FacetAnswer:
    """How many studies have which modality, body part, view, sex, age, year, maker, labels, words.

    Studies count of which a primary image passes the filter, each once a value. Words are those
    of reports that say something of a study and name nobody.
    """
    return FacetAnswer.model_validate(served.facets.count(filter))
