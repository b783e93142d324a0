//! The target on a real interface: one loop over its port, rounds of checks, trials of settings, the verdict.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silentmon_nic_core::check::CheckId;
use silentmon_nic_core::evaluate::{self, Circumstances, Losses};
use silentmon_nic_core::model::{CheckReport, CheckResult, Judgement, Others, Parties, Trial};
use silentmon_nic_core::read::read;
use silentmon_nic_core::target::{Answers, Event, Target};
use silentmon_nic_core::wire::SessionId;
use silentmon_proto::time::Instant;

use crate::clock;
use crate::port::{Interface, Port, PortError, Setting};
use crate::tuning::{Changed, worth_trying};
use crate::watch::Watch;

/// Longest wait for frames, so that a stop is noticed.
const GLANCE: Duration = Duration::from_millis(50);
/// How long frames may still be under way when a generator on this computer has ended.
const LAST_FRAMES: Duration = Duration::from_millis(300);

/// Whether settings are changed for a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixes {
    /// They are left alone.
    Leave,
    /// Each is tried and put back.
    Try,
}

/// How a target behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The generator to wait for; any where none is named.
    pub session: Option<SessionId>,
    /// How long to wait for it.
    pub waiting: Duration,
    /// Whether it is answered.
    pub answers: Answers,
    /// Whether settings are tried.
    pub fixes: Fixes,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub judgement: Judgement,
    /// Who tested, where a generator was heard.
    pub parties: Option<Parties>,
    /// Frames of no check.
    pub others: Others,
    /// Settings that were tried.
    pub trials: Vec<Trial>,
    /// Why libpcap couldn't look.
    pub capture_missing: Option<String>,
}

/// What ends a test from outside.
#[derive(Debug, Clone, Copy)]
pub struct Stops<'a> {
    /// Somebody wants it to stop.
    pub stop: &'a AtomicBool,
    /// The generator, on this computer too, has ended.
    pub generator_ended: &'a AtomicBool,
}

struct Test<'a> {
    port: &'a mut dyn Port,
    interface: &'a dyn Interface,
    ends: Stops<'a>,
    target: Target,
    watch: Option<Watch>,
}

/// Waits for a generator and judges the interface. `None` where it was stopped before there was a verdict; settings are
/// as they were before then, too.
///
/// # Errors
/// Where the interface is gone.
pub fn run(
    port: &mut dyn Port,
    interface: &dyn Interface,
    options: &Options,
    ends: Stops<'_>,
    mut on_event: impl FnMut(&str),
) -> Result<Option<Outcome>, PortError> {
    let target = Target::new(port.address(), options.session, options.answers);
    let (watch, capture_missing) = match Watch::start(interface.name()) {
        Ok(watch) => (Some(watch), None),
        Err(reason) => (None, Some(reason)),
    };
    let mut test = Test {
        port,
        interface,
        ends,
        target,
        watch,
    };
    on_event("listening");
    let waiting_until = clock::now() + options.waiting;
    let Some(checks) = test.round(Some(waiting_until), &mut on_event)? else {
        return Ok((!test.is_stopped()).then(|| test.nobody_heard(capture_missing)));
    };
    let circumstances = test.circumstances();
    let mut judgement = evaluate::judge(checks, &circumstances);
    let mut trials = Vec::new();
    if options.fixes == Fixes::Try && options.answers == Answers::OverTheWire {
        trials = test.try_settings(&judgement.checks, &mut on_event)?;
        if test.is_stopped() {
            return Ok(None);
        }
    }
    for trial in trials.iter().filter(|trial| !trial.helped.is_empty()) {
        let advice = silentmon_nic_core::advice::on_setting(&trial.setting, &trial.to, interface.name());
        judgement.notes.extend(advice);
    }
    test.target.tell(evaluate::told(&judgement), clock::now());
    test.transmit()?;
    Ok(Some(Outcome {
        judgement,
        parties: test.target.parties().cloned(),
        others: test.target.others(),
        trials,
        capture_missing,
    }))
}

