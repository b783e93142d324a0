"""Judges a rehearsal of failures by what was written down of it: what was broken when, whose voice passed which mirrors, what the
supervisors heard and said, and the members' journals. `judge` names what isn't as it should be; `figures` says how long it took.

A rehearsal is JSON: `first`, `last` (seconds since 1970, as all times), `members`, `agents`, `faults` and `cti` (`what`, `member` or
`side`, `begin`, `end`), `shown` (`at`, `agent`, `members`), `standstills` ([begin, length]), `holders` ([time, member] that took the
CTI sessions), `listeners` (by name: `rows`, `said`), `journals` (by member) and `broken` (journals that aren't whole)."""

from datetime import datetime

GAP = 0.1  # seconds of silence that count
AT_ONCE = 1.0  # a home's death is survived within this, where its socket is closed
AT_LAST = 20.0  # where it dies without a word; and until another member holds the CTI sessions
FOLLOWED = 3.0  # an agent who moves to another mirror is heard again
BACK = 8.0  # all is found again after a fault
PIECE = 0.5  # of what was heard may be missing in the journals: times are those of different programs
END = 3.0  # at the end everybody has to hear everything for so long
LOUD = ("kill",)  # faults that close sockets
SILENT = ("stand_still", "unplug", "deaf")
UNHEARD = ("stand_still", "unplug")  # of the silent ones those that nobody hears of: who is deaf still says that it holds


def seconds(record):
    # Python before 3.11 reads microseconds only.
    text = record["at"].rstrip("Z")
    whole, _, fraction = text.partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


def spoken(listener):
    """What a listener said on the way: time and words."""
    for line in listener["said"]:
        _, at, words = line.split(" ", 2)
        yield float(at), words


def homes(listener):
    """To which member he talked from when on."""
    return [(at, int(words.removeprefix("connected site"))) for at, words in spoken(listener) if words.startswith("connected site")]


def resumptions(listener):
    """Sessions that went on: when, whose, after how long."""
    for at, words in spoken(listener):
        agent, found, after = words.partition(" goes on after ")
        if found:
            yield at, agent, float(after.split()[0])


def holding(history, begin, end):
    """The values that hold at any time between, of a history of (time, value)."""
    before = [value for at, value in history if at <= begin][-1:]
    return before + [value for at, value in history if begin < at <= end]


class Clock:
    """What of a time the machine didn't stand still."""

    def __init__(self, standstills):
        self.pieces = []
        # What stood still needs a moment to catch up.
        for begin, end in sorted((begin - 0.05, begin + length + 0.15) for begin, length in standstills):
            if self.pieces and begin <= self.pieces[-1][1]:
                self.pieces[-1] = (self.pieces[-1][0], max(end, self.pieces[-1][1]))
            else:
                self.pieces.append((begin, end))

    def lasted(self, begin, length):
        end = begin + length
        return length - sum(max(0, min(end, till) - max(begin, since)) for since, till in self.pieces)


def open_sessions(records, end):
    """When sessions were open by one journal: supervisor, agent, begin, end."""
    running, found = {}, []
    for record in records:
        at, event = seconds(record), record["event"]
        if event in ("session_started", "session_moved"):
            running.setdefault(record["session"], (record["supervisor"], record["agent"], at))
        elif event == "session_stopped" and record["session"] in running:
            found.append((*running.pop(record["session"]), at))
        elif event == "service_started":
            # A crash: what ran is over; when, nobody wrote down.
            found += [(*session, at) for session in running.values()]
            running = {}
    return found + [(*session, end) for session in running.values()]


def heard_pieces(row, begin, end):
    """From when to when an agent was heard, by the gaps."""
    pieces, since = [], begin
    for at, length in row["gaps"]:
        pieces.append((since, at))
        since = at + length
    return pieces + [(since, end)]


def unaudited(log):
    """Pieces that no journal covers."""
    first, last = log["first"], log["last"]
    sessions = [session for records in log["journals"].values() for session in open_sessions(records, last + 60)]
    for who, listener in log["listeners"].items():
        for agent, row in listener["rows"].items():
            own = sorted((begin, end) for supervisor, of, begin, end in sessions if supervisor == who and of == agent)
            for begin, end in heard_pieces(row, first, last):
                at = begin
                for opened, closed in own:
                    if opened <= at + 0.05:
                        at = max(at, closed)
                if at < end - PIECE:
                    yield f"{who} heard agent {agent} from {begin - first:.1f} to {end - first:.1f} s, and no journal has it"


def strange(log):
    """What is nobody's to hear, or was heard twice."""
    for who, listener in log["listeners"].items():
        for agent, row in listener["rows"].items():
            if row["foreign"] or row["twice"]:
                yield f"{who} heard {row['foreign']} foreign packets as agent {agent}, and {row['twice']} twice"


def mirrors(log, agent):
    return [(show["at"], show["members"]) for show in log["shown"] if str(show["agent"]) == agent]


def excused(log, listener, agent):
    """When a listener may hear nothing of an agent: what he is heard over is broken, or he moves."""
    places, servers = mirrors(log, agent), homes(listener)
    for at, _ in places:
        yield at - GAP, at + FOLLOWED
    for fault in log["faults"]:
        begin, end = fault["begin"] - GAP, fault["end"] + BACK
        concerned = set(holding(servers, begin, end)) | {member for shown in holding(places, begin, end) for member in shown}
        if fault["member"] in concerned:
            # Whoever is away for long is given up on both sides, and found again.
            late = AT_LAST if fault["what"] not in LOUD and fault["end"] - fault["begin"] > 1 else 0
            yield begin, end + late


