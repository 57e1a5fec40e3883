"""The Qdrant store against a real server: SYNTOPY_TEST_QDRANT_URL=qdrant://localhost:6333

Collections of other names on that server are left alone; those of the tests are deleted.
"""

from __future__ import annotations

import os
import secrets

import pytest

pytest.importorskip("qdrant_client", reason="the extra qdrant is not installed")

import test_mirror
import test_qdrant
from test_qdrant import MakeSpec

URL = os.environ.get("SYNTOPY_TEST_QDRANT_URL", "")
if not URL:
    pytest.skip("SYNTOPY_TEST_QDRANT_URL names no server", allow_module_level=True)

FIXTURES = ("catalog", "spec", "store", "filled", "described", "mirrored")
ELSEWHERE = (
    "test_a_killed_run_is_gone_on_with",
    "test_searches_leave_filters_to_a_server_that_is_current",
    "test_rankings_by_slices_and_by_parts_leave_filters_to_it_too",
)
"""What needs the folder of the local mode, or a server that tells what it heard."""
globals().update(
    {
        name: what
        for module in (test_qdrant, test_mirror)
        for name, what in vars(module).items()
        if (name.startswith("test_") and callable(what) and name not in ELSEWHERE)
        or name in FIXTURES
    }
)


@pytest.fixture(scope="module")
def make_spec() -> MakeSpec:
    base, _, options = URL.partition("?")
    return lambda: f"{base.rstrip('/')}/syntopy-test-{secrets.token_hex(6)}?{options}"
