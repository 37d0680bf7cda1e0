"""Load the service with more and more requests in flight, against the model's own forward pass in the same run.

    OMP_NUM_THREADS=1 python -m benchmarks.serving [--model models:/acol@champion] [--image FILE] [--seconds 4]

One client keeps so many requests in flight, each on a connection that stays open. Printed are images/s, the median and
95th percentile of the time that an answer took, the share of requests that were refused with 503, and the CPU time of
an answer in the service's process. The forward pass, in the form that answers, is timed between the loads, for one
image and for 16 at once; the four ratios are how much of its rate the service reaches, by the clock and by CPU time.
Each number is the median of the rounds. Client and service share the machine's cores: only the ratios by CPU time do
without the client. `map=false` spares the PNG. Without --image, a drawn footballer.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import torch

from acol.network.precision import autocast, choose_device
from acol.prediction.predictor import Predictor
from examples.footballers.draw import draw_footballers
from pipeline import cli
from pipeline.tracking.registry import load_predictor

LOADS = [(1, ""), (2, ""), (4, ""), (8, ""), (16, ""), (32, ""), (16, "?map=false"), (1, "?map=false")]
BATCHES = (1, 16)
TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(process: int) -> float:
    """Return the CPU seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def forward_seconds(predictor: Predictor, count: int, seconds: float) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of the forward pass for each of `count` images at once."""
    sizes = [round(scale * predictor.card.preprocessing.size) for scale in predictor.scales]
    views = [torch.rand(count, 3, size, size, device=predictor.device) for size in sizes]
    views = [view.contiguous(memory_format=torch.channels_last) for view in views]
    times: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    with torch.inference_mode(), autocast(predictor.device, predictor.card.precision):
        while time.perf_counter() < until or len(times) < 4:
            began = time.perf_counter(), time.process_time()
            for view in views:
                predictor.network(view)
            if predictor.device.type == "cuda":
                torch.cuda.synchronize()
            times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    wall, cpu = np.median(times[1:], axis=0) / count
    return float(wall), float(cpu)


def load(port: int, path: str, content: bytes, flying: int, seconds: float) -> tuple[float, list[float], float]:
    """Return answers per second, the seconds that each took, and the share of requests refused."""
    taken: list[float] = []
    refused = [0] * flying
    start = time.perf_counter()

    def ask(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while (began := time.perf_counter()) < start + seconds:
            connection.request("POST", path, content, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            if response.status == 503:
                refused[number] += 1
                time.sleep(0.1)
            elif response.status == 200:
                taken.append(time.perf_counter() - began)
            else:
                raise RuntimeError(f"status {response.status}")
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(flying)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(taken) / (time.perf_counter() - start), taken, sum(refused) / (len(taken) + sum(refused))


def started(model: str) -> tuple["subprocess.Popen[bytes]", int]:
    """Start the service; return its process and port when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "pipeline.serve", "--model", model, "--port", str(port)])
    while process.poll() is None:
        try:
            HTTPConnection("127.0.0.1", port).request("GET", "/health")
            break
        except ConnectionError:
            time.sleep(0.2)
    return process, port


def row(
    predictor: Predictor, process: int, port: int, content: bytes, asked: tuple[int, str], seconds: float
) -> list[float]:
    """Measure one round of a load, beside the forward pass."""
    flying, query = asked
    alone = [forward_seconds(predictor, count, seconds / 4) for count in BATCHES]
    before = cpu_of(process)
    per_s, taken, refused = load(port, f"/predict{query}", content, flying, seconds)
    cpu = (cpu_of(process) - before) / len(taken)
    half, most = (1e3 * float(np.percentile(taken, share)) for share in (50, 95))
    ratios = [per_s * wall for wall, _ in alone] + [forward / cpu for _, forward in alone]
    return [per_s, half, most, 100 * refused, 1e3 * cpu, *(1e3 * forward for _, forward in alone), *ratios]


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Load the service.")
    parser.add_argument("--model", default="models:/acol@champion")
    parser.add_argument("--image", type=Path, help="default: a drawn one")
    parser.add_argument("--seconds", type=float, default=4, help="of each load in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.image:
        content = arguments.image.read_bytes()
    else:
        with tempfile.TemporaryDirectory() as folder:
            draw_footballers(Path(folder), per_class=1, size=256, seed=0)
            content = next(Path(folder).glob("images/*/*")).read_bytes()
    device = choose_device()
    predictor = load_predictor(arguments.model, Path.cwd(), device.type)
    card, threads = predictor.card, torch.get_num_threads()
    print(
        f"{device.type}, {threads} threads, {card.backbone}, {card.precision}, {card.preprocessing.size} px", end=", "
    )
    print(f"{len(content)} bytes")
    process, port = started(arguments.model)
    try:
        load(port, "/predict", content, 4, 1)  # warms up
        print("| In flight | Images/s | Median ms | 95 % ms | Refused, % | CPU ms | Forward's, 1 | 16 ", end="")
        print("| Of its rate, 1 | 16 | By CPU time, 1 | 16 |\n| --: | " + "--: | " * 11)
        rounds = [
            [row(predictor, process.pid, port, content, asked, arguments.seconds) for asked in LOADS]
            for _ in range(arguments.rounds)
        ]
        for (flying, query), numbers in zip(LOADS, np.median(rounds, axis=0), strict=True):
            print(f"| {flying}{query} | " + " | ".join(f"{number:.3g}" for number in numbers) + " |")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
