//! Pages about the way from the server to the supervisor's ear.

use super::Page;
use crate::reason::Code;

pub(super) const RELAY_BLOCKED: Page = Page {
    meaning: "The server captures the call and sends it to you; the connection stands, but its audio doesn't arrive.",
    recognised: "Over at least 2 s the server counted 25 or more packets sent, and less than half of them were \
        received here. The server's counts come over the control stream of the same connection.",
    evidence: "Packets sent, received and late, and over which time.",
    causes: &[
        "A firewall or an intrusion prevention system that thins out or drops small UDP packets, or packets marked DSCP EF.",
        "A VPN client or WAN link that polices the EF class to nothing.",
        "A path with a smaller MTU than it says, with ICMP \"fragmentation needed\" filtered.",
    ],
    remedies: &[
        "Compare what leaves the server with what arrives at the desktop.\n$ tcpdump -ni eth0 udp port 42228",
        "Let UDP 42228 pass in both directions, without rate limits and inspection.",
        "See where the EF class is policed.\n$ show policy-map interface",
        "Test again.\n$ silentmon doctor --agent ID --listen …",
    ],
    related: &[Code::RelayLate, Code::NoCaptureServer],
};

pub(super) const RELAY_LATE: Page = Page {
    meaning: "Packets arrive, but many of them after they should have been played. What is heard is broken up.",
    recognised: "20 % or more of the packets of the last 2 s came after their time, with the delay that the preset allows.",
    evidence: "Packets sent, received and late, and over which time.",
    causes: &[
        "The way to the supervisor is congested, and audio waits behind other traffic.",
        "Wi-Fi with power saving or a weak signal.",
        "--max-delay-ms or the preset low leave no room for the jitter there is.",
    ],
    remedies: &[
        "Give the audio its class: it is marked DSCP EF (46). See that it keeps the mark up to the desktop.\n\
        $ tcpdump -nvi eth0 udp port 42228",
        "Use --preset smooth, or a larger --max-delay-ms.",
        "Use a cable instead of Wi-Fi.",
    ],
    related: &[Code::RelayBlocked, Code::MirrorLoses],
};

pub(super) const NO_SOUND_CARD: Page = Page {
    meaning: "The sound can't be played on this machine: there is no output of this name, or it can't be opened.",
    recognised: "The output was opened, as it would be for listening, and the sound system refused.",
    evidence: "The output that was asked for; the sentence has the names there are, or the device's error.",
    causes: &[
        "A headset that isn't plugged in, or has another name since it was last.",
        "Another program uses the device alone.",
        "The user may not use sound devices (on Linux: group audio), or no sound server runs in this session.",
        "A remote desktop or a server without any sound card.",
    ],
    remedies: &[
        "See which outputs there are.\n$ aplay -L",
        "Choose another: --output DEVICE, or output = \"DEVICE\" in playback.toml.",
        "See who holds the device.\n$ fuser -v /dev/snd/*",
        "On a remote desktop use output = \"browser\" of the playback service.",
    ],
    related: &[Code::OutputMuted],
};

pub(super) const OUTPUT_MUTED: Page = Page {
    meaning: "Sound arrives and is decoded, and your own settings keep it from being heard.",
    recognised: "Both sides are muted in the program, or its volume is at its lowest (-60 dB). The mixer of the operating system isn't \
        looked at: the meters move while it mutes.",
    evidence: "Which sides are muted, and the volume.",
    causes: &[
        "The mute of both sides was pressed on the terminal of `listen`, or set over the local interface.",
        "The volume was turned down to the end.",
        "Not told: the headset's mute key, or the system's volume at zero.",
    ],
    remedies: &[
        "Unmute: m on the terminal of `listen`; PATCH /v1/sound with {\"mute\":[]} over the local interface.",
        "Look at the system's mixer.\n$ alsamixer\n$ pactl list sinks | grep -i mute",
    ],
    related: &[Code::NoSoundCard],
};
