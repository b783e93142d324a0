//! What the shells of all links have in common: the loop that keeps a link's time and carries its words to the engine.

use std::time::Duration;

use silentmon_capture_core::link::{Link, LinkCommand, LinkEvent};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// How long the goodbye to a source may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A link with what carries its bytes or requests.
pub(super) trait Shell {
    /// What its tasks tell.
    type Report;

    /// The link.
    fn link(&mut self) -> &mut (dyn Link + Send);
    /// Does what the link wants done.
    fn carry_out(&mut self);
    /// Hands the link what its tasks tell.
    fn handle_report(&mut self, report: Self::Report);
    /// Whether nothing is open or under way.
    fn is_idle(&self) -> bool;
}

/// Runs a link until `shutdown`, then says goodbye to its source. Ends early only when nobody takes `events` any more.
///
/// Every hand-over is bounded: where the engine doesn't keep up, no further reports are taken.
pub(super) async fn run<S: Shell>(
    shell: &mut S,
    clock: Clock,
    reports: &mut mpsc::Receiver<S::Report>,
    events: mpsc::Sender<LinkEvent>,
    mut commands: mpsc::Receiver<LinkCommand>,
    shutdown: CancellationToken,
) {
    loop {
        shell.carry_out();
        let told = tokio::select! {
            told = tell(shell.link(), &events) => told,
            () = shutdown.cancelled() => break,
        };
        if !told {
            break;
        }
        let wake = wake(shell.link(), clock);
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(report) = reports.recv() => shell.handle_report(report),
            Some(command) = commands.recv() => shell.link().handle_command(command, clock.now()),
            () = wake => shell.link().handle_timeout(clock.now()),
        }
    }
    say_goodbye(shell, clock, reports).await;
}

/// Hands on what the link has to tell; waits where the engine is slow. `false` once nobody listens.
async fn tell(link: &mut (dyn Link + Send), events: &mpsc::Sender<LinkEvent>) -> bool {
    while let Some(event) = link.poll_event() {
        if events.send(event).await.is_err() {
            return false;
        }
    }
    true
}

fn wake(link: &(dyn Link + Send), clock: Clock) -> impl Future<Output = ()> + use<> {
    let deadline = link.poll_timeout().map(|at| clock.deadline(at));
    async move {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

/// Lets the link end its session in good order, as long as that takes no longer than [`CLOSE_LIMIT`].
async fn say_goodbye<S: Shell>(shell: &mut S, clock: Clock, reports: &mut mpsc::Receiver<S::Report>) {
    shell.link().close(clock.now());
    let deadline = tokio::time::Instant::now() + CLOSE_LIMIT;
    loop {
        shell.carry_out();
        while shell.link().poll_event().is_some() {}
        if shell.is_idle() {
            break;
        }
        let wake = wake(shell.link(), clock);
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => break,
            Some(report) = reports.recv() => shell.handle_report(report),
            () = wake => shell.link().handle_timeout(clock.now()),
        }
    }
}
