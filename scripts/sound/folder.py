"""The working folder: a copy of the reference material, with its reference, traces, virtual sound card and programs."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SILENTMON_SHARED", ROOT.parent / "shared"))
PACKAGES = "numpy scipy soundfile pesq pystoi aiortc".split()
NETEQ = '[package]\nname = "neteq_player"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n[dependencies]\nlibc = "0.2"\nneteq = { version = "=0.9.1", default-features = false }\n'
# Bytes that all players write in all conditions.
ROOM = 3 << 30
# Where the virtual card's time may begin, and how it is taken over from the same card of before.
REOPENED = (
    "v->ppm=ppm;\n",
    '    FILE *before=v->meta?fopen(v->meta,"r"):NULL; double began;\n'
    '    if(before){ if(fscanf(before,"{\\"t0\\":%lf",&began)==1) v->t0=(int64_t)(began*1e9); fclose(before); }\n',
)
EXAMPLES = (
    ("silentmon-playback-core", "play_trace"),
    ("silentmon-playback-core", "own_leg"),
    ("silentmon-playback-io", "play_rtp"),
)
# Our players, as the harness wants them: (port, folder, payload type, packet time) -> (command, environment).
OURS = """
import os
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CARD = {{"ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{{ROOT}}/vcard/asoundrc", "VCARD_RATE": "8000", "VCARD_CHANNELS": "2"}}


def ours(preset):
    return lambda port, folder, payload_type, packet_time: (f"{program} {{port}} {{preset}} vcard", CARD)


