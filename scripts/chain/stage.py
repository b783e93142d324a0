"""Builds the chain: certificates, two network namespaces joined by a veth pair, the services, the virtual sound card."""

import gzip
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import wave
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
EVENTS = """
{"at":0.0,"event":"agent_state","agent":"4711","name":"Marko Kern","extension":"3001","team":"claims","state":"talking"}
{"at":0.0,"event":"call","agent":"4711","call":"81","kind":"established","acd":true,"calling":"5551234","called":"8001"}
{"at":0.0,"event":"media_started","agent":"4711","call":"81","address":"10.1.1.20:24678","codec":"PCMU"}
"""


class Missing(Exception):
    """What this machine hasn't got."""


def say(text):
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr)


def end_on_signals():
    """Being told to end removes what was built, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def program():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "build", "--locked", "--release", "--quiet"], cwd=ROOT, check=True)
    return target / "release" / "silentmon"


def shared():
    return Path(os.environ.get("SILENTMON_SHARED", ROOT.parent / "shared"))


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def speech():
    """The fixtures' agent and customer as samples of 16 bit at 8 kHz."""
    samples = []
    for leg in ("agent", "customer"):
        data = gzip.decompress((ROOT / f"tests/fixtures/{leg}.wav.gz").read_bytes())
        with wave.open(io.BytesIO(data)) as file:
            samples.append(memoryview(file.readframes(file.getnframes())).cast("h").tolist())
    return samples


def mu_law(sample):
    """ITU-T G.711."""
    sign, magnitude = (0, sample) if sample >= 0 else (0x80, -sample)
    magnitude = min(magnitude, 32635) + 132
    segment = magnitude.bit_length() - 8
    return ~(sign | segment << 4 | magnitude >> segment + 3 & 15) & 0xFF


def from_mu_law(byte):
    byte = ~byte & 0xFF
    segment, step = byte >> 4 & 7, byte & 15
    magnitude = ((step << 3) + 132 << segment) - 132
    return -magnitude if byte & 0x80 else magnitude


class VirtualCard:
    """A clocked ALSA card of the reference material that writes what was heard."""

    def __init__(self, folder, rate, ppm):
        source = shared() / "bench/audio/vcard/vcard.c"
        if not source.exists():
            raise Missing(f"no virtual card at {source}")
        library = folder / "libasound_module_pcm_vcard.so"
        command = ["gcc", "-O2", "-fPIC", "-shared", "-DPIC", "-o", library, source, "-lasound", "-lm"]
        if not shutil.which("gcc") or subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            raise Missing("gcc with ALSA's headers is needed to build the virtual card")
        settings = f'pcm_type.vcard {{ lib "{library}" }}\npcm.vcard {{ type vcard hint {{ show on description "virtual card" }} }}\n'
        (folder / "asoundrc").write_text(settings)
        self.heard, self.meta = folder / "heard.s16", folder / "heard.json"
        self.environment = {
            **os.environ,
            "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{folder / 'asoundrc'}",
            "VCARD_FILE": str(self.heard),
            "VCARD_META": str(self.meta),
            "VCARD_RATE": str(rate),
            "VCARD_CHANNELS": "2",
            "VCARD_PPM": str(ppm),
        }

    def times(self):
        return json.loads(self.meta.read_text())


