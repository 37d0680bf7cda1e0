"""Load the service with more and more clients, against the model's own forward time in the same run.

    python -m benchmarks.serving [--model models:/acol@champion] [--image FILE] [--seconds 10]

First, here, medians of one image's time: the forward passes alone (all sizes over which maps are averaged), and all
of a prediction (decoding, map at the image's size, box, PNG). Then the service is started, and so many clients ask
without pause, each on its own connection: images/s, what that is of the forward pass's own images/s, the median and
95th percentile of the time that an answer took, and the share of requests that were refused with 503. Clients and
service share the machine's cores. Without --image, a drawn footballer.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import torch

from acol.network.precision import autocast, choose_device
from examples.footballers.draw import draw_footballers
from pipeline import cli
from pipeline.serve import answer
from pipeline.tracking.registry import load_predictor

CLIENTS = (1, 2, 4, 8, 16, 32)


def median_seconds(work: Callable[[], object], times: int = 30) -> float:
    """Return the median time of `work`, in seconds."""
    taken = []
    for _ in range(times + 3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[3:])  # the first ones warm up


def load(url: str, content: bytes, clients: int, seconds: float) -> tuple[float, list[float], float]:
    """Return answers per second, the seconds that each took, and the share of requests refused."""
    taken: list[float] = []
    refused = [0] * clients
    until = time.perf_counter() + seconds

    def ask(number: int) -> None:
        with httpx.Client(timeout=60) as client:
            while (started := time.perf_counter()) < until:
                response = client.post(url, content=content, headers={"Content-Type": "image/*"})
                if response.status_code == 503:
                    refused[number] += 1
                    time.sleep(0.1)
                else:
                    response.raise_for_status()
                    taken.append(time.perf_counter() - started)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(taken) / seconds, taken, sum(refused) / (len(taken) + sum(refused))


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Load the service.")
    parser.add_argument("--model", default="models:/acol@champion")
    parser.add_argument("--image", type=Path, help="default: a drawn one")
    parser.add_argument("--seconds", type=float, default=10, help="of each load (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.image:
        content = arguments.image.read_bytes()
    else:
        with tempfile.TemporaryDirectory() as folder:
            draw_footballers(Path(folder), per_class=1, size=256, seed=0)
            content = next(Path(folder).glob("images/*/*")).read_bytes()
    device = choose_device()
    predictor = load_predictor(arguments.model, Path.cwd(), device.type)
    sizes = [round(scale * predictor.card.preprocessing.size) for scale in predictor.scales]
    views = [torch.rand(1, 3, size, size, device=device) for size in sizes]

    @torch.inference_mode()
    def forward() -> None:
        with autocast(device, predictor.card.precision):
            for view in views:
                predictor.network(view)  # the form that answers
        if device.type == "cuda":
            torch.cuda.synchronize()

    alone, whole = median_seconds(forward), median_seconds(lambda: answer(predictor, content))
    card = predictor.card
    print(f"{device.type}, {card.backbone}, {card.precision}, {sizes} px, {len(content)} bytes", end=": ")
    print(f"forward {1e3 * alone:.1f} ms, whole prediction {1e3 * whole:.1f} ms")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipeline.serve", "--model", arguments.model, "--port", str(port)]
    service = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{port}"
        while service.poll() is None:
            try:
                httpx.get(f"{url}/health")
                break
            except httpx.ConnectError:
                time.sleep(0.2)
        load(f"{url}/predict", content, 1, 1)  # warms up
        print("| Clients | Images/s | Of the forward pass's | Median ms | 95 % ms | Refused |")
        print("| --: | --: | --: | --: | --: | --: |")
        for clients in CLIENTS:
            per_s, taken, refused = load(f"{url}/predict", content, clients, arguments.seconds)
            half, most = (1e3 * np.percentile(taken, share) for share in (50, 95))
            print(
                f"| {clients} | {per_s:.1f} | {per_s * alone:.2f} | {half:.0f} | {most:.0f} | {refused:.0%} |",
                flush=True,
            )
    finally:
        service.terminate()
        service.wait()


if __name__ == "__main__":
    main()
