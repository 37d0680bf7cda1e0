"""docs/evidence.md: the verdicts and numbers, written from the result files; the rest of the page is kept as it is."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.special import ndtri  # the inverse of the normal distribution

from acol.metrics.comparison import Difference, times_needed
from benchmarks.evidence.claims import WORDS, Number
from pipeline.report.metrics import about
from pipeline.report.templates import markdown_table

PAGE = Path("docs/evidence.md")
Contents = Mapping[str, Mapping[str, Any]]  # of each experiment's JSON file, by the experiment's name

MARK = re.compile(r"(<!-- (\w+): written by the command -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str, found: Contents) -> str:
    """Return the page `text` with each part between its marks written anew from the results `found`."""
    if not found:
        return text
    parts = {"verdicts": _verdicts, "numbers": _numbers, "scores": _scores, "runs": _runs}
    return MARK.sub(lambda match: f"{match[1]}{parts[match[2]](found)}{match[3]}", text)


def _verdicts(found: Contents) -> str:
    """A row a claim, a column an experiment."""
    texts = {claim["key"]: claim["text"] for content in found.values() for claim in content["claims"]}
    rows = []
    for key, text in texts.items():
        of_claim = [_verdict(content["claims"], key) for content in found.values()]
        rows.append([f"({key}) {text}", *of_claim])
    return _table(["Claim", *found], rows)


def _verdict(claims: Sequence[Mapping[str, Any]], key: str) -> str:
    return next((f"**{WORDS[claim['verdict']]}**" for claim in claims if claim["key"] == key), "-")


def _numbers(found: Contents) -> str:
    """The numbers that decided each claim, a row a number."""
    texts = {claim["key"]: claim["text"] for content in found.values() for claim in content["claims"]}
    parts = []
    for key in texts:
        by_name: dict[str, dict[str, str]] = {}
        for experiment, content in found.items():
            for claim in content["claims"]:
                for number in claim["numbers"] if claim["key"] == key else []:
                    by_name.setdefault(number["name"], {})[experiment] = _number(number) + _needed(claim, number)
        rows = [[name, *(of.get(experiment, "-") for experiment in found)] for name, of in by_name.items()]
        parts.append(f"**({key})**\n\n{_table(['Number', *found], rows)}")
    return "\n".join(parts)


def _number(content: Mapping[str, Any]) -> str:
    number = Number(**content)
    return f"**{number.text()}**" if number.above or number.below else number.text()


def _needed(claim: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """How many times as much data an open claim's difference would need to be significant at its present size."""
    number = Number(**content)
    if claim["verdict"] != "open" or number.p is None or number.above or number.below or number.value == 0:
        return ""
    error = (number.high - number.low) / (2 * ndtri(0.975))
    found = Difference(number.value, number.low, number.high, number.p, real=False, error=error)
    return f", {times_needed(found):.0f} x"


def _scores(found: Contents) -> str:
    """The mean scores of each head, a table an experiment."""
    parts = []
    for experiment, content in found.items():
        metrics = list(next(iter(content["heads"].values()))["scores"])
        rows = []
        for head, its in content["heads"].items():
            means = [sum(its["scores"][metric]) / len(its["scores"][metric]) for metric in metrics]
            rows.append([f"`{head}`", *(about(m).text(x) for m, x in zip(metrics, means, strict=True))])
            rows[-1].append(f"{its['seconds']:.0f}")
        for name, scores in content["baselines"].items():
            shown = [about(metric).text(scores[metric]) if metric in scores else "-" for metric in metrics]
            rows.append([f"*{name}*", *shown, "-"])
        parts.append(f"**{experiment}**\n\n{_table(['Head', *(about(m).title for m in metrics), 'Seconds'], rows)}")
    return "\n".join(parts)


def _runs(found: Contents) -> str:
    """What was run: images, seeds, hours and processor."""
    rows = []
    for experiment, content in found.items():
        images = " / ".join(str(content["images"][split]) for split in ("train", "val", "test"))
        seeds = sorted({seed for its in content["heads"].values() for seed in its["seeds"]})
        rows.append(
            [
                experiment,
                images,
                ", ".join(map(str, seeds)),
                f"{content['training_hours']:.1f}",
                f"{content['processor']}; torch {content['torch']}",
            ]
        )
    return _table(["Experiment", "Images to train, validate, test", "Seeds", "Hours of training", "Machine"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"\n{markdown_table(header, rows)}\n"
