"""OHIF, as it is published, lists and opens studies: through the nginx of deploy/, in a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dicomweb_library import LOSSLESS, index_folder, uids, written
from free_ports import free_port
from nginx_site import NAME, nginx, site_values
from ohif_app import APP
from page_tools import NEEDED, walk
from served_library import serving

from api.app import create_app
from api.rights import Role
from api.service.access import keys
from indexer.config import Settings
from indexer.library import Library
from indexer.phantoms import write_cohort

pytestmark = [
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
    *NEEDED,
    pytest.mark.skipif(not (APP / "dist").is_dir(), reason="OHIF is not there: make extras"),
]
OPENED = [
    "MR_small_bigendian.dcm",
    "JPEG2000.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
    LOSSLESS,
]


def web_server(port: int) -> str:
    """The files of OHIF, as its image shows them: each address that is none leads to its start."""
    return f"""
    include /etc/nginx/mime.types;
    server {{
        listen 127.0.0.1:{port};
        root {APP / "dist"};
        location / {{ try_files $uri $uri/ /index.html; }}
    }}"""


@pytest.mark.timeout(600)
def test_it_lists_studies_and_opens_them(tmp_path: Path) -> None:
    written(tmp_path / "files")
    (tmp_path / "files" / "picture.png").unlink()  # no DICOM file: it has no frames to be asked for
    write_cohort(tmp_path / "files" / "cohort", 6, seed=2)
    index_folder(tmp_path / "library", tmp_path / "files")
    with Library.open(tmp_path / "library") as library:
        asked = keys.KeyRequest("viewer", Role.READER)
        token = keys.create(library, asked, actor="test").token
    https, ohif = free_port(), free_port()
    site = f"https://{NAME}:{https}"
    settings = Settings(library=tmp_path / "library", public_url=site, trusted_proxies="127.0.0.1")
    with serving(settings, create_app(settings, None)) as direct:
        values = site_values(
            tmp_path,
            syntopy=direct.base_url.port or 0,
            ohif=ohif,
            HTTPS_PORT=str(https),
            PUBLIC_PORT=str(https),
            UPLOAD_MB="10",
        )
        with nginx(tmp_path, values, web_server(ohif)):
            walk(
                "e2e/beside/ohif.e2e.ts",
                site,
                SYNTOPY_KEY=token,
                OHIF_URL=f"https://{NAME}:{values['OHIF_PORT']}",
                SYNTAXES=" ".join(uids(name)[0] for name in OPENED),
            )
