"""The players: which there are, which can be had on this machine, and how they are made to play."""

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import standstill

PRESETS = ("low", "balanced", "smooth")
ENGINE = [f"engine-{preset}" for preset in PRESETS]
WHOLE = [f"silentmon-{preset}" for preset in PRESETS]
# Compared with our engine: they have no sound card either.
WITHOUT_CARD = ["fixed60+plc", "fixed200+plc", "speexjb+plc", "neteq-crate", "pjmedia", "webrtc"]
# Compared with our whole player.
WITH_CARD = ["gst60+plc", "gst200+plc", "ffplay", "vlc", "ms2", "baresip"]
OTHERS = WITHOUT_CARD + WITH_CARD
PROGRAMS = {
    "gst60+plc": "gst-launch-1.0",
    "gst200+plc": "gst-launch-1.0",
    "ffplay": "ffplay",
    "vlc": "cvlc",
    "ms2": "mediastream",
    "baresip": "baresip",
}
BUILT = {
    "fixed60+plc": "cplay",
    "fixed200+plc": "cplay",
    "speexjb+plc": "cplay",
    "neteq-crate": "crates/neteq_player/target/release/neteq_player",
    "pjmedia": "pjplay",
    "webrtc": "node_modules/@roamhq/wrtc",
}
# Ports of a run: four for each player, and what baresip and mediastreamer2 take beyond.
FIRST_PORT, PORTS = 20000, 3000
# A sender later than this (ms; 99th percentile, and at most) spoils the run.
LATE, LATEST = 5.0, 60.0
# So does a machine that stood still for longer (ms): then nobody could play.
STILL = 20.0
ATTEMPTS = 3


def available(folder):
    """(players that can be had, players that can't)."""
    there = lambda player: shutil.which(PROGRAMS[player]) if player in PROGRAMS else (folder.path / BUILT[player]).exists()
    having = [player for player in OTHERS if there(player)]
    return having, [player for player in OTHERS if player not in having]


def play_engine(folder, conditions, presets):
    """Our engine alone, in virtual time, over every condition."""
    jobs = [(condition, preset) for condition in conditions for preset in presets]

    def play(job):
        condition, preset = job
        place = folder.path / "out" / condition / f"engine-{preset}"
        place.mkdir(parents=True, exist_ok=True)
        trace = folder.path / "traces" / f"{condition}.pcap"
        wait = trace.with_suffix(".wait")
        least = ["--min-delay-ms", wait.read_text()] if wait.exists() else []
        folder.run(folder.path / "play_trace", trace, preset, place / "out", *least, stdout=subprocess.DEVNULL)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(play, jobs))
    for condition in conditions:
        note = folder.path / "out" / condition / "run.json"
        run = json.loads(note.read_text()) if note.exists() else {"T0s": {}}
        run["T0s"].update({f"engine-{preset}": 0.0 for preset in presets})
        note.write_text(json.dumps(run))


def play_live(folder, conditions, players, lanes, say):
    """All players at once, in real time, one run a condition; `lanes` conditions side by side. A run that was spoilt for all
    is repeated, before anybody knows a score."""

    def lane(number):
        for condition in conditions[number::lanes]:
            for _ in range(ATTEMPTS):
                begin = time.monotonic()
                late, latest = live_run(folder, condition, players, FIRST_PORT + number * PORTS)
                still = watch.longest(begin, time.monotonic()) * 1000
                mute = [player for player in players if not (folder.path / "out" / condition / player / "out.s16").exists()]
                if mute:
                    say(f"{condition}: nothing was played by {', '.join(mute)}; each has a log in {folder.path / 'out' / condition}")
                say(
                    f"{condition}: played; the sender was {late:.1f} ms late (99th percentile), at most {latest:.0f}; "
                    f"the machine stood still for {still:.0f} at most"
                )
                if late < LATE and latest < LATEST and still < STILL:
                    break

    with standstill.Watch() as watch, ThreadPoolExecutor(lanes) as pool:
        list(pool.map(lane, range(lanes)))


def live_run(folder, condition, players, port):
    environment = {**os.environ, "BASE": str(port)}
    command = [folder.python, folder.harness / "run.py", condition, ",".join(players)]
    time.sleep(port % 7 / 7)  # the lanes don't all start their players in one moment
    folder.run(*command, cwd=folder.path, env=environment, stdout=subprocess.DEVNULL)
    run = json.loads((folder.path / "out" / condition / "run.json").read_text())
    return run["late_p99"], run["late_max"]
