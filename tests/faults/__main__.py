import argparse

from tests.faults.kill import run

parser = argparse.ArgumentParser(description="Kill a real training at random moments.")
parser.add_argument("--rounds", type=int, default=25, help="kills (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()
tally = run(arguments.rounds, arguments.seed)
print(f"{dict(tally.kills)}; {tally.finished} trainings finished; lost: {tally.lost or 'nothing'}")
