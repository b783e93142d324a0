//! CSTA: documents, framing in any portions, and a link that is told whatever comes.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use silentmon_capture_core::link::csta::{CstaLink, CstaSettings};
use silentmon_capture_core::link::{Endpoint, Link, StreamLink};
use silentmon_proto::cti::csta::{Framer, Message, normalize};
use silentmon_proto::cti::xml;
use silentmon_proto::ids::LinkName;
use silentmon_proto::time::Instant;

fuzz_target!(|bytes: &[u8]| {
    let _ = Message::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = normalize(text);
        assert_eq!(xml::parse(format!("<a>{}</a>", xml::escape(text)).as_bytes()).is_ok(), is_xml(text));
    }
    let portion = usize::from(bytes.first().copied().unwrap_or(1)).max(1);
    let mut framer = Framer::default();
    for portion in bytes.chunks(portion) {
        framer.push(portion);
        while let Ok(Some(frame)) = framer.next_frame() {
            assert_eq!(frame.to_bytes().map(|bytes| bytes.len()), Ok(frame.document.len() + 8));
        }
    }
    drive(bytes);
});

/// Any text may be escaped and read; only the reader's size limits it.
fn is_xml(text: &str) -> bool {
    text.len() < xml::MAX_BYTES / 8
}

/// Documents, one a line, as answers to what the link asks and as events; a blank line lets time pass.
fn drive(bytes: &[u8]) {
    let mut now = Instant::from_parts(1_700_000_000, 0);
    let settings = CstaSettings::new(LinkName::new("fuzz"), vec!["3001".into(), "3002".into()]);
    let mut link = CstaLink::new(settings, now);
    let endpoint = Endpoint(0);
    link.handle_connected(endpoint, now);
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            now += Duration::from_secs(3);
            while let Some(at) = link.poll_timeout()
                && at <= now
            {
                link.handle_timeout(at);
                assert!(link.poll_timeout().is_none_or(|next| next > at), "time-outs advance");
            }
            link.handle_connected(endpoint, now);
        }
        for id in [number % 9999, 9999] {
            let Ok(length) = u32::try_from(line.len() + 8) else { return };
            let header = [&length.to_be_bytes()[..], format!("{id:04}").as_bytes()].concat();
            link.handle_bytes(endpoint, &[&header[..], line].concat(), now);
        }
        while link.poll_output().is_some() {}
        while link.poll_event().is_some() {}
    }
}
