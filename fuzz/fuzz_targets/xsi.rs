//! The BroadWorks event stream, in two portions whose border means nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_proto::cti::risport;
use silentmon_proto::cti::xsi::{StreamItem, StreamReader, Subscription};

fuzz_target!(|bytes: &[u8]| {
    let Ok(whole) = StreamReader::default().push(bytes) else {
        return;
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut reader = StreamReader::default();
    let parts = [reader.push(first), reader.push(second)].map(|part| part.expect("as small"));
    assert_eq!(parts.concat(), whole);
    for document in whole {
        let _ = StreamItem::parse(&document);
        let _ = Subscription::parse(&document);
        let _ = risport::parse(&document);
    }
});
