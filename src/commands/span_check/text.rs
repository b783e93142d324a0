//! A survey in words: the table while it runs, and the report at its end.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use silentmon_capture_core::survey::{Report, Severity, TagShare, Verdict};
use silentmon_capture_io::link::LinkFacts;

use super::Document;

/// Streams shown one by one to a person.
const STREAMS: usize = 20;
/// Stacks of tags and addresses shown.
const ROWS: usize = 8;

/// The whole report.
pub(super) fn lines(document: &Document) -> Vec<String> {
    let report = &document.report;
    let mut lines = vec![format!("{}: {}", document.source, verdict(report))];
    for finding in &report.findings {
        lines.push(format!("  {} {}", finding.code, finding.text));
        lines.push(format!("          {}", finding.fix));
    }
    lines.extend(report.notes.iter().map(|note| format!("  note    {note}")));
    lines.extend(
        facts(document)
            .into_iter()
            .map(|(name, value)| format!("  {name:<14}{value}")),
    );
    for stream in report.streams.iter().take(STREAMS) {
        let vlan = vlan(&stream.vlan);
        let encrypted = if stream.encrypted { ", encrypted" } else { "" };
        lines.push(format!(
            "  {}  {} > {}  VLAN {vlan}  {}  {} packets, {} lost, {} duplicates{encrypted}",
            stream.ssrc,
            stream.source,
            stream.destination,
            stream.codec,
            stream.packets,
            stream.lost,
            stream.duplicates
        ));
    }
    let more = report.rtp.streams.saturating_sub(STREAMS as u64);
    if more > 0 {
        lines.push(format!("  and {more} more streams"));
    }
    lines
}

/// The verdict in a sentence.
pub(super) fn verdict(report: &Report) -> &'static str {
    match report.verdict {
        Verdict::Healthy => "nothing is wrong; calls can be heard",
        Verdict::Impaired => "calls can be heard; something is to be put right",
        Verdict::Broken => "calls can't be heard, or only some or in part",
        Verdict::NoVoice => "no voice; nothing can be said of calls",
        Verdict::NoFrames => "no frames; nothing can be said",
    }
}

/// What a finding means for listening.
pub(super) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Breaks => "breaks listening",
        Severity::Impairs => "impairs listening",
    }
}

/// What was seen, each fact with its name.
pub(super) fn facts(document: &Document) -> Vec<(&'static str, String)> {
    let report = &document.report;
    let mut facts = Vec::new();
    facts.extend(document.link.as_ref().map(|facts| ("link", link(facts))));
    facts.push(("frames", frames(report)));
    facts.push(("tags", tags(report)));
    if !report.frames.tunnels.is_empty() {
        facts.push(("tunnels", listed(&report.frames.tunnels)));
    }
    facts.push(("addressed to", destinations(report)));
    facts.push(("voice", voice(report)));
    facts.push(("calls", calls(report)));
    facts.push(("lost", losses(report)));
    facts.push(("signalling", signalling(report)));
    facts.push(("other frames", listed(&report.frames.others)));
    facts.push(("gateways", gateways(report)));
    facts.push(("top talkers", talkers(report)));
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// The table while the survey runs.
pub(super) fn table(interface: &str, report: &Report, left: Duration) -> Vec<String> {
    let mut lines = vec![format!("{interface}  {} s left, Ctrl-C ends it now", left.as_secs())];
    let rows = [
        ("frames", frames(report)),
        ("tags", tags(report)),
        ("addressed to", destinations(report)),
        ("voice", voice(report)),
        ("calls", calls(report)),
        ("lost", losses(report)),
        ("signalling", signalling(report)),
        ("gateways", gateways(report)),
    ];
    let filled = rows.iter().filter(|(_, value)| !value.is_empty());
    lines.extend(filled.map(|(name, value)| format!("  {name:<14}{value}")));
    lines.extend(
        report
            .findings
            .iter()
            .map(|finding| format!("  {} {}", finding.code, finding.text)),
    );
    lines.iter().map(|line| clipped(line)).collect()
}

/// A longer line would wrap, and the table be drawn one line too low.
fn clipped(line: &str) -> String {
    const COLUMNS: usize = 79;
    line.chars().take(COLUMNS).collect()
}

/// One line for a log.
pub(super) fn progress(report: &Report) -> String {
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code.to_string()).collect();
    let found = if codes.is_empty() {
        "nothing wrong so far".to_owned()
    } else {
        codes.join(" ")
    };
    format!(
        "{} s: {} frames, {} streams, {} calls in both directions; {found}",
        report.frames.seconds, report.frames.total, report.rtp.streams, report.calls.two_way
    )
}

fn link(facts: &LinkFacts) -> String {
    let mut parts = Vec::new();
    parts.extend(
        facts
            .carrier
            .map(|carrier| if carrier { "carrier" } else { "no carrier" }.to_owned()),
    );
    parts.extend(facts.speed_mbps.map(|speed| format!("{speed} Mbit/s")));
    parts.extend(facts.duplex.as_ref().map(|duplex| format!("{duplex} duplex")));
    parts.extend(facts.driver.as_ref().map(|driver| format!("driver {driver}")));
    parts.extend(facts.mtu.map(|mtu| format!("MTU {mtu}")));
    let promiscuous = |yes| if yes { "promiscuous" } else { "not promiscuous" }.to_owned();
    parts.extend(facts.promiscuous.map(promiscuous));
    parts.extend(facts.address.clone());
    parts.join(", ")
}