class Stage:
    """To be used as a context: everything is removed at its end."""

    def __init__(self, folder, silentmon):
        if os.geteuid() != 0:
            raise Missing("network namespaces need root")
        if not shutil.which("ip"):
            raise Missing("ip (iproute2) is needed")
        self.folder, self.silentmon = folder, silentmon
        self.mirror, self.server = (f"smear-{os.getpid()}{end}" for end in "ms")
        self.running = []

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
        for namespace in (self.mirror, self.server):
            subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL)

    def build(self):
        for namespace in (self.mirror, self.server):
            if subprocess.run(["ip", "netns", "add", namespace]).returncode:
                raise Missing("network namespaces can't be made here")
        pair = ["ip", "link", "add", "mirror0", "netns", self.mirror, "type", "veth", "peer", "name", "span0", "netns", self.server]
        subprocess.run(pair, check=True)
        for namespace, link in ((self.mirror, "mirror0"), (self.server, "span0"), (self.server, "lo")):
            subprocess.run(["ip", "-n", namespace, "link", "set", link, "up"], check=True)
        make_certificates(self.silentmon, self.folder)
        self.port = free_port()
        (self.folder / "events.jsonl").write_text(EVENTS)
        (self.folder / "capture.toml").write_text(configuration(self.port))

    def inside(self, namespace, *command, **options):
        command = ["ip", "netns", "exec", namespace, *map(str, command)]
        process = subprocess.Popen(command, cwd=self.folder, **options)
        self.running.append(process)
        return process

    def capture(self):
        """Starts the capture service and waits until it is ready."""
        log = self.folder / "capture.log"
        process = self.inside(self.server, self.silentmon, "capture", "--config", "capture.toml", stderr=log.open("w"))
        for _ in range(200):
            if any(line.rstrip().endswith("ready") for line in log.read_text().splitlines()):
                return process
            time.sleep(0.05)
        raise RuntimeError(f"the capture service didn't start: {log.read_text()[-2000:]}")

    def talk(self, seconds):
        """Starts two phones; their packets' times are in `stamps`."""
        agent, customer = (bytes(map(mu_law, leg)) for leg in speech())
        talk = Path(__file__).with_name("talk.py")
        phones = self.inside(self.mirror, sys.executable, talk, "mirror0", "stamps", seconds, stdin=subprocess.PIPE)
        phones.stdin.write(f"{len(agent)}\n".encode() + agent + customer)
        phones.stdin.close()
        return phones

    def listen(self, card, seconds, more):
        """Starts to listen on the card."""
        return self.inside(
            self.server, self.silentmon, "listen", "4711", "--server", f"127.0.0.1:{self.port}",
            "--identity", "anna-identity.pem", "--ca", "ca.pem", "--output", "alsa:vcard", "--for", seconds, "--json", *more,
            env={**card.environment, "SILENTMON_LOG": os.environ.get("SILENTMON_LOG", "info,silentmon_playback_io=debug")},
            stdout=subprocess.PIPE, stderr=(self.folder / "listen.log").open("w"), text=True)

    def presets(self):
        """Whether `listen` takes presets."""
        return "--preset" in subprocess.run([self.silentmon, "listen", "--help"], capture_output=True, text=True).stdout

    def stamps(self):
        """When each packet of the agent left, in seconds."""
        return [int(line) / 1e9 for line in (self.folder / "stamps").read_text().split()]


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def make_certificates(silentmon, folder):
    (folder / "password").write_text("correct horse")
    run = lambda *arguments: subprocess.run([silentmon, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    run("certs", "init-ca", "--out", ".", "--password-file", "password")
    for role, name, extra in (("capture", "gw1", ("--san", "127.0.0.1")), ("supervisor", "anna", ())):
        run("certs", "request", "--role", role, "--name", name, "--out", ".", *extra)
        run("certs", "sign", "--ca", ".", "--csr", f"{name}.csr", "--out", f"{name}.pem", "--password-file", "password")
        (folder / f"{name}-identity.pem").write_bytes((folder / f"{name}.pem").read_bytes() + (folder / f"{name}.key").read_bytes())
        (folder / f"{name}-identity.pem").chmod(0o600)


def configuration(port):
    return f"""
schema = 1
[capture]
source = {{ interface = "span0" }}
[service]
listen = "127.0.0.1:{port}"
identity = "gw1-identity.pem"
ca = "ca.pem"
[cluster]
name = "gw1"
listen = "127.0.0.1:{free_port()}"
[[cti]]
kind = "script"
path = "events.jsonl"
[policy]
disclosure = "never"
who = "any-supervisor"
acd_only = false
[audit]
path = "audit.jsonl"
"""


def processor_seconds(pid):
    """User and system time of a process so far; `ip netns exec` becomes the program itself."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
