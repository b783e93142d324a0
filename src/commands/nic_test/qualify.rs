//! `silentmon nic-test qualify`: generator and target on one computer, with two interfaces.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silentmon_nic_core::frame::Ends;
use silentmon_nic_core::generator::Assignment;
use silentmon_nic_core::target::Answers;
use silentmon_nic_io::receive::{self, Options, Stops};
use silentmon_nic_io::send;

use super::receive::fixes;
use super::{QualifyArgs, say, stop_on_signal, unavailable};
use crate::exit::{ExitKind, Failure};

/// How long the generator calls: the target listens already.
const CALLING: Duration = Duration::from_secs(1);
/// The target ends with the generator at the latest.
const WAITING: Duration = Duration::from_secs(3 * 3600);

/// Tests one interface by the other.
pub(super) fn run(args: &QualifyArgs) -> anyhow::Result<ExitCode> {
    if args.interface == args.generator {
        let sentence = "expected two interfaces: one sends to the other over a cable";
        return Err(Failure::error(ExitKind::Usage, sentence));
    }
    let plan = args.burst.plan()?;
    let stop = stop_on_signal()?;
    let [mut target, mut generator] = {
        let open = |name: &str| silentmon_nic_io::open(name).map_err(|error| unavailable(&error));
        [open(&args.interface)?, open(&args.generator)?]
    };
    let facts = target.interface.facts();
    let session = send::new_session()?;
    let assignment = Assignment {
        session,
        ends: Ends {
            generator: generator.port.address(),
            target: target.port.address(),
        },
        plan,
        calling: Some(CALLING),
    };
    let options = Options {
        session: Some(session),
        waiting: WAITING,
        answers: Answers::OverTheWire,
        fixes: fixes(args.tell.try_fixes),
    };
    let generator_ended = AtomicBool::new(false);
    let ends = Stops {
        stop: &stop,
        generator_ended: &generator_ended,
    };
    let (outcome, sent) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sent = send::run(generator.port.as_mut(), assignment, &stop, |_| {});
            generator_ended.store(true, Ordering::Release);
            sent
        });
        let outcome = receive::run(
            target.port.as_mut(),
            target.interface.as_ref(),
            &options,
            ends,
            |event| {
                say::progress(&args.tell, event);
            },
        );
        (outcome, sending.join())
    });
    if let Ok(Err(error)) = sent {
        return Err(unavailable(&error));
    }
    say::outcome(&args.tell, facts, outcome.map_err(|error| unavailable(&error))?)
}
