"""What a run of a benchmark says, as Markdown: its table, its goals, its machine; and its place in docs/benchmarks.md.

python benchmarks/page.py        writes every recorded run into the page again
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judging import Spread, Verdict, ratios, shown, spread, values_of

RECORDS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- {0}: written by ", "<!-- end of {0} -->"  # the first goes on with the command


@dataclass(frozen=True)
class Column:
    """A figure and its heading."""

    figure: str
    heading: str
    percent: bool = False


@dataclass(frozen=True)
class Compared:
    """The last column: how many times as much (of a rate) or as fast (of seconds, `inverted`) `contender` is."""

    figure: str
    contender: str
    inverted: bool = False


def section(record: Mapping[str, Any]) -> list[str]:
    """The lines of one recorded run."""
    columns = [Column(**one) for one in record["columns"]]
    compared = Compared(**record["compared"]) if record["compared"] else None
    rounds = {one["name"]: one["rounds"] for one in record["contenders"]}
    last = f" {compared.contender} is |" if compared else ""
    lines = [
        f"| contender | used | runs | {' | '.join(one.heading for one in columns)} |{last}",
        f"|---|---|---:|{'---:|' * (len(columns) + bool(compared))}",
    ]
    for one in record["contenders"]:
        runs = sum(figures is not None for figures in one["rounds"])
        cells = [_cell(rounds, one["name"], column) for column in columns]
        notes = [text for text in (one["note"], record["stopped"].get(one["name"])) if text]
        name = one["name"] + (f" ({'; '.join(notes)})" if notes else "")
        if one["name"] in record["failures"]:
            cells[0] = f"failed: {record['failures'][one['name']]}".replace("|", "/")
        if compared:
            cells.append(_times(rounds, one["name"], compared))
        lines.append(f"| {name} | {one['way']} | {runs} | {' | '.join(cells)} |")
    if record["goals"]:
        lines += ["", "| goal | |", "|---|---|"]
        lines += [f"| {one['words']} | {_verdict(one).sentence()} |" for one in record["goals"]]
    if record["facts"]:
        lines += ["", *(f"- {fact}" for fact in record["facts"])]
    machine = record["machine"]
    known = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    peers = ", ".join(f"{name} {number}" for name, number in record["peers"].items())
    beside = f" Peers: {peers}." if peers else ""
    lines += [
        "",
        f"`{record['command']}`, {record['date']}, commit {record['commit'] or '–'}; {machine['processor']}, threads "
        f"{machine['threads']}, {machine['system']}, load before {record['load_before']}. {known}.{beside}",
    ]
    return lines


def _times(rounds: Mapping[str, Any], name: str, compared: Compared) -> str:
    """How many times as much or as fast the compared contender is; "" beside itself."""
    over, under = compared.contender, name
    if compared.inverted:
        over, under = under, over
    times = ratios(rounds, compared.figure, over, under)
    return f"{spread(times).median:.2f}x" if times and name != compared.contender else ""


def _cell(rounds: Mapping[str, Any], name: str, column: Column) -> str:
    found = values_of(rounds, name, column.figure)
    if not found:
        return "–"
    if column.percent:
        return f"{100 * spread(found).median:.2f} %"
    return shown(spread(found))


def _verdict(values: Mapping[str, Any]) -> Verdict:
    measured = values["measured"]
    return Verdict(
        words=values["words"],
        measured=None if measured is None else Spread(**measured),
        rival=values["rival"],
        bound=values["bound"],
        reached=values["reached"],
        missed_by=values["missed_by"],
    )


def with_section(text: str, record: Mapping[str, Any]) -> str:
    """The page with what stands between the marks of this run replaced. Raises ValueError without marks."""
    begin, end = BEGIN.format(record["name"]), END.format(record["name"])
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE.name} lacks the marks of {record['name']}")
    before, _, rest = text.partition(begin)
    command, _, after = rest.partition("\n")
    body = "\n".join(section(record))
    return f"{before}{begin}{command}\n\n{body}\n\n{end}{after.partition(end)[2]}"


def write_page(records: Sequence[Mapping[str, Any]]) -> None:
    """Put these runs into docs/benchmarks.md."""
    text = PAGE.read_text(encoding="utf-8")
    for record in records:
        text = with_section(text, record)
    PAGE.write_text(text, encoding="utf-8")


def recorded() -> list[dict[str, Any]]:
    """Every run of contenders that is kept in results/."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    return [record for record in found if "contenders" in record]


if __name__ == "__main__":
    write_page(recorded())
    print(f"wrote {PAGE}")
