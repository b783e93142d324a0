//! What stays of a call in the capture server's memory: nothing, once nobody listens.

use std::time::{Duration, Instant};

use super::lab::{self, Lab};
use super::{BEARS, listen};
use crate::common::House;
use crate::common::memory::Traces;
use crate::common::punctual::on_a_machine_that_keeps_time;

#[test]
fn nothing_of_a_call_stays_in_the_servers_memory_after_the_session() {
    on_a_machine_that_keeps_time(BEARS, || {
        let Some(lab) = Lab::build() else { return };
        let house = House::build();
        let capture = lab::media(&house, "vlan", "81");
        let server = lab::configure(&house, "recording = \"allowed\"");
        let service = lab.serve(&house);
        let traces = Traces::of_capture(&capture);
        let listener = listen(&lab, &house, "anna", "4711", server);
        lab::wait_for_sessions(&house, 1);
        let _mirror = lab.play(&capture);
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            match traces.count_in(service.id()) {
                None => return eprintln!("skipped: needs to read another program's memory"),
                Some(0) => assert!(Instant::now() < deadline, "what is sent again on demand is in memory"),
                Some(_) => break,
            }
        }
        let _ = listener.finish_at(2.0);
        // The mirror goes on; the kernel filter keeps it out.
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Some(left) = traces.count_in(service.id()).filter(|left| *left > 0) {
            assert!(Instant::now() < deadline, "{left} packets are still in memory");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}
