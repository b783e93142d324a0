//! Reason codes: why there is sound, or why there is none. One code, one sentence, one fix; the same code stands in the
//! log, the API, the summary of a session and `silentmon explain`.
//!
//! `mod` holds the codes; `pages` what is to be said of each at length, `evidence` what a finding rests on, `hop` how one
//! hop of the way stands.

mod evidence;
mod hop;
mod pages;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use evidence::Evidence;
pub use hop::{Hop, Outcome};
pub use pages::{Markdown, Page, Terminal, page};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $hop:literal, $sentence:literal, $fix:literal;)*) => {
        /// A reason code, written `SM-2111`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The hop of the way from authority to loudspeaker that the code belongs to.
            pub const fn hop(self) -> &'static str {
                match self { $(Self::$name => $hop,)* }
            }

            /// What the code means, as a sentence without numbers.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }

            /// What to do about it; empty where nothing is to be done.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix,)* }
            }
        }
    };
}

codes! {
    /// Audio is flowing.
    AudioFlowing = 0, "all good", "Audio is flowing.", "";
    /// The supervisor may not listen to this agent.
    NotAuthorised = 1001, "authority", "You may not listen to this agent.", "Ask for the role or the team that may.";
    /// Too many failed sign-ins.
    LockedOut = 1002, "lock-out", "Monitoring is locked for you after failed sign-ins.", "Wait, or have it unlocked.";
    /// Policy excludes this call, or what was asked for.
    ExcludedByPolicy = 1003, "policy", "This is excluded from listening by policy.", "See [policy] in the server's configuration.";
    /// No CTI events.
    CtiLinkDown = 1201, "CTI link", "No CTI events arrive.", "Check host, port and password of the CTI link.";
    /// The CTI source refuses the session.
    CtiRefused = 1202, "CTI link", "The CTI source refuses the session.", "Check client id, password, protocol version and masks of the CTI link.";
    /// A plain CTI port answered a TLS handshake.
    CtiPortIsPlain = 1203, "CTI link", "The TLS handshake was answered by a plain CTI port.", "Use the secure port.";
    /// The agent is signed out or was never heard of.
    AgentNotSignedIn = 1210, "agent", "The agent is not signed in.", "Check the agent's number, or wait for him to sign in.";
    /// The agent is not on a call.
    AgentNotOnCall = 1211, "agent", "The agent is not on a call; waiting for the next call.", "";
    /// On a call, but nobody told the media address.
    NoMediaAddress = 1220, "address", "The agent is talking but the CTI source gave no media address.", "Enable RTP events, or list the device in [devices].";
    /// No capture server can be reached.
    NoCaptureServer = 2001, "capture server", "No capture server answers.", "Check firewall, service and certificate.";
    /// A certificate was refused.
    CertificateRefused = 2002, "TLS", "A certificate was refused.", "Check dates, issuer, role and revocation with `silentmon certs inspect`.";
    /// The SPAN NIC receives nothing.
    NoFrames = 2101, "SPAN", "The capture interface receives no frames.", "Check cable and SPAN session.";
    /// The SPAN NIC isn't promiscuous.
    OnlyOwnTraffic = 2104, "promiscuous", "The capture interface receives only its own and broadcast traffic.", "Let the virtual switch accept promiscuous mode on switch and port group.";
    /// The VLAN tags are lost.
    TagsLost = 2105, "tags", "Frames arrive without the VLAN tag, and the agent's address is ambiguous.", "Mirror with `encapsulation replicate`; check the driver.";
    /// The sound is cut off the frames.
    FramesCutShort = 2106, "mirror", "Frames arrive cut short; the sound at their end is missing.", "Mirror whole frames: no truncation, and room for the mirror's own headers (MTU).";
    /// Voice, but not this agent's.
    AgentNotInMirror = 2110, "mirror", "Voice arrives but none for this agent's phone.", "The wrong gateway is mirrored, or an address is translated on the way.";
    /// One direction only.
    OneSideOnly = 2111, "mirror", "Only one side of the call is visible.", "Mirror both directions, or add a second capture server.";
    /// Everything twice.
    DuplicateMirror = 2112, "mirror", "Every packet arrives twice; duplicates are removed.", "Let SPAN sources not overlap.";
    /// The mirror loses packets.
    MirrorLoses = 2113, "mirror", "The mirror loses packets; the call itself is fine.", "The SPAN port is oversubscribed.";
    /// SRTP.
    Encrypted = 2120, "media", "The call is encrypted (SRTP); it can't be heard.", "Change the phone's security profile.";
    /// No decoder.
    CodecNotBuiltIn = 2121, "media", "The call's codec is not built in.", "Choose another codec for the region.";
    /// The driver discards tagged frames.
    DriverDiscardsTags = 2201, "NIC test", "The driver discards 802.1Q frames.", "Change the offload setting or the vendor's mode.";
    /// Long frames arrive short.
    FramesCutByNic = 2202, "NIC test", "Frames arrive cut short.", "Raise the interface's MTU; look for a snap length or buffer size in the driver.";
    /// Frames arrive changed.
    FramesDamaged = 2203, "NIC test", "Frames arrive damaged.", "Try another cable and port, then turn offloads off one by one.";
    /// Frames don't arrive at the rate of many calls.
    FramesLost = 2204, "NIC test", "Frames are lost on the way to the capture layer.", "Longer receive rings, more queues; see where `nic-test` counted the loss.";
    /// Stamps can't be measured by.
    StampsWrong = 2205, "NIC test", "The frames' time stamps are wrong.", "Check the clock source and the synchronisation of hardware stamps.";
    /// Nothing arrives at the supervisor.
    RelayBlocked = 3001, "relay", "The server sends audio but none arrives.", "Open UDP 42228 in the firewall.";
    /// The path is too slow.
    RelayLate = 3002, "relay", "Packets arrive too late to play.", "Give the audio its class of service (DSCP EF).";
    /// Members with different service ports.
    ServicePortMismatch = 3104, "cluster", "All members of a cluster must use one service port.", "Correct service.listen.";
    /// A server that can't be a member.
    ForeignMember = 3105, "cluster", "A server can't be a member of this cluster.", "Correct cluster.cluster or cluster.peers, its name and certificate, or upgrade the older member.";
    /// No sound card.
    NoSoundCard = 4001, "sound", "No sound card can be opened.", "Choose another output device.";
    /// Output is muted.
    OutputMuted = 4002, "sound", "Your output is muted.", "Unmute.";
    /// Payment pause.
    PaymentPause = 5001, "policy", "Muted by payment pause.", "It ends by itself.";
    /// Audit can't be written.
    AuditUnwritable = 5002, "audit", "The audit journal can't be written; listening is refused.", "Check disk and rights.";
}

