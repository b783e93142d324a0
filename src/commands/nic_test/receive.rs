//! `silentmon nic-test receive`: the side of the interface under test.

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use silentmon_nic_core::target::Answers;
use silentmon_nic_io::receive::{self, Fixes, Options, Stops};

use super::{ReceiveArgs, say, stop_on_signal, unavailable};
use crate::output;

/// Waits for a generator and judges.
pub(super) fn run(args: &ReceiveArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signal()?;
    let mut opened = silentmon_nic_io::open(&args.interface).map_err(|error| unavailable(&error))?;
    let facts = opened.interface.facts();
    if !args.tell.json {
        output::line(&format!(
            "{} listens; on the other side: silentmon nic-test send IFACE --to {}",
            facts.interface, facts.address
        ));
    }
    let options = Options {
        session: args.session,
        waiting: Duration::from_secs(args.seconds),
        answers: if args.silent {
            Answers::None
        } else {
            Answers::OverTheWire
        },
        fixes: fixes(args.tell.try_fixes),
    };
    let ends = Stops {
        stop: &stop,
        generator_ended: &AtomicBool::new(false),
    };
    let outcome = receive::run(
        opened.port.as_mut(),
        opened.interface.as_ref(),
        &options,
        ends,
        |event| {
            say::progress(&args.tell, event);
        },
    );
    say::outcome(&args.tell, facts, outcome.map_err(|error| unavailable(&error))?)
}

pub(super) const fn fixes(try_fixes: bool) -> Fixes {
    if try_fixes { Fixes::Try } else { Fixes::Leave }
}
