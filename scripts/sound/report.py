"""Tables of what was measured, and the acceptance rule over them. Knows nothing of how it was measured."""

import csv
import datetime
import json
import re

from .players import ENGINE, OTHERS, PRESETS, WHOLE, WITH_CARD, WITHOUT_CARD

# In the order of the reference material's table.
ISSUE = (
    "clean_u clean_a loss1 loss3 loss5 loss10 ge5_b3 ge10_b5 jit20 jit50 jit100 spike stall reorder5 dup5 step150 mix "
    "drift+200 drift-200 drift+1000 drift-1000 pt10 pt30 pt60 pt60_loss5 dtx dtx_jit20 hold_ssrc"
).split()
TITLES = {
    "fixed60+plc": "fixed 60 + PLC",
    "fixed200+plc": "fixed 200 + PLC",
    "speexjb+plc": "speex jb + PLC",
    "neteq-crate": "neteq crate",
    "pjmedia": "pjmedia",
    "webrtc": "WebRTC",
    "gst60+plc": "GStreamer 60 + PLC",
    "gst200+plc": "GStreamer 200 + PLC",
    "ffplay": "ffplay",
    "vlc": "vlc",
    "ms2": "mediastreamer2",
    "baresip": "baresip",
    **{f"engine-{preset}": f"engine {preset}" for preset in PRESETS},
    **{f"silentmon-{preset}": f"player {preset}" for preset in PRESETS},
}
# What may be missing to another's figure: ms of delay, MOS.
SLACK_DELAY, SLACK_MOS = 2.0, 0.02
COLUMNS = ("mos", "mos_min", "delay_mean", "delay_p95", "delay_max", "dur_err", "jumps", "gaps", "gap_ms", "clicks", "win_ok")

# Condition, most delay in ms, least MOS: the absolute list for the engine, by rising delay.
FLOORS = [
    *(("loss1", 20, 3.99), ("loss3", 20, 3.58), ("loss5", 20, 3.34), ("loss10", 20, 2.86)),
    *(("ge5_b3", 20, 3.10), ("ge10_b5", 20, 2.46)),
    *(("loss1", 32, 3.98), ("loss3", 32, 3.68), ("loss5", 32, 3.48), ("loss10", 32, 3.05)),
    *(("ge5_b3", 32, 3.18), ("ge5_b3", 65, 3.30), ("ge5_b3", 180, 3.40)),
    *(("ge10_b5", 32, 2.57), ("ge10_b5", 180, 2.70), ("pt60_loss5", 65, 3.25), ("reorder5", 70, 4.30)),
]
EXACT = {"clean_u": 4.32, "clean_a": 4.29}
TRUE_TIME = ("dup5", "reorder5", "drift+1000", "drift-1000", "hold_ssrc")
TRUE_MOS, TRUE_DURATION = 4.30, 3.0
BACK_WITHIN, BACK_TO = 10.0, 10.0  # seconds, ms
TROUBLE_ENDS = 40.0
# The path's round trip comes on top of the delay.
OWN_LEG_MOS, OWN_LEG_DELAY = 4.2, 150.0
# A run: starting, the reference, and what is still heard after it.
RUN_SECONDS = 6.3 + 70 + 3.5


