//! A network namespace of its own with a pair of interfaces, and the program run in it.
#![allow(clippy::unused_self, reason = "who has a lab knows that its interfaces are there")]

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::common::{said, silentmon};

/// The interface that sends.
pub const GENERATOR: &str = "smsend";
/// The interface under test.
pub const TARGET: &str = "smtest";
/// A burst that is over soon, at a rate that a busy computer keeps up with.
pub const SHORT_BURST: &[&str] = &["--burst-seconds", "0.3", "--burst-rate", "5000"];

/// The pair of interfaces, with room for two tags.
pub struct Lab;

impl Lab {
    /// Makes it in the namespace this process is in.
    pub fn build() -> Self {
        ip(&["link", "add", GENERATOR, "type", "veth", "peer", "name", TARGET]);
        for interface in [GENERATOR, TARGET] {
            // Without an address the kernel sends nothing of its own on it.
            ip(&["link", "set", interface, "addrgenmode", "none"]);
            ip(&["link", "set", interface, "mtu", "1508", "up"]);
        }
        Self
    }

    pub fn set_mtu(&self, interface: &str, mtu: u32) {
        ip(&["link", "set", interface, "mtu", &mtu.to_string()]);
    }

    fn command(arguments: &[&str]) -> Command {
        let mut command = silentmon();
        command.arg("nic-test").args(arguments);
        command
    }

    /// Runs `nic-test` to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Self::command(arguments).output().expect("the program starts")
    }

    /// Starts `nic-test` in the background.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Self::command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// Exit code and JSON document.
    pub fn verdict(&self, arguments: &[&str]) -> (i32, Value) {
        finish(self.start(arguments))
    }

    /// What `nic-test list` says of an interface.
    pub fn facts(&self, interface: &str) -> Value {
        let output = self.run(&["list", "--json"]);
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut found = list.as_array().expect("a list").iter();
        let found = found.find(|facts| facts["interface"] == interface);
        found.expect("the interface is listed").clone()
    }

    pub fn address(&self, interface: &str) -> String {
        self.facts(interface)["address"]
            .as_str()
            .expect("an address")
            .to_owned()
    }

    pub fn octets(&self, interface: &str) -> [u8; 6] {
        let address = self.address(interface);
        let octets: Vec<_> = address
            .split(':')
            .map(|octet| u8::from_str_radix(octet, 16).expect("hex"))
            .collect();
        octets.try_into().expect("six")
    }

    /// The number by which the kernel knows it.
    pub fn index(&self, interface: &str) -> u32 {
        let output = Command::new("ip")
            .args(["-o", "link", "show", interface])
            .output()
            .expect("ip runs");
        let text = said(&output);
        text.split(':')
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }
}

/// Waits for the end: exit code and JSON document.
pub fn finish(child: Child) -> (i32, Value) {
    let output = child.wait_with_output().expect("it ends");
    let code = output.status.code().expect("no signal");
    let document = serde_json::from_slice(&output.stdout);
    (
        code,
        document.unwrap_or_else(|error| panic!("{error}: {}", said(&output))),
    )
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip runs");
    assert!(status.success(), "ip {arguments:?}");
}
