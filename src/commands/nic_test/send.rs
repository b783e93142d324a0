//! `silentmon nic-test send`: the generator's side.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use silentmon_nic_core::check::CheckId;
use silentmon_nic_core::control::{Sent, Told};
use silentmon_nic_core::frame::Ends;
use silentmon_nic_core::generator::{Assignment, Event};
use silentmon_nic_core::mac::MacAddress;
use silentmon_nic_core::model::Verdict;
use silentmon_nic_io::port::Port;
use silentmon_nic_io::replay::{self, ReplayError};
use silentmon_nic_io::send;

use super::{SendArgs, say, stop_on_signal, unavailable};
use crate::exit::{ExitKind, Failure};
use crate::output;

/// Sends a test, or a file.
pub(super) fn run(args: &SendArgs) -> anyhow::Result<ExitCode> {
    let plan = args.burst.plan()?;
    let stop = stop_on_signal()?;
    let mut opened = silentmon_nic_io::open(&args.interface).map_err(|error| unavailable(&error))?;
    if let Some(file) = &args.file {
        return send_file(opened.port.as_mut(), file, args, &stop);
    }
    let Some(target) = args.to.filter(|to| to.is_unicast()) else {
        return Err(Failure::error(
            ExitKind::Usage,
            "expected --to with the MAC address of one interface, found that of a group",
        ));
    };
    let session = args.session.map_or_else(send::new_session, Ok)?;
    let generator = opened.port.address();
    let assignment = Assignment {
        session,
        ends: Ends { generator, target },
        plan,
        calling: (!args.one_way).then_some(Duration::from_secs(args.seconds)),
    };
    if !args.json {
        output::line(&format!("session {session} from {generator} to {target}"));
    }
    let mut verdict = None;
    let sent = send::run(opened.port.as_mut(), assignment, &stop, |event| {
        if let Event::Verdict(told) = event {
            verdict = Some(*told);
        }
        if !args.json {
            tell(event);
        }
    });
    let sent = sent.map_err(|error| unavailable(&error))?;
    if args.json {
        output::json(&document(args, &sent, verdict.as_ref(), &session.to_string()))?;
    } else {
        output::line(&say::sent(&sent));
    }
    Ok(exit(args, verdict.as_ref(), stop.load(Ordering::Acquire)))
}

/// Without a verdict a one-way test has done what it was asked to.
fn exit(args: &SendArgs, verdict: Option<&Told>, was_stopped: bool) -> ExitCode {
    match verdict {
        Some(told) => say::exit(told.verdict),
        None if args.one_way && !was_stopped => ExitCode::SUCCESS,
        None => say::exit(Verdict::Inconclusive),
    }
}

fn tell(event: &Event) {
    output::line(&match event {
        Event::TargetFound(address) => format!("target {address} answers"),
        Event::NobodyAnswers => "nobody answers; sending all the same".to_owned(),
        Event::AskedAgain(checks) => {
            let checks: Vec<_> = checks.iter().map(|check| check.to_string()).collect();
            format!("asked again for {}", checks.join(", "))
        }
        Event::Verdict(told) => {
            let code = told.code.map_or_else(String::new, |code| format!(" (SM-{code:04})"));
            format!("verdict of the target: {}{code}", told.verdict.words())
        }
        Event::NoVerdict => "no verdict came back: see it at the target".to_owned(),
    });
}

fn document(args: &SendArgs, sent: &Sent, verdict: Option<&Told>, session: &str) -> Value {
    let frames = CheckId::ALL.iter().filter(|check| sent.checks.contains(**check));
    let frames: serde_json::Map<_, _> = frames
        .map(|check| (check.to_string(), sent.frames(*check).into()))
        .collect();
    json!({
        "interface": args.interface,
        "session": session,
        "sent": frames,
        "burst_per_second": sent.burst_per_second(),
        "verdict": verdict.map(|told| told.verdict),
        "code": verdict.and_then(|told| told.code).map(|code| format!("SM-{code:04}")),
    })
}

fn send_file(port: &mut dyn Port, file: &Path, args: &SendArgs, stop: &AtomicBool) -> anyhow::Result<ExitCode> {
    let to: Option<MacAddress> = args.to;
    let replayed = replay::run(port, file, to, stop).map_err(|error| match error {
        ReplayError::Port(error) => unavailable(&error),
        error => Failure::error(ExitKind::BadData, error.to_string()),
    })?;
    if args.json {
        output::json(&json!({"interface": args.interface, "sent": replayed.sent, "left_out": replayed.left_out}))?;
    } else {
        output::line(&format!(
            "{} frames sent, {} left out",
            replayed.sent, replayed.left_out
        ));
    }
    Ok(if replayed.sent > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(ExitKind::No as u8)
    })
}
