"""Builds a cluster: certificates, a network namespace for each member with a mirror port of its own, one with a bridge between them
where supervisors and the two sides of a simulated CTI Server are, and phones whose voice passes the mirrors one chooses."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from .stage import ROOT, Missing, end

HUB = "10.77.0.100"
SIDES = {"a": 42027, "b": 43027}


def programs(named):
    """The program and the listener with many ears: the one named and its neighbour in `examples`, or release builds."""
    if named:
        named = Path(named).resolve()
        return named, named.parent / "examples" / "hearing"
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    cargo = ["cargo", "build", "--locked", "--release", "--quiet"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    subprocess.run([*cargo, "-p", "silentmon-playback-io", "--example", "hearing"], cwd=ROOT, check=True)
    return target / "release" / "silentmon", target / "release" / "examples" / "hearing"


def ip(*arguments):
    subprocess.run(["ip", *map(str, arguments)], check=True)


def phone(agent):
    return f"10.1.{agent >> 8 & 255}.{agent & 255}"


class Town:
    """To be used as a context: everything is removed at its end."""

    def __init__(self, folder, silentmon, hearing, members, agents, supervisors=("anna",)):
        if os.geteuid() != 0 or not shutil.which("ip"):
            raise Missing("network namespaces need root and ip (iproute2)")
        self.folder, self.silentmon, self.hearing = folder, silentmon, hearing
        self.members, self.agents = list(range(1, members + 1)), agents
        self.places = [f"smtown-{os.getpid()}-{number}" for number in range(members + 1)]
        self.supervisors, self.running, self.services = supervisors, [], {}
        self.sides, self.cables = {}, {}

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            end(process)
        for place in self.places:
            subprocess.run(["ip", "netns", "delete", place], stderr=subprocess.DEVNULL)

    def build(self):
        for place in self.places:
            if subprocess.run(["ip", "netns", "add", place]).returncode:
                raise Missing("network namespaces can't be made here")
            ip("-n", place, "link", "set", "lo", "up")
        hub = self.places[0]
        # With an address of its own: else it takes another one whenever a cable leaves it, which nobody behind it knows.
        ip("-n", hub, "link", "add", "br0", "address", "02:00:00:00:00:64", "type", "bridge")
        ip("-n", hub, "addr", "add", f"{HUB}/24", "dev", "br0")
        ip("-n", hub, "link", "set", "br0", "up")
        # A cable's end that isn't in the bridge for a while has no address.
        quiet = "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"
        subprocess.run(["ip", "netns", "exec", hub, "sh", "-c", quiet], check=True)
        for member in self.members:
            self.wire(hub, member)
        self.certificates()
        for member in self.members:
            (self.folder / f"site{member}.toml").write_text(self.configuration(member))
        self.write_script()
        # What a phone's media address is was told when its call began: to whoever was there.
        self.simulate("a", "open")
        self.simulate("b")
        voice = Path(__file__).with_name("voice.py")
        lates = (self.folder / "standstills").open("w")
        self.phones = self.inside(0, sys.executable, voice, *self.mirrors(), stdin=subprocess.PIPE, stdout=lates, text=True)

    def mirrors(self):
        return [f"mirror{member}" for member in self.members]

    def wire(self, hub, member):
        place = self.places[member]
        for here, there in ((f"member{member}", "eth0"), (f"mirror{member}", "span0")):
            ip("link", "add", here, "netns", hub, "type", "veth", "peer", "name", there, "netns", place)
            ip("-n", hub, "link", "set", here, "up")
            ip("-n", place, "link", "set", there, "up")
        ip("-n", hub, "link", "set", f"member{member}", "master", "br0")
        ip("-n", hub, "link", "add", f"detour{member}", "type", "veth", "peer", "name", f"bad{member}")
        for end in ("detour", "bad"):
            ip("-n", hub, "link", "set", f"{end}{member}", "up")
        ip("-n", hub, "link", "set", f"bad{member}", "master", "br0")
        ip("-n", place, "addr", "add", f"10.77.0.{member}/24", "dev", "eth0")

    def certificates(self):
        (self.folder / "password").write_text("correct horse")
        certs = [self.silentmon, "certs"]
        run = lambda *words: subprocess.run([*certs, *words], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        run("init-ca", "--out", ".", "--password-file", "password")
        holders = [("supervisor", name, []) for name in self.supervisors]
        holders += [("capture", f"site{member}", ["--san", f"10.77.0.{member}"]) for member in self.members]
        for role, name, more in holders:
            run("request", "--role", role, "--name", name, "--out", ".", *more)
            run("sign", "--ca", ".", "--csr", f"{name}.csr", "--out", f"{name}.pem", "--password-file", "password")

    def configuration(self, member):
        peers = ", ".join(f'{{ name = "site{peer}", address = "10.77.0.{peer}:42029" }}' for peer in self.members if peer != member)
        return f"""schema = 1
