//! What is wrong with a mirror: reason codes with their evidence in numbers and what to do, the worst first.

use serde::Serialize;
use silentmon_proto::reason::Code;

use super::calls::Calls;
use super::copies::CopyCause;
use super::percent;
use super::report::Report;

/// Copies below this, or a smaller share than [`COPIES_PERCENT`], are single packets that someone sent twice.
const COPIES: u64 = 10;
const COPIES_PERCENT: f64 = 1.0;
/// The same for packets that the mirror lost.
const LOST: u64 = 10;
const LOST_PERCENT: f64 = 0.5;
/// Above this, words are lost.
const LOST_BREAKS_PERCENT: f64 = 5.0;
/// The same for packets that came cut short.
const CUT: u64 = 10;
const CUT_PERCENT: f64 = 1.0;

/// How much harm it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Calls can't be heard, or only in part.
    Breaks,
    /// They can be heard; something is to be put right.
    Impairs,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The reason code.
    pub code: Code,
    /// How much harm it does.
    pub severity: Severity,
    /// What was seen, with its numbers.
    pub text: String,
    /// What to do.
    pub fix: String,
}

/// All in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Calls can be heard, and nothing is wrong.
    Healthy,
    /// Calls can be heard; something is to be put right.
    Impaired,
    /// Some or all calls can't be heard.
    Broken,
    /// Frames, but no voice: nothing can be said of calls.
    NoVoice,
    /// No frames at all.
    NoFrames,
}

/// Fills in findings, notes and the verdict.
pub(super) fn judge(report: &mut Report, calls: &Calls) {
    let mut findings = Vec::new();
    findings.extend(no_frames(report));
    findings.extend(only_own_traffic(report));
    findings.extend(cut_short(report));
    findings.extend(one_side_only(report, calls));
    findings.extend(encrypted(report));
    findings.extend(not_built_in(report));
    findings.extend(mirror_loses(report));
    findings.extend(machine_loses(report));
    findings.extend(copies(report));
    findings.sort_by_key(|finding| finding.severity);
    report.verdict = verdict(report, &findings);
    report.findings = findings;
    report.notes = notes(report, calls);
}

fn verdict(report: &Report, findings: &[Finding]) -> Verdict {
    if report.frames.total == 0 {
        return Verdict::NoFrames;
    }
    match findings.first().map(|finding| finding.severity) {
        Some(Severity::Breaks) => Verdict::Broken,
        _ if report.rtp.streams == 0 => Verdict::NoVoice,
        Some(Severity::Impairs) => Verdict::Impaired,
        None => Verdict::Healthy,
    }
}

impl Finding {
    fn new(code: Code, severity: Severity, text: String) -> Self {
        let fix = code.fix().to_owned();
        Self {
            code,
            severity,
            text,
            fix,
        }
    }

    fn with_fix(self, fix: &str) -> Self {
        Self {
            fix: fix.to_owned(),
            ..self
        }
    }
}

fn no_frames(report: &Report) -> Option<Finding> {
    let text = "Not a single frame arrived.".to_owned();
    (report.frames.total == 0).then(|| Finding::new(Code::NoFrames, Severity::Breaks, text))
}

/// A tunnel ends at this very interface: what it brings is addressed to it and yet a mirror's.
fn only_own_traffic(report: &Report) -> Option<Finding> {
    let to = &report.destinations;
    let addressed = to.own + to.broadcast + to.multicast;
    if !to.own_known || to.foreign > 0 || to.own_tunnelled > 0 || addressed == 0 {
        return None;
    }
    let text = format!(
        "In {} s none of {} frames was addressed to another station: {} to this interface, {} broadcast, {} multicast.",
        report.frames.seconds, report.frames.total, to.own, to.broadcast, to.multicast
    );
    Some(Finding::new(Code::OnlyOwnTraffic, Severity::Breaks, text).with_fix(
        "Check that the SPAN session is on and this its destination. On a virtual machine let switch and port group \
         accept promiscuous mode.",
    ))
}