def load(folder):
    """{condition: {player: figures}} of a working folder."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.path.glob("results/*.json"))}


def processor_time(folder):
    """Mean share of a core that each player takes over all its runs, in per cent; programs that carry the sound included."""
    shares = {}
    runs = [path for path in folder.path.glob("out/*/run.json") if path.parent.name in ISSUE and path.parent.name != "hold_ssrc"]
    for path in runs:
        for player, seconds in json.loads(path.read_text()).get("cpu", {}).items():
            shares.setdefault(player, []).append(seconds / RUN_SECONDS * 100)
    rows = [[TITLES.get(player, player), f"{sum(each) / len(each):.1f} %"] for player, each in sorted(shares.items())]
    return table(["player", "of one core"], rows)


def ordered(results):
    known = [condition for condition in ISSUE if condition in results]
    return known + [condition for condition in results if condition not in ISSUE and not is_long(condition) and not is_own_leg(condition)]


def is_own_leg(condition):
    return condition.startswith("own_")


def is_long(condition):
    """Half an hour, possibly with a sound card that is so many ppm fast: `NAME_30min@PPM`."""
    return condition.split("@")[0].endswith("_30min")


def heard(figures):
    return figures is not None and figures.get("delay_mean") is not None


def add_quoted(results, measured):
    """Figures of the reference material's table for players that this folder doesn't have; returns who they are."""
    if not measured.exists():
        return []
    section = measured.read_text().split("## 3.")[1].split("## 4.")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    players = {title: player for player, title in TITLES.items()}
    quoted = []
    for column, title in enumerate(rows[0]):
        player = players.get(title)
        if player is None or any(player in row for row in results.values()):
            continue
        quoted.append(player)
        for row in rows[2:]:
            found = re.fullmatch(r"\**([\d.]+)/(\d+)\**", row[column])
            if found and row[0] in results:
                figures = {"mos": float(found[1]), "delay_mean": float(found[2]), "quoted": True}
                results[row[0]][player] = figures
    return quoted


def add_kept(results, table_of_before):
    """Figures of before for every cell that this folder doesn't have: a run of some players leaves those of the others as they are."""
    if not table_of_before.exists():
        return
    with table_of_before.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            figures = {column: float(row[column]) for column in COLUMNS if row[column]}
            figures["kept"] = [row[column] for column in (*COLUMNS, "written")]
            results.setdefault(row["condition"], {}).setdefault(row["player"], figures)


def cell(figures):
    if figures is None:
        return ""
    if not heard(figures):
        return "silent"
    return f"{figures['mos']:.2f}/{figures['delay_mean']:.0f}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def figures_table(results, players):
    players = [player for player in players if any(player in row for row in results.values())]
    rows = [[condition, *(cell(results[condition].get(player)) for player in players)] for condition in ordered(results)]
    return table(["condition", *(TITLES[player] for player in players)], rows)


def answers(row, ours, other):
    """Our presets that are no later and no worse than another player."""
    theirs = row[other]
    good = lambda mine: (
        mine["delay_mean"] <= theirs["delay_mean"] + SLACK_DELAY and mine["mos"] >= theirs["mos"] - SLACK_MOS
    )
    return [name for name in ours if heard(row.get(name)) and (not heard(theirs) or good(row[name]))]


def acceptance(results, conditions=ISSUE):
    """(table of verdicts, list of what is missing, cells met, cells in all)."""
    rows, missing, met, cells = [], [], 0, 0
    for condition in conditions:
        row = results.get(condition, {})
        verdicts = [condition]
        for other in OTHERS:
            ours = ENGINE if other in WITHOUT_CARD else WHOLE
            if other not in row or not any(heard(row.get(name)) for name in ours):
                verdicts.append("")
                continue
            cells += 1
            good = answers(row, ours, other)
            if good:
                met += 1
                verdicts.append(good[0].split("-", 1)[1])
            else:
                verdicts.append("**no**")
                best = ", ".join(f"{name.split('-', 1)[1]} {cell(row.get(name))}" for name in ours)
                missing.append(f"{condition}: {TITLES[other]} {cell(row[other])}; ours {best}")
        rows.append(verdicts)
    return table(["condition", *(TITLES[other] for other in OTHERS)], rows), missing, met, cells


def floors(results):
    """Rows of the absolute list: (what, found, whether it holds)."""
    rows = []
    for condition, most, least in FLOORS:
        mine = [(results[condition][name], name) for name in ENGINE if heard(results.get(condition, {}).get(name))]
        within = [(figures["mos"], name, figures) for figures, name in mine if figures["delay_mean"] <= most]
        what = f"{condition}: MOS ≥ {least:.2f} at ≤ {most} ms"
        if within:
            mos, name, figures = max(within, key=lambda found: found[0])
            rows.append((what, f"{mos:.2f} at {figures['delay_mean']:.0f} ms ({name})", mos >= least - 0.005))
        elif mine:
            rows.append((what, f"least delay {min(figures['delay_mean'] for figures, _ in mine):.0f} ms", False))
    for condition, ceiling in EXACT.items():
        for name in ENGINE:
            figures = results.get(condition, {}).get(name)
            if heard(figures):
                exact = round(figures["mos"], 2) == ceiling and figures["jumps"] == 0 and abs(figures["dur_err"]) < 0.2
                found = f"{figures['mos']:.2f}, {figures['jumps']} jumps, duration {figures['dur_err']:+.1f} ms"
                rows.append((f"{condition}, {name}: {ceiling} exactly, never stretched", found, exact))
    for condition in TRUE_TIME:
        mine = [(results[condition][name], name) for name in ENGINE if heard(results.get(condition, {}).get(name))]
        if mine:
            good = lambda figures: figures["mos"] >= TRUE_MOS - 0.005 and abs(figures["dur_err"]) < TRUE_DURATION
            text = "; ".join(f"{name} {figures['mos']:.2f}, {figures['dur_err']:+.1f} ms" for figures, name in mine)
            holds = any(good(figures) for figures, _ in mine)
            rows.append((f"{condition}: MOS ≥ {TRUE_MOS:.2f}, duration error < {TRUE_DURATION:.0f} ms", text, holds))
    return rows + [row for name in ENGINE for row in recovery(results, name)]


