//! A survey of an interface while someone watches: a table that is drawn anew each second, or a line every ten.

use std::time::Duration;

use silentmon_capture_core::survey::{Report, SurveyOptions};
use silentmon_capture_io::feed::CaptureError;
use silentmon_capture_io::link::LinkFacts;
use silentmon_capture_io::live::LiveError;
use silentmon_capture_io::survey::LiveSurvey;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Document, text};
use crate::exit::{ExitKind, Failure};
use crate::{output, shutdown};

const REDRAWN_EVERY: Duration = Duration::from_secs(1);
/// Of how many ticks one writes a line where there is no terminal.
const LINE_EVERY: u32 = 10;

/// Watches an interface for so long, or until Ctrl-C.
pub(super) fn survey(interface: &str, duration: Duration) -> anyhow::Result<(Document, Option<Failure>)> {
    let own = LinkFacts::of(interface).own();
    let survey = LiveSurvey::start(interface, SurveyOptions { own }).map_err(|error| failure(&error))?;
    tokio::runtime::Runtime::new()?.block_on(watch(&survey, interface, duration))?;
    // While the capture is open: afterwards the interface is no longer promiscuous.
    let link = LinkFacts::of(interface);
    let (report, ended) = survey.finish();
    let document = Document {
        source: interface.to_owned(),
        link: Some(link),
        report,
        damage: ended.as_ref().map(ToString::to_string),
    };
    Ok((document, ended.as_ref().map(failure)))
}

async fn watch(survey: &LiveSurvey, interface: &str, duration: Duration) -> anyhow::Result<()> {
    let token = CancellationToken::new();
    shutdown::cancel_on_signal(token.clone())?;
    let end = Instant::now() + duration;
    let mut ticks = tokio::time::interval_at(Instant::now() + REDRAWN_EVERY, REDRAWN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = Shown::default();
    loop {
        tokio::select! {
            () = token.cancelled() => break,
            () = tokio::time::sleep_until(end) => break,
            _ = ticks.tick() => {
                shown.show(interface, &survey.report(), end.duration_since(Instant::now()));
                if survey.has_ended() {
                    break;
                }
            }
        }
    }
    shown.clear();
    Ok(())
}

/// What stands on the terminal.
#[derive(Default)]
struct Shown {
    lines: usize,
    ticks: u32,
}

impl Shown {
    fn show(&mut self, interface: &str, report: &Report, left: Duration) {
        let lines = text::table(interface, report, left);
        if output::redraw(&lines, self.lines) {
            self.lines = lines.len();
            return;
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(LINE_EVERY) {
            output::complain(&text::progress(report));
        }
    }

    fn clear(&mut self) {
        if self.lines > 0 {
            output::redraw(&[], self.lines);
        }
    }
}

fn failure(error: &CaptureError) -> Failure {
    let kind = match error {
        CaptureError::Live(LiveError::NotPermitted { .. }) => ExitKind::NotPermitted,
        _ => ExitKind::Unavailable,
    };
    Failure::new(kind, error.to_string())
}