fn cut_short(report: &Report) -> Option<Finding> {
    let cut = report.rtp.cut_short + report.rtp.cut;
    let share = percent(cut, report.rtp.packets + report.rtp.cut);
    // Without a stream beside it, what looks like the beginning of RTP may be anything.
    if report.rtp.streams == 0 || cut < CUT || share < CUT_PERCENT {
        return None;
    }
    let frames = &report.frames;
    let (whose, fix) = if frames.cut_by_capture >= frames.cut_by_mirror {
        (
            "the capture's snap length",
            "Capture whole frames: a snap length of at least 1600 bytes, or none.",
        )
    } else {
        ("whoever mirrored the frames", Code::FramesCutShort.fix())
    };
    let text = format!("{cut} voice packets ({share} %) are cut short by {whose}.");
    Some(Finding::new(Code::FramesCutShort, Severity::Breaks, text).with_fix(fix))
}

/// A call on hold or an announcement is one-way by nature: it takes half of all calls to blame the mirror.
fn one_side_only(report: &Report, calls: &Calls) -> Option<Finding> {
    let one_way = report.calls.one_way;
    let all = one_way + report.calls.two_way;
    let most = calls.one_way().first()?;
    if one_way * 2 < all {
        return None;
    }
    let text = format!(
        "Of {one_way} of {all} calls only one side is visible: {} packets from {} to {}, none back.",
        most.packets, most.source, most.destination
    );
    Some(Finding::new(Code::OneSideOnly, Severity::Breaks, text).with_fix(
        "Mirror both directions of the source (`both`, not `rx` or `tx`). Where the ways differ, mirror the other path \
         too, here or with a second capture server.",
    ))
}

fn encrypted(report: &Report) -> Option<Finding> {
    let (encrypted, streams) = (report.rtp.encrypted, report.rtp.streams);
    let dtls = match report.rtp.dtls {
        0 => String::new(),
        records => format!(", {records} DTLS records beside them"),
    };
    let text = format!("{encrypted} of {streams} streams are encrypted (SRTP){dtls}: they can't be heard.");
    (encrypted > 0).then(|| Finding::new(Code::Encrypted, Severity::Breaks, text))
}

fn not_built_in(report: &Report) -> Option<Finding> {
    let codecs = report.rtp.codecs.iter().filter(|share| share.built_in == Some(false));
    let named: Vec<_> = codecs
        .map(|share| format!("{} ({})", share.codec, share.streams))
        .collect();
    let text = format!(
        "Of {} streams these use a codec that is not built in: {}.",
        report.rtp.streams,
        named.join(", ")
    );
    (!named.is_empty()).then(|| Finding::new(Code::CodecNotBuiltIn, Severity::Breaks, text))
}

fn mirror_loses(report: &Report) -> Option<Finding> {
    let lost = report.losses.in_mirror;
    let share = percent(lost, report.rtp.expected);
    if lost < LOST || share < LOST_PERCENT {
        return None;
    }
    let text = format!(
        "The mirror loses {share} % of the voice: {lost} packets are missing in gaps that several streams have at once, \
         {} in gaps of single streams.",
        report.losses.in_call
    );
    Some(Finding::new(Code::MirrorLoses, severity_of_loss(share), text).with_fix(
        "The SPAN port is oversubscribed: mirror fewer ports or VLANs, only those of the gateway, or use a faster \
         destination port.",
    ))
}

fn machine_loses(report: &Report) -> Option<Finding> {
    let counters = report.counters?;
    let arrived = counters.received + counters.dropped_by_interface;
    let share = percent(counters.lost(), arrived);
    if counters.lost() < LOST || share < LOST_PERCENT {
        return None;
    }
    let text = format!(
        "This machine loses {share} % of the frames: {} dropped by the kernel, {} by the interface, of {arrived}.",
        counters.dropped, counters.dropped_by_interface
    );
    Some(
        Finding::new(Code::MirrorLoses, severity_of_loss(share), text)
            .with_fix("Give the capture a core of its own, and the interface a longer ring (`ethtool -G`)."),
    )
}

