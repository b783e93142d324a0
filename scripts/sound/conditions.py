"""Makes the conditions that the reference material doesn't bring: arrival patterns of real calls, distributions of netem,
a recording of a mobile uplink, trouble that ends, half an hour of drift, and
losses of our own leg as they are after repair.

    python conditions.py FOLDER IMPAIR    all but those of our own leg
    python conditions.py FOLDER           those of our own leg, from FOLDER/own_leg.txt

Run by scripts/bench-sound with the interpreter of FOLDER, a copy of bench/audio, whose traces.py does the packets.
"""

import csv
import pickle
import sys
from pathlib import Path

import numpy as np

folder, impair = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
sys.path.insert(0, str(folder / "harness"))
import traces  # noqa: E402

SEED = 2026
LONGEST = 2.5  # seconds of delay
LEARNT = 750  # packets after which the listener knows the path of its own leg


def pattern(name, begin, end):
    """Delays in seconds of the packets of a recorded call from `begin` to `end` (seconds), `None` where lost; up to where
    the delay is more than the scorer looks for.
    """
    with (impair / f"{name}.csv").open() as file:
        rows = [(int(row["ext_seq"]), float(row["send_ms"]), float(row["arrival_ms"])) for row in csv.DictReader(file)]
    rows = [row for row in rows if begin * 1e3 <= row[1] < end * 1e3]
    least = min(arrival - sent for _, sent, arrival in rows)
    arrived = {number: (arrival - sent - least) / 1e3 for number, sent, arrival in rows}
    last = next((number for number, delay in arrived.items() if delay > LONGEST), rows[-1][0])
    return [arrived.get(number) for number in range(rows[0][0], last + 1)]


def apply(packets, delays):
    """The pattern over the last packets; where it is shorter it begins later, and what is before waits as its first does."""
    first = next(delay for delay in delays if delay is not None)
    delays = ([first] * (len(packets) - len(delays)) + delays)[: len(packets)]
    moved = [[time + delay, packet] for (time, packet), delay in zip(packets, delays) if delay is not None]
    return sorted(moved, key=lambda event: event[0])


def recorded(name, begin=0.0, end=70.0, times=1):
    return lambda packets, _: apply(packets, pattern(name, begin, end) * times)


def netem(table, mean, deviation, loss=0.0):
    """Delay as `tc qdisc ... netem delay MEAN DEVIATION distribution TABLE loss LOSS` gives it: it may reorder."""
    lines = (impair / "netem" / f"{table}.dist").read_text().splitlines()
    values = np.array([int(word) for line in lines if not line.startswith("#") for word in line.split()]) / 8192

    def change(packets, random):
        kept = traces.drop_random(packets, loss, random)
        delays = np.maximum(0, mean + deviation * random.choice(values, len(kept)))
        return sorted(([time + delay, packet] for (time, packet), delay in zip(kept, delays)), key=lambda event: event[0])

    return change


def mobile(begin):
    """A queue served at the opportunities that mahimahi recorded (milliseconds; 1,504 bytes each)."""
    lines = (impair / "mahimahi" / "ATT-LTE-driving-2016.up").read_text().split()
    once = np.array([int(line) for line in lines]) / 1e3
    chances = np.concatenate([once, once + once[-1]]) - begin
    chances = chances[chances >= 0]

    def change(packets, _):
        room, chance, events = 0, -1, []
        for time, packet in packets:
            size = len(packet) + 28
            while chance < 0 or chances[chance] < time or room < size:
                chance += 1
                room = 1504
            room -= size
            events.append([float(max(time, chances[chance])), packet])
        return events

    return change


def until(end, change):
    """Trouble up to a time, then none."""

    def both(packets, random):
        bad = [packet for packet in packets if packet[0] < end]
        return sorted(change(bad, random) + packets[len(bad) :], key=lambda event: event[0])

    return both


