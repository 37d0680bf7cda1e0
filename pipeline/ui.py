"""ui: starts the MLflow UI for this machine only, and prints the address of the page that compares the cells.

    python -m pipeline.ui [--port 5000]

If `MLFLOW_TRACKING_URI` names a server, the server already has a UI. Then only the address is printed.
"""

import os
import sys
from pathlib import Path

from pipeline import cli
from pipeline.params import load_params
from pipeline.tracking import view
from pipeline.tracking.store import open_store, without_password


@cli.main
def main() -> None:
    """Start the UI, and end when it ends."""
    parser = cli.parser("pipeline.ui", "Start the MLflow UI on this machine.")
    parser.add_argument("--port", type=int, default=5000, help="port of the UI (default: %(default)s)")
    port = parser.parse_args().port
    store = open_store(Path.cwd(), load_params().tracking.experiment)
    served = store.uri.startswith(("http://", "https://"))
    if not served:
        cli.check_address("127.0.0.1", port)
    address = without_password(store.uri).rstrip("/") if served else f"http://127.0.0.1:{port}"
    page = f"runs?workflowType=machine_learning&viewStateShareKey={view.KEY}"
    print(f"the cells: {address}/#/experiments/{store.experiment_id}/{page}", flush=True)
    if not served:
        command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        os.execv(sys.executable, [*command, "--backend-store-uri", store.uri])


if __name__ == "__main__":
    main()