impl Test<'_> {
    fn is_stopped(&self) -> bool {
        self.ends.stop.load(Ordering::Acquire)
    }

    /// Goes through a round. `None` where no generator was heard in time, or it was stopped.
    fn round(
        &mut self,
        waiting_until: Option<Instant>,
        on_event: &mut impl FnMut(&str),
    ) -> Result<Option<Vec<CheckReport>>, PortError> {
        let before = self.losses();
        let mut generator_ended_at = None;
        loop {
            // 1. Frames, and what libpcap made of them.
            let now = clock::now();
            let due = self.target.poll_timeout().map_or(GLANCE, |at| (at - now).min(GLANCE));
            let target = &mut self.target;
            self.port
                .receive(due, &mut |arrived| target.handle_frame(&read(arrived), clock::now()))?;
            for (session, sighting) in self.watch.iter().flat_map(Watch::sightings) {
                self.target.handle_captured(session, &sighting);
            }
            // 2. Time, and answers.
            let now = clock::now();
            self.target.handle_timeout(now);
            self.transmit()?;
            // 3. What happened.
            while let Some(event) = self.target.poll_event() {
                match event {
                    Event::GeneratorFound => on_event("generator found"),
                    Event::RoundOver => return Ok(self.reports(before)),
                }
            }
            // 4. Whether to go on.
            let heard = self.target.parties().is_some();
            if self.is_stopped() || (!heard && waiting_until.is_some_and(|until| now >= until)) {
                return Ok(None);
            }
            if !heard && self.ends.generator_ended.load(Ordering::Acquire) {
                let ended = *generator_ended_at.get_or_insert(now);
                if now - ended >= LAST_FRAMES {
                    return Ok(None);
                }
            }
        }
    }

    fn losses(&mut self) -> Losses {
        Losses {
            at_socket: self.port.dropped(),
            at_interface: self.interface.lost(),
        }
    }

    fn reports(&mut self, before: Losses) -> Option<Vec<CheckReport>> {
        let after = self.losses();
        let losses = Losses {
            at_socket: after.at_socket.saturating_sub(before.at_socket),
            at_interface: after.at_interface.saturating_sub(before.at_interface),
        };
        self.target.round().map(|round| evaluate::checks(round, losses))
    }

    fn transmit(&mut self) -> Result<(), PortError> {
        while let Some(frame) = self.target.poll_transmit() {
            self.port.send(&frame)?;
        }
        Ok(())
    }

    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            interface: self.interface.name(),
            others: self.target.others(),
            count_came: self.target.round().is_some_and(|round| round.sent.is_some()),
        }
    }

    fn nobody_heard(&self, capture_missing: Option<String>) -> Outcome {
        Outcome {
            judgement: evaluate::nobody_heard(&self.circumstances()),
            parties: None,
            others: self.target.others(),
            trials: Vec::new(),
            capture_missing,
        }
    }

    /// Tries each setting that could help, one at a time, and puts it back before the next.
    fn try_settings(
        &mut self,
        before: &[CheckReport],
        on_event: &mut impl FnMut(&str),
    ) -> Result<Vec<Trial>, PortError> {
        let mut trials = Vec::new();
        let again = evaluate::worth_repeating(before);
        if again.is_empty() {
            return Ok(trials);
        }
        for setting in Setting::ALL {
            let Some((from, to)) = worth_trying(self.interface, setting) else {
                continue;
            };
            on_event(&format!("trying {} {to}", setting.name()));
            let mut trial = Trial {
                setting: setting.name().to_owned(),
                from: from.to_string(),
                to: to.to_string(),
                helped: Vec::new(),
                put_back: true,
                refused: None,
            };
            let changed = match Changed::apply(self.interface, setting, from, to) {
                Ok(changed) => changed,
                Err(error) => {
                    trial.refused = Some(error.to_string());
                    trials.push(trial);
                    continue;
                }
            };
            // Its predecessor has looked away when the burst began.
            self.watch = Watch::start(self.interface.name()).ok();
            self.target.ask_again(again, clock::now());
            let after = self.round(None, on_event)?;
            trial.put_back = changed.put_back();
            if self.is_stopped() {
                break;
            }
            trial.helped = helped(before, &after.unwrap_or_default());
            trials.push(trial);
        }
        Ok(trials)
    }
}

/// Checks that pass now and didn't before.
fn helped(before: &[CheckReport], after: &[CheckReport]) -> Vec<CheckId> {
    let passes = |id| {
        after
            .iter()
            .any(|report| report.id == id && report.result == CheckResult::Pass)
    };
    let wanting = before.iter().filter(|report| report.result != CheckResult::Pass);
    wanting.map(|report| report.id).filter(|id| passes(*id)).collect()
}