def united(spans):
    """The same times, as spans that don't overlap."""
    whole = []
    for begin, end in sorted(spans):
        if whole and begin <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(end, whole[-1][1])
        else:
            whole.append((begin, end))
    return whole


def unexplained(log, clock):
    """Gaps that nothing excuses: neither the CTI Server's sides nor other members' deaths may be heard."""
    first = log["first"]
    for who, listener in log["listeners"].items():
        for agent, row in listener["rows"].items():
            spans = united(excused(log, listener, agent))
            for at, length in row["gaps"]:
                inside = any(begin <= at and at + length <= end for begin, end in spans)
                if at >= first and not inside and clock.lasted(at, length) >= GAP:
                    yield f"{who} heard nothing of agent {agent} for {length:.2f} s from {at - first:.1f} s on, and nothing was broken on the way"


def deaf_at_the_end(log, clock):
    for who, listener in log["listeners"].items():
        for agent, row in listener["rows"].items():
            late = [clock.lasted(at, length) for at, length in row["gaps"] if at + length > log["last"] - END]
            if not row["packets"] or any(length >= GAP for length in late):
                yield f"{who} doesn't hear agent {agent} at the end: {late}"


def moves(log, kinds):
    """Of faults at a home: fault, who, and after how long each of his sessions went on; `None` for one that didn't."""
    for fault in log["faults"]:
        for who, listener in log["listeners"].items():
            home = [member for at, member in homes(listener) if at <= fault["begin"]][-1:]
            if fault["what"] not in kinds or home != [fault["member"]]:
                continue
            soon = [(agent, at, after) for at, agent, after in resumptions(listener) if fault["begin"] <= at <= fault["end"] + AT_LAST + BACK]
            for agent in map(str, log["agents"]):
                yield fault, who, agent, next(((at, after) for name, at, after in soon if name == agent), None)


def slow_homes(log, clock):
    first = log["first"]
    for fault, who, agent, went_on in moves(log, LOUD):
        begin = fault["begin"] - first
        if went_on is None:
            yield f"{who}'s session on agent {agent} didn't go on after site{fault['member']} was killed at {begin:.1f} s"
        elif clock.lasted(went_on[0] - went_on[1], went_on[1]) > AT_ONCE:
            yield f"{who}'s session on agent {agent} went on {went_on[1]:.2f} s after site{fault['member']} was killed at {begin:.1f} s"
    for fault, who, agent, went_on in moves(log, SILENT):
        if went_on and clock.lasted(went_on[0] - went_on[1], went_on[1]) > AT_LAST:
            yield f"{who}'s session on agent {agent} went on {went_on[1]:.2f} s after site{fault['member']} fell silent"


def lost_sessions(log):
    """A session is known to all members: one that is gone for good though another member lived was lost."""
    for who, listener in log["listeners"].items():
        begun = set()
        for at, words in spoken(listener):
            agent, _, what = words.partition(" ")
            what = what.partition(":")[0]
            if what in ("refused", "ended") or (what == "starts" and agent in begun):
                yield f"{who} lost his session on agent {agent} {at - log['first']:.1f} s after the beginning: {words}"
            if what == "starts":
                begun.add(agent)


def holders(log):
    """How long nobody held the CTI sessions after the holder was killed or fell silent for long."""
    for fault in log["faults"]:
        held = [member for at, member in log["holders"] if at <= fault["begin"]][-1:]
        lasting = fault["end"] - fault["begin"]
        if held == [fault["member"]] and (fault["what"] in LOUD and lasting > 1 or fault["what"] in UNHEARD and lasting > 16):
            after = [at - fault["begin"] for at, member in log["holders"] if at > fault["begin"]]
            yield fault, min(after, default=None)


def slow_holders(log):
    for fault, after in holders(log):
        if after is None or after > AT_LAST:
            late = "at all" if after is None else f"for {after:.1f} s"
            yield f"nobody took the CTI sessions {late} after site{fault['member']} was gone at {fault['begin'] - log['first']:.1f} s"


def judge(log):
    clock = Clock(log["standstills"])
    wrong = [*strange(log), *unaudited(log), *unexplained(log, clock), *deaf_at_the_end(log, clock)]
    wrong += [*slow_homes(log, clock), *lost_sessions(log), *slow_holders(log)]
    return wrong + [f"the journal of site{member} isn't whole" for member in log["broken"]]


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def figures(log):
    """Lines of what was measured."""
    counts = {}
    for fault in log["faults"] + log["cti"]:
        counts[fault["what"]] = counts.get(fault["what"], 0) + 1
    yield "faults\t" + "\t".join(f"{name} {count}" for name, count in sorted(counts.items()))
    rows = [row for listener in log["listeners"].values() for row in listener["rows"].values()]
    whole = round(100 * (log["last"] - log["first"])) * len(rows)
    yield f"heard\t{sum(row['packets'] for row in rows)} of {whole} packets"
    went_on = lambda kinds: [after[1] for *_, after in moves(log, kinds) if after]
    measured = {
        "gaps": [length for row in rows for _, length in row["gaps"]],
        "sessions went on after a kill": went_on(LOUD),
        "sessions went on after a silence": went_on(SILENT),
        "CTI sessions taken over": [after for _, after in holders(log) if after],
        "standstills of the machine": [length for _, length in log["standstills"]],
    }
    for what, values in measured.items():
        yield f"{what}\t{len(values)}\tp50 {quantile(values, 0.5):.2f} s\tp95 {quantile(values, 0.95):.2f} s\tmax {max(values, default=0):.2f} s"