[capture]
source = {{ interface = "span0" }}
[service]
listen = "10.77.0.{member}:42228"
identity = "site{member}.pem"
ca = "ca.pem"
[cluster]
name = "site{member}"
listen = "10.77.0.{member}:42029"
peers = [{peers}]
[policy]
disclosure = "never"
who = "any-supervisor"
acd_only = false
[audit]
path = "audit-site{member}.jsonl"
[[cti]]
name = "source"
kind = "cisco-cti-server"
side_a = "{HUB}:42027"
side_b = "{HUB}:43027"
"""

    def write_script(self):
        """All agents are on a call from the start, wherever their media pass."""
        lines = []
        for agent in self.agents:
            about = {"agent": str(agent), "call": f"c{agent}"}
            lines.append({"at": 0, "event": "agent_state", "agent": str(agent), "extension": f"3{agent}", "state": "talking"})
            lines.append({"at": 0, "event": "call", "kind": "established", "acd": True, "calling": "5551234", "called": "8001", **about})
            lines.append({"at": 0, "event": "media_started", "address": f"{phone(agent)}:24678", "codec": "PCMU", **about})
        (self.folder / "script.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def simulate(self, side, start="immediately"):
        """Starts a side of the CTI Server. Each is a program of its own and tells of the same telephone system: what is going on
        is in the script, and one that starts late knows it at once."""
        log = (self.folder / f"cti-{side}.log").open("a")
        command = [self.silentmon, "simulate", "cti-server", "--script", "script.jsonl", "--start", start]
        self.sides[side] = self.inside(0, *command, "--listen", f"{HUB}:{SIDES[side]}", stdout=log, stderr=log)

    def inside(self, place, *command, **options):
        command = ["ip", "netns", "exec", self.places[place], *map(str, command)]
        process = subprocess.Popen(command, cwd=self.folder, **options)
        self.running.append(process)
        return process

    def start(self, member):
        log = self.folder / f"site{member}.log"
        begin = log.stat().st_size if log.exists() else 0
        process = self.inside(member, self.silentmon, "capture", "--config", f"site{member}.toml", stderr=log.open("a"))
        self.services[member] = process
        for _ in range(200):
            if any(line.rstrip().endswith("ready") for line in log.read_text()[begin:].splitlines()):
                return process
            time.sleep(0.05)
        raise RuntimeError(f"site{member} didn't start: {log.read_text()[-2000:]}")

    def show(self, agent, members):
        """Lets an agent's voice pass these members' mirrors from now on, and no others."""
        self.phones.stdin.write(f"{agent} {','.join(map(str, members))}\n")
        self.phones.stdin.flush()

    def link(self, member, up):
        """The cable between a member and all others."""
        ip("-n", self.places[0], "link", "set", f"member{member}", "up" if up else "down")

    def spoil(self, member, *how):
        """Makes the cable of a member a bad one, as chain/cable.py has it."""
        cable = f"member{member}"
        ip("-n", self.places[0], "link", "set", cable, "nomaster")
        bad = self.inside(0, sys.executable, Path(__file__).with_name("cable.py"), cable, f"detour{member}", *how)
        self.cables[member] = bad

    def mend(self, member):
        end(self.cables.pop(member))
        ip("-n", self.places[0], "link", "set", f"member{member}", "master", "br0")

    def hear(self, servers, agents, seconds, who="anna"):
        """Listens for some seconds or, with `-`, until `heard` asks what came of it."""
        servers = ",".join(f"10.77.0.{member}:42228" for member in servers)
        return self.inside(0, self.hearing, servers, f"{who}.pem", "ca.pem", seconds, *agents, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def journal(self, member):
        path = self.folder / f"audit-site{member}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def holders(self):
        """When which member took the CTI sessions, by the members' own words."""
        found = []
        for member in self.members:
            log = self.folder / f"site{member}.log"
            for line in log.read_text().splitlines():
                if "this server holds the cluster's CTI sessions" in line:
                    found.append((datetime.fromisoformat(line.split()[0].rstrip("Z")[:26] + "+00:00").timestamp(), member))
        return sorted(found)

    def standstills(self):
        """When the phones couldn't talk in time, because the whole machine stood still: begin and length."""
        lines = (self.folder / "standstills").read_text().splitlines()
        return [tuple(map(float, line.split("+"))) for line in lines]


def heard(process, timeout):
    """What a listener found: a row for each agent, and what it said on the way."""
    lines = process.communicate(timeout=timeout)[0].splitlines()
    rows = {}
    for line in (line for line in lines if not line.startswith("#")):
        agent, packets, foreign, twice, median, late, gaps = line.split("\t")
        pairs = [tuple(map(float, gap.split("+"))) for gap in gaps.split()]
        rows[agent] = {"packets": int(packets), "foreign": int(foreign), "twice": int(twice), "median": int(median), "late": int(late), "gaps": pairs}
    return rows, [line for line in lines if line.startswith("#")]
