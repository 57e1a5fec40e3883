"""A drift report as one HTML page: styles and picture inside, nothing fetched from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from api.service.drifting.answers import DriftAnswer, PartAnswer, WindowAnswer

_STYLE = """
:root{--ground:#101318;--panel:#161a21;--line:#2c333d;--ink:#e8ecf0;--soft:#96a0ac;--faint:#7d8793;
--accent:#5cc8ff;--warn:#ffbe5c}
*{box-sizing:border-box}
html{background:var(--ground);color:var(--ink);color-scheme:dark;-webkit-text-size-adjust:100%;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
body{margin:0 auto;max-width:1280px;padding:40px 32px 64px}
.kind{margin:0 0 10px;color:var(--soft);font-size:13px;letter-spacing:.04em}
.state{display:inline-block;margin-right:10px;padding:1px 9px;border-radius:10px;font-weight:600;
color:var(--ground);background:var(--accent)}
.changed .state{background:var(--warn)}
h1{margin:0 0 22px;max-width:62ch;font-size:25px;line-height:1.32;font-weight:600;text-wrap:pretty}
h2{margin:40px 0 12px;font-size:17px;font-weight:600}
dl{display:flex;flex-wrap:wrap;gap:12px 36px;margin:0 0 24px}
dt{color:var(--faint);font-size:12.5px}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto;border-radius:10px;background:var(--panel)}
.wide img{display:block;width:100%;min-width:940px;height:auto}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums;white-space:nowrap}
th{color:var(--faint);font-size:12.5px;font-weight:500}
th,td{padding:7px 14px;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
tr:last-child td{border-bottom:0}
.soft{color:var(--soft)}.warn{color:var(--warn)}
ul{margin:0;padding:0 0 0 18px;max-width:96ch}li{margin:5px 0;overflow-wrap:anywhere}
li::marker{color:var(--faint)}
details{max-width:104ch;border-bottom:1px solid var(--line)}
summary{padding:8px 2px;cursor:pointer}summary:hover{color:var(--accent)}
summary:focus-visible{outline:2px solid var(--accent);border-radius:4px}
details ul{padding-bottom:14px}h3{margin:10px 0 4px;font-size:14px;color:var(--soft)}
footer{margin-top:44px;color:var(--faint);font-size:13px;max-width:96ch}
@media(max-width:640px){body{padding:22px 16px 40px}h1{font-size:20px}
th,td{padding:7px 10px}dl{gap:10px 24px}}
"""
_CLOSING = (
    "For research; not a medical device. A change of what arrives is not a fault: it says that "
    "figures measured on the reference may not hold any more."
)
_WINDOWS = ("window", "studies", "patients", "flagged", "95 % interval", "tests")


def page(answer: DriftAnswer, picture: bytes) -> str:
    """The whole page.

    Args:
        answer: of the report.
        picture: its chart as PNG.
    """
    state = "changed" if answer.changed else "unchanged"
    embedded = base64.b64encode(picture).decode()
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Drift against {escape(answer.reference)}</title><style>{_STYLE}</style>",
            f'</head>\n<body class="{state}">\n',
            f'<p class="kind"><span class="state">{state}</span>drift against a reference</p>\n',
            f"<h1>{escape(answer.headline)}</h1>\n",
            _facts(answer),
            f'<div class="wide" tabindex="0"><img alt="{escape(_alt(answer), quote=True)}" ',
            f'src="data:image/png;base64,{embedded}"></div>\n',
            _windows("Windows", [(each.name, each.whole) for each in answer.windows]),
            *_groups(answer),
            _watches(answer),
            f"<h2>How to read this</h2>\n{_list((*answer.sentences, *answer.notes))}",
            "<h2>Every test</h2>\n",
            *(_tests(each) for each in reversed(answer.windows)),
            f"<footer>{_CLOSING}</footer>\n",
            "</body></html>\n",
        )
    )


def _facts(answer: DriftAnswer) -> str:
    facts = {
        "reference": answer.reference,
        "held-out patients": f"{answer.held_out:,}",
        "patients that arrived": f"{answer.patients:,}",
        "windows": f"{len(answer.windows):,}",
        "grouped by": answer.by,
        "only": answer.filter,
        "flags at": f"{answer.alarm:g}",
        "embeddings": answer.encoder,
    }
    shown = (
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
        if value
    )
    return f"<dl>{''.join(shown)}</dl>\n"


def _alt(answer: DriftAnswer) -> str:
    names = ", ".join(answer.detectors)
    return f"Mean score, moving average and share flagged of {names} over the windows."


def _windows(title: str, parts: Iterable[tuple[str, PartAnswer]]) -> str:
    return f"<h2>{escape(title)}</h2>\n" + _table(
        _WINDOWS, [(escape(name), *_cells(part)) for name, part in parts]
    )


def _groups(answer: DriftAnswer) -> Iterator[str]:
    """A table of windows for each group."""
    for at, part in enumerate(answer.windows[0].groups if answer.windows else ()):
        own = [(each.name, each.groups[at]) for each in answer.windows]
        yield _windows(f"{answer.by}: {part.group}", own)


def _cells(part: PartAnswer) -> tuple[str, ...]:
    if part.flagged is None or part.low is None or part.high is None:
        return "0", "0", "", "", '<span class="soft">nothing came</span>'
    tests = {
        None: '<span class="soft">too few</span>',
        False: '<span class="soft">as the reference</span>',
        True: '<span class="warn">differs</span>',
    }
    return (
        f"{part.studies:,}",
        f"{part.patients:,}",
        f"{part.flagged:.1%}",
        f'<span class="soft">{part.low:.1%} to {part.high:.1%}</span>',
        tests[part.differs],
    )


def _watches(answer: DriftAnswer) -> str:
    columns = ("watched", "detector", "average", "limits", "began about", "first alarm")
    rows = []
    for each in answer.watches:
        last = each.steps[-1]
        names = ["", ""]
        if each.since is not None and each.first is not None:
            names = [answer.windows[each.since].name, answer.windows[each.first].name]
        marked = "warn" if each.lasting else "soft"
        rows.append(
            (
                escape(each.group or "all"),
                escape(each.detector),
                f'<span class="{marked}">{last.level:+.2f}</span>',
                f'<span class="soft">±{last.limit:.2f}</span>',
                *(escape(name) for name in names),
            )
        )
    return f"<h2>Sustained change, by the last window</h2>\n{_table(columns, rows)}"


def _tests(window: WindowAnswer) -> str:
    parts = "".join(
        f"<h3>{escape(part.group)}</h3>{_list(part.sentences)}"
        if part.group
        else _list(part.sentences)
        for part in (window.whole, *window.groups)
    )
    return f"<details><summary>{escape(window.name)}</summary>{parts}</details>\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>\n"