def recovery(results, name):
    steady = results.get("step150", {}).get(name, {}).get("curve")
    if steady:
        last = [delay for time, delay in steady if time > steady[-1][0] - 15]
        spread = max(last) - min(last)
        yield f"step150, {name}: steady delay again", f"{last[-1]:.0f} ms, within {spread:.1f} ms for 15 s", spread < 8
    for condition in ("spike_ends", "stall_ends"):
        curve = results.get(condition, {}).get(name, {}).get("curve")
        if curve:
            before = sorted(delay for time, delay in curve if time < 6)
            usual = before[len(before) // 2] if before else curve[0][1]
            high = [time for time, delay in curve if time > TROUBLE_ENDS and delay > usual + BACK_TO]
            back = max(high, default=TROUBLE_ENDS) - TROUBLE_ENDS
            yield f"{condition}, {name}: back within {BACK_WITHIN:.0f} s of the end of trouble", f"{back:.1f} s", back <= BACK_WITHIN


def own_leg_table(results):
    """Losses between capture server and us: with and without repair."""
    rows = []
    for condition in filter(is_own_leg, results):
        _, *losses, last = condition.split("_")
        if last == "alone":
            continue
        limit = OWN_LEG_DELAY + float(last)
        mine = results[condition].get("engine-balanced")
        if heard(mine):
            good = mine["mos"] >= OWN_LEG_MOS - 0.005 and mine["delay_mean"] <= limit
            alone = [cell(results.get(f"{condition}_alone", {}).get(name)) for name in ("engine-balanced", "engine-smooth")]
            rows.append(["_".join(losses), f"{last} ms", *alone, cell(mine), f"{limit:.0f} ms", "yes" if good else "**no**"])
    order = [name for name in ISSUE if name.startswith(("loss", "ge"))] + ["closed5_b3", "closed10_b5"]
    rows.sort(key=lambda row: (order.index(row[0]), len(row[1]), row[1]))
    header = ["lost on our leg", "round trip", "concealed, balanced", "concealed, smooth", "repaired, balanced", "delay allowed", "MOS ≥ 4.2 within it"]
    return table(header, rows)


def floors_table(results):
    rows = floors(results)
    held = sum(holds for *_, holds in rows)
    listed = [[what, found, "yes" if holds else "**no**"] for what, found, holds in rows]
    return f"{held} of {len(rows)} hold.\n\n" + table(["wanted", "found", "holds"], listed)


def keep(results, path):
    """Everything measured, one line a cell."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file, delimiter="\t", lineterminator="\n")
        lines.writerow(["condition", "player", *COLUMNS, "written"])
        for condition in [*ordered(results), *filter(is_own_leg, results)]:
            for player, figures in results[condition].items():
                if not figures.get("quoted"):
                    values = [number(figures.get(column)) for column in COLUMNS]
                    lines.writerow([condition, player, *(figures.get("kept") or [*values, day(figures.get("stamp"))])])


def number(value):
    return "" if value is None else f"{value:.3g}" if abs(value) < 1 else f"{value:.6g}" if value == int(value) else f"{value:.2f}"


def day(stamp):
    return datetime.datetime.fromtimestamp(stamp).strftime("%Y-%m-%d %H:%M") if stamp else ""
