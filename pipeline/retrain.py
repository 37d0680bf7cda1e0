"""retrain: rebuilds what changed, compares it with another state of the project, and runs the gate on the best cell.

    python -m pipeline.retrain [--base REF] [--no-push] [--no-gate]

is the one command of continuous integration. Each step runs only if the steps before it succeeded:

    dvc pull            fetch outputs and run cache. Without a remote there is no pull and no push. With --no-push it
                        may fail, for example without the keys of a private remote
    pipeline.repro      rebuild what changed, unless the remote already has it, and log the runs in MLflow
    dvc push            store outputs and run cache, so that nobody computes them again
    pipeline.gate       promote the best cell, or keep the champion. In the latter case the exit status is 3
    report/comment.md   for a pull request: the gate's decision, the tables, a chart, and how metrics changed since REF
"""

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from acol.errors import InputError
from acol.files import atomic_write
from pipeline import cli
from pipeline.gate import KEPT, OUTCOME
from pipeline.params import load_params
from pipeline.places import read_json
from pipeline.report.metrics import about

COMMENT, TABLE, SUMMARY = Path("report/comment.md"), Path("report/table.md"), Path("report/summary.json")
LONGEST = 65_000  # characters: GitHub takes 65,536 for a comment
NO_REMOTE = "The DVC remote could not be read, so all of this was computed again."


def run_module(*command: str, allowed: Collection[int] = (0,)) -> int:
    """Run a module of this environment, show its output, and return its exit status.

    If the status is not in `allowed`, this command ends with it. An empty `allowed` allows each status.
    """
    print("> python -m", *command, flush=True)
    status = subprocess.run([sys.executable, "-m", *command], check=False).returncode
    if allowed and status not in allowed:
        sys.exit(status if status > 0 else 128 - status)
    return status


def comment(best_by: Sequence[str], base: str | None, decision: str | None, note: str | None = None) -> str:
    """Return the comparison as Markdown for a pull request."""
    parts = [] if decision is None else [f"**Gate:** {decision}"]
    parts += [] if note is None else [note]
    parts.append(TABLE.read_text(encoding="utf-8").strip())
    parts += chart(read_json(SUMMARY), best_by)
    if base is not None:
        command = ["dvc", "metrics", "diff", base, "--md", "--targets", str(SUMMARY)]
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InputError(f"{' '.join(command)}: {reason}")
        changes = done.stdout.strip()
        changed = changes.count("\n") > 1  # more lines than the two of a table's head
        parts.append(f"## Changes since `{base}`\n\n{changes if changed else 'No metric changed.'}")
    return shorten(parts)


def shorten(parts: Sequence[str]) -> str:
    """Return the parts as one text. If it is too long, cut the last parts, and then the last lines of the first one."""
    whole = "\n\n".join(parts) + "\n"
    if len(whole) <= LONGEST:
        return whole
    if len(parts) > 1:
        return shorten(parts[:-1])
    return whole[: whole.rindex("\n", 0, LONGEST)] + f"\n\nThe rest is in {TABLE}.\n"


def chart(summary: Mapping[str, Mapping[str, float]], best_by: Sequence[str]) -> list[str]:
    """Return a bar chart of the metric that decides, in Mermaid, which GitHub draws. Empty if no cell has a metric."""
    for metric in best_by:
        values = {cell: 100 * scores[metric] for cell, scores in summary.items() if metric in scores}
        if values:
            cells = ", ".join(json.dumps(cell) for cell in values)
            bars = ", ".join(f"{value:.1f}" for value in values.values())
            lines = ["```mermaid", "xychart-beta", f'  title "{about(metric).title}, percent"', f"  x-axis [{cells}]"]
            return ["\n".join([*lines, "  y-axis 0 --> 100", f"  bar [{bars}]", "```"])]
    return []


@cli.main
def main() -> None:
    """Retrain."""
    parser = cli.parser("pipeline.retrain", "Rebuild what changed, compare it, and run the gate on the best cell.")
    parser.add_argument("--base", help="a revision to compare the metrics with, such as origin/main")
    parser.add_argument("--no-push", action="store_true", help="do not push to the DVC remote")
    parser.add_argument("--no-gate", action="store_true", help="do not register or promote a model")
    arguments = parser.parse_args()
    params, push = load_params(), not arguments.no_push
    config = subprocess.run([sys.executable, "-m", "dvc", "config", "core.remote"], capture_output=True, check=False)
    remote, note = config.returncode == 0, None
    if remote and run_module("dvc", "pull", "--run-cache", "--allow-missing", allowed=(0,) if push else ()):
        note, remote = NO_REMOTE, False
        print(f"warning: {note}", file=sys.stderr, flush=True)
    run_module("pipeline.repro", *(["--pull"] if remote else []))
    if remote and push:
        run_module("dvc", "push", "--run-cache")
    status, decision = 0, None
    if not arguments.no_gate:
        status = run_module("pipeline.gate", allowed=(0, KEPT))
        outcome = read_json(OUTCOME)
        decision = f"{outcome['decision']}: {outcome['cell']}: {outcome['reason']}"
    text = comment(params.compare.best_by, arguments.base, decision, note)
    with atomic_write(COMMENT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    sys.exit(status)


if __name__ == "__main__":
    main()
