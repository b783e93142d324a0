//! The capture service with the rights that its unit gives it, as an ordinary user.

use std::process::Command;
use std::time::Duration;

use super::lab::{self, Lab};
use super::{BEARS, listen};
use crate::common::punctual::on_a_machine_that_keeps_time;
use crate::common::{House, Service};

const UNIT: &str = include_str!("../../packaging/silentmon-capture.service");

/// The unit's capabilities in the words of setpriv: `-all,+net_raw`.
fn capabilities(key: &str) -> String {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let names = line.expect("the unit names capabilities").split_whitespace();
    names.fold("-all".to_owned(), |list, name| {
        list + ",+" + &name.trim_start_matches("CAP_").to_lowercase()
    })
}

/// The program in a folder that the user `nobody` can reach, wherever it was built.
fn reachable(house: &House) -> std::path::PathBuf {
    let (built, reachable) = (env!("CARGO_BIN_EXE_silentmon"), house.path("silentmon"));
    if std::fs::hard_link(built, &reachable).is_err() {
        std::fs::copy(built, &reachable).expect("copies");
    }
    reachable
}

/// The service's command as the user `nobody` with the unit's rights.
fn confined(house: &House) -> Command {
    let mut confined = Command::new("setpriv");
    confined
        .args([
            "--reuid",
            "nobody",
            "--regid",
            "nogroup",
            "--clear-groups",
            "--no-new-privs",
        ])
        .args(["--bounding-set", &capabilities("CapabilityBoundingSet")])
        .args(["--inh-caps", &capabilities("AmbientCapabilities")])
        .args(["--ambient-caps", &capabilities("AmbientCapabilities")])
        .arg(reachable(house))
        .args(["capture", "--config", &house.text("capture.toml")]);
    confined
}

#[test]
fn the_service_captures_as_an_ordinary_user_with_its_units_rights() {
    on_a_machine_that_keeps_time(BEARS, || {
        let Some(lab) = Lab::build() else { return };
        if let Err(reason) = lab::require("setpriv", "--version") {
            return eprintln!("skipped: {reason}");
        }
        let house = House::build();
        let capture = lab::media(&house, "vlan", "81");
        let server = lab::configure(&house, "recording = \"allowed\"");
        let owned = Command::new("chown")
            .args(["-R", "nobody"])
            .arg(house.path("."))
            .status();
        assert!(owned.expect("chown runs").success());
        let service = Service::start(lab.inside(&confined(&house)));
        // It has the NIC and the kernel filter open, and no right to open either again.
        for key in ["CapPrm", "CapEff", "CapAmb"] {
            let held = service.threads(key);
            assert!(held.iter().all(|set| set == "0000000000000000"), "{key} {held:?}");
        }
        let listener = listen(&lab, &house, "anna", "4711", server);
        lab::wait_for_sessions(&house, 1);
        let _mirror = lab.play(&capture);
        let (heard, summary) = listener.finish_at(5.0);
        for leg in &heard {
            let loud = leg.iter().filter(|sample| sample.unsigned_abs() > 500).count();
            assert!(loud > 100, "{summary}");
        }
        let (code, took) = service.terminate();
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(5), "SIGTERM took {took:?}");
    });
}