EXTRA = {{f"silentmon-{{preset}}": ours(preset) for preset in ("low", "balanced", "smooth")}}
"""


class Folder:
    """Where everything is, and how it is run."""

    def __init__(self, path):
        self.path = path.resolve()
        self.harness = self.path / "harness"
        self.python = self.path / "venv" / "bin" / "python"

    def run(self, *command, **options):
        subprocess.run([str(word) for word in command], check=True, **options)

    def prepare(self, say):
        """Makes what isn't there yet."""
        if not self.harness.exists():
            say(f"copying {SHARED / 'bench/audio'} to {self.path}")
            shutil.copytree(SHARED / "bench" / "audio", self.path, dirs_exist_ok=True)
            self.use_real_time_priority(say)
            self.go_on_where_a_card_is_reopened()
            self.write_to_memory()
        for name in ("out", "results", "ref", "traces"):
            (self.path / name).mkdir(exist_ok=True)
        if not self.python.exists():
            say("installing what scores sound")
            self.run("python3", "-m", "venv", self.path / "venv")
            self.run(self.python, "-m", "pip", "install", "--quiet", *PACKAGES)
        card = self.path / "vcard" / "asoundrc"
        if not card.exists() or str(self.path) not in card.read_text():  # a copied folder's names another one
            say("building the virtual sound card")
            self.run(self.path / "vcard" / "build.sh")
        if not (self.path / "ref" / "ref.wav").exists():
            say("making the reference")
            self.run(self.python, self.harness / "mkref.py", self.path / "ref")
        if not (self.path / "ref" / "silence.wav").exists():
            silence = "import soundfile, sys; soundfile.write(sys.argv[1], [0.0] * 4_800_000, 8000, subtype='PCM_16')"
            self.run(self.python, "-c", silence, self.path / "ref" / "silence.wav")
        if not (self.path / "traces" / "clean_u.pcap").exists():
            say("making the traces")
            self.run(self.python, self.harness / "traces.py", cwd=self.harness)

    def use_real_time_priority(self, say):
        """Where that is allowed: a nice value alone lets a busy machine be heard. The sender gets time to start."""
        program = self.harness / "run.py"
        program.write_text(program.read_text().replace("T0=time.monotonic()+0.3", "T0=time.monotonic()+3"))
        if subprocess.run(["chrt", "-r", "20", "true"], stderr=subprocess.DEVNULL).returncode == 0:
            program.write_text(program.read_text().replace("'nice','-n','-12',", "'chrt','-r','20',"))
        else:
            say("no real-time priority (not root?): what else runs on this machine will be heard")

    def go_on_where_a_card_is_reopened(self):
        """A player may open its card anew: what it played before stays in the file, and time goes on as it began."""
        source = self.path / "vcard" / "vcard.c"
        opened, placed = REOPENED
        text = source.read_text()
        if opened not in text:
            raise SystemExit("bench-sound: the virtual card's source is another than expected")
        source.write_text(text.replace(opened, opened + placed))

    def write_to_memory(self):
        """What the virtual sound card writes: a disk that is busy would hold the card up."""
        memory = Path("/dev/shm")
        if memory.is_dir() and shutil.disk_usage(memory).free > ROOM and not (self.path / "out").exists():
            (self.path / "out").symlink_to(tempfile.mkdtemp(prefix="bench-sound-", dir=memory))
            (self.path / "out").chmod(0o755)  # VLC doesn't run as root

    def conditions(self):
        return sorted(path.stem for path in (self.path / "traces").glob("*.pkl"))

    def build_ours(self, say):
        """Builds our example programs and copies them here: a build that goes on meanwhile mustn't change what is measured."""
        say("building the engine and the player")
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        for package, example in EXAMPLES:
            self.run("cargo", "build", "--locked", "--quiet", "--release", "-p", package, "--example", example, cwd=ROOT)
            shutil.copy2(target / "release" / "examples" / example, self.path / example)
        (self.harness / "extra_players.py").write_text(OURS.format(program=self.path / "play_rtp"))

    def make_conditions(self, say):
        """Those that the reference material doesn't bring."""
        if not (SHARED / "data" / "impair").exists():
            return
        conditions = ROOT / "scripts" / "sound" / "conditions.py"
        if not (self.path / "traces" / "real_phone.pcap").exists():
            say("making the conditions from real calls")
            self.run(self.python, conditions, self.path, SHARED / "data" / "impair")
        made = self.path / "own_leg.txt"
        repaired = subprocess.run([self.path / "own_leg"], check=True, capture_output=True, text=True).stdout
        if not made.exists() or made.read_text() != repaired:
            say("making the conditions of our own leg, as they are after repair")
            made.write_text(repaired)
            try:
                self.run(self.python, conditions, self.path)
            except BaseException:
                made.unlink()  # so that they are made the next time
                raise

    def build_others(self, say):
        """Builds the players that exist only as libraries, as far as that can be done here."""
        attempts = (
            ("cplay", self.path / "cplay", self.build_c_players),
            ("neteq-crate", self.path / "crates/neteq_player/target/release/neteq_player", self.build_neteq),
            ("webrtc", self.path / "node_modules/@roamhq/wrtc", self.build_webrtc),
            ("pjmedia", self.path / "pjplay", self.build_pjmedia),
        )
        for name, result, build in attempts:
            if result.exists():
                continue
            try:
                build()
            except (subprocess.CalledProcessError, OSError) as error:
                say(f"{name} can't be built here: {error}")

    def build_c_players(self):
        source = self.harness / "cplay.c"
        self.run("gcc", "-O2", "-o", self.path / "cplay", source, "-lspeexdsp", "-lspandsp", "-lm")

    def build_neteq(self):
        package = self.path / "crates" / "neteq_player"
        (package / "src").mkdir(parents=True, exist_ok=True)
        (package / "Cargo.toml").write_text(NETEQ)
        shutil.copy2(ROOT / "scripts" / "sound" / "neteq_player.rs", package / "src" / "main.rs")
        environment = {**os.environ, "CARGO_TARGET_DIR": str(package / "target")}
        self.run("cargo", "build", "--quiet", "--release", cwd=package, env=environment)

    def build_webrtc(self):
        self.run("npm", "install", "--silent", "--no-save", "--prefix", self.path, "@roamhq/wrtc", stdout=subprocess.DEVNULL)

    def build_pjmedia(self):
        """Wants an installed PJSIP that pkg-config finds."""
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libpjproject"], check=True, capture_output=True, text=True)
        self.run("gcc", "-O2", "-o", self.path / "pjplay", self.harness / "pjplay.c", *flags.stdout.split())
