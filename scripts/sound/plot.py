"""Plots as SVG: delay against MOS, one small field a condition; delay over time."""

import math

from .players import ENGINE, OTHERS, WHOLE
from .report import heard, ordered

SHORT = {
    **{"fixed60+plc": "f60", "fixed200+plc": "f200", "speexjb+plc": "spx", "neteq-crate": "ntq", "pjmedia": "pj"},
    **{"webrtc": "web", "gst60+plc": "g60", "gst200+plc": "g200", "ffplay": "ff", "vlc": "vlc", "ms2": "ms2", "baresip": "bar"},
}
WIDTH, HEIGHT, LEFT, TOP, COLUMNS = 230, 170, 34, 26, 5
FASTEST, SLOWEST = 2.0, 3000.0
TICKS = (3, 10, 30, 100, 300, 1000)
# Names of neighbours stand at different heights.
NAMES_AT = (9, 17, 25)
LOWEST, HIGHEST = 1.0, 4.6
STYLE = (
    "text{font:10px sans-serif;fill:#333}.title{font:bold 11px sans-serif}.other{font-size:8px;fill:#777}"
    ".grid{stroke:#ddd;stroke-width:.5}.engine{fill:#0b62c4}.whole{fill:#fff;stroke:#c4480b;stroke-width:1.5}"
    ".eline{stroke:#0b62c4;fill:none}.wline{stroke:#c4480b;fill:none;stroke-dasharray:3 2}.dot{fill:#999}"
)


def document(width, height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    back = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", back, *parts, "</svg>\n"])


def x_of(delay):
    share = math.log(min(max(delay, FASTEST), SLOWEST) / FASTEST) / math.log(SLOWEST / FASTEST)
    return LEFT + share * (WIDTH - LEFT - 12)


def y_of(mos):
    return TOP + (HIGHEST - mos) / (HIGHEST - LOWEST) * (HEIGHT - TOP - 22)


def text(x, y, words, kind="", anchor="middle"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def field(condition, row):
    parts = [text(LEFT, 16, condition, "title", "start")]
    for delay in TICKS:
        x = x_of(delay)
        parts += [f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - 22}"/>', text(x, HEIGHT - 11, f"{delay}")]
    for mos in (1, 2, 3, 4):
        y = y_of(mos)
        parts += [f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - 12}"/>', text(LEFT - 8, y + 3, f"{mos}")]
    others = sorted((row[player]["delay_mean"], row[player]["mos"], player) for player in OTHERS if heard(row.get(player)))
    for number, (delay, mos, player) in enumerate(others):
        x, y, beside = x_of(delay), y_of(mos), NAMES_AT[number % len(NAMES_AT)]
        parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2"/>', text(x, y + beside, SHORT[player], "other")]
    for names, line, mark in ((WHOLE, "wline", "whole"), (ENGINE, "eline", "engine")):
        places = [(x_of(row[name]["delay_mean"]), y_of(row[name]["mos"])) for name in names if heard(row.get(name))]
        if places:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            parts.append(f'<path class="{line}" d="M{path}"/>')
            parts += [f'<circle class="{mark}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    return parts


def pareto(results):
    """Up and to the left is better."""
    conditions = ordered(results)
    parts = []
    for index, condition in enumerate(conditions):
        x, y = index % COLUMNS * WIDTH, 30 + index // COLUMNS * HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *field(condition, results[condition]), "</g>"]
    legend = (
        '<circle class="engine" cx="20" cy="15" r="4"/><text x="30" y="19">our engine: low, balanced, smooth</text>'
        '<circle class="whole" cx="250" cy="15" r="4"/><text x="260" y="19">our whole player</text>'
        '<circle class="dot" cx="390" cy="15" r="3"/><text x="400" y="19">others; across: mean delay in ms, up: MOS (PESQ)</text>'
    )
    rows = -(-len(conditions) // COLUMNS)
    return document(COLUMNS * WIDTH, 30 + rows * HEIGHT, [legend, *parts])


def over_time(curves, caption):
    """Delay in ms over minutes; one line a name of `curves`, {name: [(seconds, ms)]}."""
    width, height, left, bottom = 900, 300, 50, 40
    times = [time for curve in curves.values() for time, _ in curve]
    delays = [delay for curve in curves.values() for _, delay in curve]
    top = 10 * math.ceil(max(delays, default=10) / 10 + 0.5)
    x = lambda time: left + time / max(times, default=1) * (width - left - 150)
    y = lambda delay: 30 + (1 - delay / top) * (height - 30 - bottom)
    parts = [text(left, 18, caption, "title", "start")]
    for share in range(5):
        delay, time = top * share / 4, max(times, default=60) * share / 4
        parts += [f'<path class="grid" d="M{left} {y(delay):.1f}H{width - 150}"/>', text(left - 20, y(delay) + 3, f"{delay:.0f}")]
        parts.append(text(x(time), height - 20, f"{time / 60:.1f} min"))
    colours = ("#0b62c4", "#c4480b", "#2a8f3c", "#8a3fb0", "#777", "#b08a00")
    for number, (name, curve) in enumerate(curves.items()):
        colour = colours[number % len(colours)]
        path = "L".join(f"{x(time):.1f} {y(delay):.1f}" for time, delay in curve)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}"/>')
        parts.append(f'<text x="{width - 140}" y="{40 + 16 * number}" style="fill:{colour}">{name}</text>')
    return document(width, height, parts)