def conditions():
    rtp_late = "rtp-534late-24loss-7000total"
    return {
        "real_phone": recorded("A_party_g711a"),
        "real_softphone": recorded("firstvalid"),
        "real_office": recorded("SIP-RTP-Normal_Call_two_parties", 0, 26, 3),
        "real_hiccup": recorded("SIP-RTP-Normal_Call_two_parties_s1", 0, 26, 3),
        "real_late": recorded(rtp_late),
        "real_late2": recorded(rtp_late, 70, 140),
        "real_edge": recorded("opus-edge-congestion20_60_40", 0, 54),
        "real_narrow": recorded("audio-80-75-0c60", 0, 30),
        "real_worst": recorded("secondvalid"),
        "netem_experimental": netem("experimental", 0.04, 0.01, 0.01),
        "netem_pareto": netem("paretonormal", 0.05, 0.02),
        "lte_driving": mobile(40.0),
        "spike_ends": until(40.0, traces.spikes),
        "stall_ends": until(40.0, lambda packets, random: traces.spikes(packets, random, every=2.0, size=(0.08, 0.2))),
    }


def repaired(line, packets):
    """(name, events, ms that the player is asked to wait) of a line of the example `own_leg`, after the path was learnt."""
    losses, round_trip, what, patience, delays = line.split(" ")
    delays = delays.split(",")[LEARNT : LEARNT + len(packets)]
    path = float(round_trip) / 2e3
    events = [[time + path + float(delay) / 1e3, packet] for (time, packet), delay in zip(packets, delays) if delay.strip() != "-"]
    name = f"own_{losses}_{round_trip}" + ("" if what == "repaired" else "_alone")
    return name, sorted(events, key=lambda event: event[0]), patience if what == "repaired" else "0"


def own_leg(samples, pieces):
    """Losses between the capture server and us, as they are after repair."""
    for line in (folder / "own_leg.txt").read_text().splitlines():
        packets, timeline = traces.build(samples)
        name, events, patience = repaired(line, packets)
        keep(name, packets, events, timeline, pieces)
        (folder / "traces" / f"{name}.wait").write_text(patience)


def keep(name, packets, events, timeline, pieces):
    sent = {id(packet): time for time, packet in packets}
    delays = np.array([time - sent[id(packet)] for time, packet in events]) * 1e3
    lost = 1 - len({id(packet) for _, packet in events}) / len(packets)
    about = {
        "name": name,
        "codec": "u",
        "ptime": 20,
        "events": [(float(time), packet) for time, packet in events],
        "timeline": timeline,
        "pieces": pieces,
        "ref": "ref.wav" if "30min" not in name else "ref_30min.wav",
        "info": {"packets": len(packets), "loss": lost, "net_mean_ms": float(delays.mean())},
    }
    with (folder / "traces" / f"{name}.pkl").open("wb") as file:
        pickle.dump(about, file)
    traces.write_pcap(folder / "traces" / f"{name}.pcap", about["events"])
    late = np.percentile(delays, [50, 95, 100])
    print(f"{name:20s} loss {lost * 100:5.2f} %  delay p50 {late[0]:7.1f} p95 {late[1]:7.1f} max {late[2]:7.1f} ms")


def half_an_hour(samples, pieces):
    """The reference again and again, from phones that are right, fast and slow; for slow and fast sound cards the first."""
    long = np.tile(samples, 26)[: 1800 * traces.FS]
    traces.sf.write(folder / "ref" / "ref_30min.wav", long, traces.FS, subtype="PCM_16")
    for name, ppm in (("clean", 0), ("drift+200", 200), ("drift-200", -200)):
        packets, timeline = traces.build(long, ppm=ppm)
        keep(f"{name}_30min", packets, packets, timeline, pieces)


def main():
    samples, pieces = traces.load()
    if impair is None:
        own_leg(samples, pieces)
        return
    for name, change in conditions().items():
        packets, timeline = traces.build(samples)
        keep(name, packets, change(packets, np.random.default_rng(SEED)), timeline, pieces)
    half_an_hour(samples, pieces)


main()
