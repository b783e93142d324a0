"""Scores what players wrote, as far as it isn't scored yet: FOLDER/results/CONDITION.json.

    python scoring.py FOLDER CONDITION[,CONDITION...] [PROCESSES]

The figures are those of the reference material's score.py, and here the delay over time, in ms, every quarter second.
Run by scripts/bench-sound with the interpreter of FOLDER.
"""

import hashlib
import json
import pickle
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder / "harness"))
import score  # noqa: E402

# Not among the figures shown here, and a quarter of the work.
score.stoi = lambda *_: 0.0
# Of these it matters how the delay goes on.
WITH_CURVE = ("step150", "spike", "stall", "spike_ends", "stall_ends", "drift", "clean_30min")
LONG = "_30min"
# Seconds after which a file is complete: until then somebody may be playing.
STILL = 5
# Reference windows whose place in the output is sure.
SURE = 0.45


def trace_of(condition):
    with (folder / "traces" / f"{condition.split('@')[0]}.pkl").open("rb") as file:
        return pickle.load(file)


def watched_delays(delays, seen):
    """The scorer's search for the delay, which is also kept; every 5 s where the trace is long."""

    def search(trace, *rest, **options):
        if trace["name"].endswith(LONG):
            options["hop"] = 5 * score.FS
        seen[:] = [delays(trace, *rest, **options)]
        return seen[0]

    return search


def remembered(pesq):
    """PESQ of two pieces that were compared before isn't worked out again: undamaged sound is the same from every player."""
    known = folder / "results" / "pesq"
    known.mkdir(parents=True, exist_ok=True)

    def compare(rate, reference, heard, mode):
        digest = hashlib.sha256(reference.tobytes() + heard.tobytes()).hexdigest()[:32]
        place = known / digest
        if not place.exists():
            place.write_text(repr(pesq(rate, reference, heard, mode)))
        return float(place.read_text() or "nan")

    return compare


score.pesq = remembered(score.pesq)
SEEN = []
score.delays = watched_delays(score.delays, SEEN)


def curve():
    """(seconds of the reference, delay in ms) for every window whose place is sure."""
    return [[round(n / score.FS, 2), round(delay * 1e3, 2)] for n, delay, sure in SEEN[0] if sure > SURE]


def figures(job):
    condition, player, start, stamp = job
    trace, place = trace_of(condition), folder / "out" / condition / player
    try:
        found = score.score(trace, place / "out.s16", place / "out.json", start)
        if condition.startswith(WITH_CURVE):
            found["curve"] = curve()
    except Exception as error:  # a player that wrote nothing has no figures
        found = {"error": repr(error)}
    return condition, player, {**found, "stamp": stamp}


def jobs(condition, known):
    """What isn't scored yet, nor being played at this moment."""
    run = json.loads((folder / "out" / condition / "run.json").read_text())
    for player, start in run["T0s"].items():
        written = folder / "out" / condition / player / "out.s16"
        stamp = written.stat().st_mtime if written.exists() else 0
        if time.time() - stamp < STILL:
            continue
        if known.get(player, {}).get("stamp") != stamp:
            yield condition, player, start, stamp


def main():
    (folder / "results").mkdir(exist_ok=True)
    path = lambda condition: folder / "results" / f"{condition}.json"
    results, todo = {}, []
    for condition in sys.argv[2].split(","):
        if (folder / "out" / condition / "run.json").exists():
            results[condition] = json.loads(path(condition).read_text()) if path(condition).exists() else {}
            todo += jobs(condition, results[condition])
    processes = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    with ProcessPoolExecutor(processes) as pool:
        for condition, player, found in pool.map(figures, todo):
            results[condition][player] = found
            path(condition).write_text(json.dumps(results[condition]))
            told = f"MOS {found['mos']:.2f} delay {found['delay_mean']:6.1f} ms" if "delay_mean" in found else "nothing heard"
            print(f"{condition:20s} {player:18s} {told}", flush=True)


np.seterr(all="ignore")
if __name__ == "__main__":
    main()