impl Code {
    /// The code's number, 0 to 9999.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// How the hop stands that the code is found at.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::AudioFlowing => Outcome::Ok,
            Self::AgentNotOnCall => Outcome::Waiting,
            Self::DuplicateMirror | Self::MirrorLoses | Self::RelayLate => Outcome::Warning,
            _ => Outcome::Broken,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SM-{:04}", self.number())
    }
}

/// A text that is no reason code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a reason code such as SM-2111, found \"{0}\"")]
pub struct UnknownCode(String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let number = text
            .strip_prefix("SM-")
            .or_else(|| text.strip_prefix("sm-"))
            .unwrap_or(text)
            .parse::<u16>()
            .ok();
        let known = Self::ALL.iter().copied().find(|code| Some(code.number()) == number);
        known.ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A code with its sentence and evidence filled in for the case at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The code.
    pub code: Code,
    /// The sentence for people, with the numbers.
    pub text: String,
    /// What it rests on.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
}

impl Reason {
    /// The code with a sentence of its own.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            evidence: Evidence::new(),
        }
    }

    /// The code with words, which get a capital letter and a full stop.
    pub fn in_words(code: Code, words: &str) -> Self {
        let mut letters = words.chars();
        let first = letters.next().map(|letter| letter.to_uppercase().to_string());
        Self::new(code, format!("{}{}.", first.unwrap_or_default(), letters.as_str()))
    }

    /// The same with what it rests on.
    #[must_use]
    pub fn with_evidence(self, evidence: Evidence) -> Self {
        Self { evidence, ..self }
    }

    /// The same without what it rests on: counters change while the reason stays.
    #[must_use]
    pub fn without_evidence(&self) -> Self {
        Self::new(self.code, self.text.clone())
    }
}

impl From<Code> for Reason {
    fn from(code: Code) -> Self {
        Self::new(code, code.sentence())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_it_is_written() {
        for &code in Code::ALL {
            assert_eq!(code.to_string().parse(), Ok(code));
            assert!(code.sentence().ends_with('.'), "{code}");
        }
        assert_eq!(Code::OneSideOnly.to_string(), "SM-2111");
        assert_eq!(Code::AudioFlowing.to_string(), "SM-0000");
    }

    #[test]
    fn an_unknown_code_is_refused_by_name() {
        let error = "SM-9999".parse::<Code>().expect_err("no such code");
        assert!(error.to_string().contains("SM-9999"));
    }
}