fn frames(report: &Report) -> String {
    let frames = &report.frames;
    let mut text = format!("{} in {} s, {} bytes", frames.total, frames.seconds, frames.bytes);
    for (count, what) in [
        (frames.cut_by_capture, "cut by the capture"),
        (frames.cut_by_mirror, "cut by the mirror"),
    ] {
        if count > 0 {
            text.extend([", ", &count.to_string(), " ", what]);
        }
    }
    text
}

fn tags(report: &Report) -> String {
    let mut parts: Vec<_> = report.tags.stacks.iter().take(ROWS).map(stack).collect();
    if report.tags.untagged > 0 {
        parts.push(format!(
            "untagged {} ({} %)",
            report.tags.untagged, report.tags.untagged_percent
        ));
    }
    let beyond: u64 = report.tags.stacks.iter().skip(ROWS).map(|stack| stack.frames).sum();
    let beyond = beyond + report.tags.unlisted;
    if beyond > 0 {
        parts.push(format!("others {beyond}"));
    }
    parts.join("; ")
}

fn stack(share: &TagShare) -> String {
    let priorities: Vec<_> = share.priorities.keys().map(u8::to_string).collect();
    format!(
        "VLAN {} {} ({} %), priority {}",
        vlan(&share.vlan),
        share.frames,
        share.percent,
        priorities.join(",")
    )
}

/// A stack of tags as people write it.
pub(super) fn vlan(ids: &[u16]) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    ids.iter().map(u16::to_string).collect::<Vec<_>>().join(".")
}

fn destinations(report: &Report) -> String {
    let to = &report.destinations;
    let others = if to.own_known {
        "other stations"
    } else {
        "single stations"
    };
    let counts = [
        (to.own, "this interface"),
        (to.foreign, others),
        (to.broadcast, "all (broadcast)"),
        (to.multicast, "groups (multicast)"),
        (to.without_address, "nobody (no link layer)"),
    ];
    counted(&counts)
}

fn voice(report: &Report) -> String {
    let rtp = &report.rtp;
    if rtp.streams == 0 {
        return "none".to_owned();
    }
    let codecs: Vec<_> = rtp
        .codecs
        .iter()
        .map(|share| format!("{} {}", share.streams, share.codec))
        .collect();
    let mut text = format!(
        "{} streams ({}), {} packets",
        rtp.streams,
        codecs.join(", "),
        rtp.packets
    );
    for (count, what) in [(rtp.encrypted, "streams encrypted"), (report.copies.total(), "copies")] {
        if count > 0 {
            text.extend([", ", &count.to_string(), " ", what]);
        }
    }
    text
}

fn calls(report: &Report) -> String {
    let calls = &report.calls;
    counted(&[
        (calls.two_way, "in both directions"),
        (calls.one_way, "in one only"),
        (calls.too_short, "too short to say"),
    ])
}

fn losses(report: &Report) -> String {
    let mut parts = Vec::new();
    if report.rtp.streams > 0 {
        parts.push(format!("{} of {} voice packets", report.rtp.lost, report.rtp.expected));
    }
    let kernel = report.counters.unwrap_or_default();
    let more = counted(&[
        (report.losses.in_call, "in the calls"),
        (report.losses.in_mirror, "in the mirror"),
        (kernel.dropped, "frames dropped by the kernel"),
        (kernel.dropped_by_interface, "by the interface"),
    ]);
    parts.extend(Some(more).filter(|more| !more.is_empty()));
    parts.join(": ")
}

fn signalling(report: &Report) -> String {
    let seen = &report.signalling;
    counted(&[
        (seen.sip, "SIP"),
        (seen.sccp, "SCCP"),
        (seen.rtcp, "RTCP"),
        (report.rtp.dtls, "DTLS"),
        (report.rtp.stun, "STUN"),
    ])
}

fn gateways(report: &Report) -> String {
    let gateways = report.gateways.iter().take(ROWS);
    let texts: Vec<_> = gateways
        .map(|gateway| {
            format!(
                "{} ({} streams, {} peers)",
                gateway.address, gateway.streams, gateway.peers
            )
        })
        .collect();
    texts.join(", ")
}

fn talkers(report: &Report) -> String {
    let talkers = report.talkers.iter().take(ROWS);
    let texts: Vec<_> = talkers
        .map(|talker| {
            format!(
                "{} ({} bytes)",
                talker.address,
                talker.bytes_sent + talker.bytes_received
            )
        })
        .collect();
    texts.join(", ")
}

/// What there is of it, with its name.
fn counted(counts: &[(u64, &str)]) -> String {
    let present = counts.iter().filter(|(count, _)| *count > 0);
    present
        .map(|(count, what)| format!("{count} {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn listed<K: Display>(counts: &BTreeMap<K, u64>) -> String {
    counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect::<Vec<_>>()
        .join(", ")
}