fn severity_of_loss(share: f64) -> Severity {
    if share >= LOST_BREAKS_PERCENT {
        Severity::Breaks
    } else {
        Severity::Impairs
    }
}

fn copies(report: &Report) -> Option<Finding> {
    let copies = &report.copies;
    let share = percent(copies.total(), copies.packets);
    if copies.total() < COPIES || share < COPIES_PERCENT {
        return None;
    }
    let mut causes = copies.by_cause();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told = causes.iter().filter(|(_, count)| *count > 0);
    let told: Vec<_> = told
        .map(|(cause, count)| format!("{count} {}", cause.words()))
        .collect();
    let text = format!(
        "{} of {} voice packets ({share} %) are copies: {}. They are removed.",
        copies.total(),
        copies.packets,
        told.join("; ")
    );
    let fix = causes.first().map_or("", |(cause, _)| cause.fix());
    Some(Finding::new(Code::DuplicateMirror, Severity::Impairs, text).with_fix(fix))
}

impl CopyCause {
    /// What the copies have in common and where they come from.
    pub const fn words(self) -> &'static str {
        match self {
            Self::SameFrame => {
                "of the very same frame (equal tags, MAC addresses and hops), mirrored where it enters and where it leaves"
            }
            Self::Routed => "from before and after a router (fewer hops left)",
            Self::OtherVlan => "with another tag (equal hops), mirrored in two VLANs or once without the tag",
            Self::OtherTunnel => "in another tunnel, or once in none",
            Self::OtherStations => {
                "with other MAC addresses (equal hops), from before and after a firewall or balancer"
            }
        }
    }

    /// What to do about it.
    pub const fn fix(self) -> &'static str {
        match self {
            Self::SameFrame => {
                "Let SPAN sources not overlap: mirror one port of the path in both directions, or several ports in one \
                 direction (`rx`)."
            }
            Self::Routed => "Mirror on one side of the router only: the gateway's own port, not the phones' VLAN too.",
            Self::OtherVlan => "Mirror one of the two VLANs, or filter the session to one (`filter vlan`).",
            Self::OtherTunnel => "Let one mirror session deliver this traffic, not two.",
            Self::OtherStations => "Mirror on one side of the device in between only.",
        }
    }
}

fn notes(report: &Report, calls: &Calls) -> Vec<String> {
    let mut notes = Vec::new();
    if report.verdict == Verdict::NoVoice {
        let cut = report.frames.cut_by_capture + report.frames.cut_by_mirror;
        let cut = if cut > 0 {
            format!(" ({cut} of them cut short)")
        } else {
            String::new()
        };
        notes.push(format!(
            "No voice was among {} frames{cut}: make a call through what is mirrored and look again.",
            report.frames.total
        ));
    }
    if report.rtp.streams > 0 && report.tags.untagged == report.frames.total {
        notes.push(
            "No frame has a VLAN tag. That is fine unless mirrored VLANs share addresses; then let the mirror keep the \
             tags (`encapsulation replicate`)."
                .to_owned(),
        );
    }
    let (one_way, all) = (report.calls.one_way, report.calls.one_way + report.calls.two_way);
    if let Some(most) = calls.one_way().first()
        && one_way * 2 < all
    {
        notes.push(format!(
            "{one_way} of {all} calls have one side only, such as {} to {}: on hold, announcements, or a path that isn't \
             mirrored.",
            most.source, most.destination
        ));
    }
    if report.losses.in_call > 0 {
        notes.push(format!(
            "The calls themselves miss {} of {} packets.",
            report.losses.in_call, report.rtp.expected
        ));
    }
    if report.rtp.evicted + report.losses.unwatched > 0 {
        notes.push(format!(
            "More streams than can be kept: {} were given up, {} packets not judged for losses.",
            report.rtp.evicted, report.losses.unwatched
        ));
    }
    notes
}
