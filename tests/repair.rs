//! The main job over a path that loses: what capture service and `listen` lose between them is asked for and sent again.
#![allow(clippy::expect_used, reason = "a test that can't go on panics")]

mod common;
#[path = "../transport/tests/common/relay.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod relay;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::punctual::{BEARABLE, on_a_machine_that_keeps_time};
use common::{House, common_run, exact, fixture, said, wav_channels};
use relay::{PathModel, Pattern, Relay};

const EVENTS: &str = include_str!("fixtures/call.events.jsonl");
const RATE: usize = 8000;

#[test]
fn every_sample_of_a_call_is_heard_over_a_path_that_loses_five_percent() {
    on_a_machine_that_keeps_time(BEARABLE, hears_every_sample);
}

fn hears_every_sample() {
    let house = House::build();
    let source = format!("{{ file = '{}', loop = true }}", fixture("call.pcap.gz").display());
    let server = house.configure(&source, EVENTS, "recording = \"allowed\"");
    let _service = house.start();
    let path = Relay::start(
        server,
        PathModel {
            delay: Duration::from_millis(20),
            loss: 0.05,
            pattern: Pattern::Regular,
            bottleneck: None,
        },
    );
    let wav = house.text("heard.wav");
    let output = house
        .listen(
            "anna",
            "4711",
            path.address,
            &["--output", &format!("wav:{wav}"), "--for", "9"],
        )
        .output()
        .expect("listen runs");
    assert!(output.status.success(), "{}", said(&output));
    assert!(path.to_client.dropped.load(Ordering::Relaxed) > 20, "the path loses");

    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON summary");
    for (leg, heard) in ["agent", "customer"].iter().zip(wav_channels(wav.as_ref())) {
        let counts = &summary["legs"][leg];
        let count = |name: &str| counts[name].as_u64().expect("a count");
        // A packet and all that was sent again for it may be lost too, but that is rare.
        assert!(count("lost_on_relay") - count("repaired") <= 1, "{summary}");
        assert!(count("repaired") > 5, "{summary}");
        let (begin, length) = common_run(&heard, &exact(&house, leg));
        assert!(begin < 2 * RATE, "{leg}: identical from sample {begin} on");
        assert!(length > 6 * RATE, "{leg}: {length} samples identical, then they differ");
    }
}
