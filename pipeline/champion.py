"""champion: lists the versions of the registered model, and takes a champion back.

    acol champion                        each version: its cell, its score, and what became of it
    acol champion --back "sees no rain"  the previous champion becomes the champion again

The version that was taken back gets the reason as its tag `taken_back`. While it has the tag, the gate does not promote
that model again. The alias moves last, in one atomic call. So the command can be repeated if it was killed.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from acol.errors import InputError
from pipeline import cli
from pipeline.params import load_params
from pipeline.report.metrics import about
from pipeline.tracking.registry import CHAMPION, SCHEME, TAKEN_BACK_TAG, champion_version, decision_on, is_lost
from pipeline.tracking.store import failures, open_existing, store_lock, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient


def version_lines(client: "MlflowClient", name: str) -> list[str]:
    """Return a line for each version of a registered model, the oldest first."""
    current = champion_version(client, name)
    lines = []
    for version in sorted(client.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version)):
        decision, score = decision_on(version), "no score"
        if decision.get("value") is not None:
            metric = about(decision["metric"])
            score = f"{metric.title} {metric.with_unit(decision['value'])}"
        state = str(decision.get("decision", "not decided"))
        if back := version.tags.get(TAKEN_BACK_TAG):
            state = "taken back: {why} ({at})".format(**json.loads(back))
        if current is not None and int(version.version) == int(current.version):
            state = f"champion; {state}"
        lines.append(f"{version.version}  {decision.get('cell', version.run_id)}  {score}  {state}")
    return lines


def take_back(root: Path, name: str, why: str) -> str:
    """Make the previous champion the champion again; return in a line what happened.

    Raises `InputError` if there was none, and `StoreError` if MLflow cannot be reached.
    """
    client = open_existing(root)
    with failures(store_uri(root)), store_lock(root):
        current = champion_version(client, name)
        if current is None:
            raise InputError(f"{name}: has no champion; run `acol gate` first")
        # Each decision names the champion that it replaced. Skip those that were taken back too, and see none twice:
        # the gate may have decided again on an old version.
        others = {int(each.version): each for each in client.search_model_versions(f"name = '{name}'")}
        del others[int(current.version)]
        number = decision_on(current).get("against")
        while number in others and TAKEN_BACK_TAG in others[number].tags:
            number = decision_on(others.pop(number)).get("against")
        if number not in others:
            raise InputError(f"{name}: version {current.version} has no champion before it; train a better model")
        if is_lost(f"{SCHEME}{name}/{number}"):
            raise InputError(f"{name}: the files of version {number}, the champion before, are gone; nothing changed")
        reason = {"why": why, "at": f"{datetime.now():%Y-%m-%d %H:%M}", "champion": number}
        client.set_model_version_tag(name, current.version, TAKEN_BACK_TAG, json.dumps(reason))
        client.set_registered_model_alias(name, CHAMPION, str(number))
    return f"version {number} of {name} is the champion again; version {current.version} was taken back: {why}"


@cli.main
def main() -> None:
    """List the versions, or take the champion back."""
    parser = cli.parser("pipeline.champion", "List the versions, or take the champion back.")
    parser.add_argument("--back", metavar="WHY", help="take the champion back, for this reason")
    why, root, name = parser.parse_args().back, Path.cwd(), load_params().gate.model
    if why is not None and not why.strip():
        raise InputError("--back: say why, for who reads the registry later")
    if why is not None:
        print(take_back(root, name, " ".join(why.split())))
        return
    client = open_existing(root)
    with failures(store_uri(root)):
        lines = version_lines(client, name)
    print("\n".join(lines) if lines else f"{name}: no version yet; run `acol gate`")


if __name__ == "__main__":
    main()
