//! The generator on a real interface: sends what the core says when it says so, and the burst as fast as it is asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Steady};

use silentmon_nic_core::burst::BurstFrames;
use silentmon_nic_core::control::Sent;
use silentmon_nic_core::generator::{Assignment, Event, Generator, Transmit};
use silentmon_nic_core::read::read;
use silentmon_nic_core::wire::SessionId;

use crate::clock;
use crate::port::{Port, PortError};

/// Longest wait for answers, so that a stop is noticed.
const GLANCE: Duration = Duration::from_millis(50);
/// Frames sent in one go.
const BATCH: u32 = 64;
/// Rest where nothing is due yet: a few packets at the rate of many calls.
const BREATH: Duration = Duration::from_micros(20);

/// A session drawn at random.
///
/// # Errors
/// Where the system has no randomness.
pub fn new_session() -> Result<SessionId, std::io::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(SessionId(u64::from_be_bytes(bytes)))
}

/// Sends it all and waits for the verdict, where the target can answer.
///
/// # Errors
/// Where the interface is gone.
pub fn run(
    port: &mut dyn Port,
    assignment: Assignment,
    stop: &AtomicBool,
    mut on_event: impl FnMut(&Event),
) -> Result<Sent, PortError> {
    let mut generator = Generator::new(assignment, clock::now());
    while !generator.is_over() && !stop.load(Ordering::Acquire) {
        while let Some(transmit) = generator.poll_transmit(clock::now()) {
            match transmit {
                Transmit::Frame(frame, check) => {
                    let fate = port.send(&frame)?;
                    if let Some(check) = check {
                        generator.handle_sent(check, fate);
                    }
                }
                Transmit::Burst(frames) => {
                    let (sent, took) = burst(port, &frames, stop)?;
                    generator.handle_burst_sent(sent, took, clock::now());
                }
            }
        }
        let wait = generator.poll_timeout().map_or(GLANCE, |at| at - clock::now());
        port.receive(wait.min(GLANCE), &mut |arrived| {
            generator.handle_frame(&read(arrived), clock::now());
        })?;
        while let Some(event) = generator.poll_event() {
            on_event(&event);
        }
    }
    Ok(*generator.sent())
}

/// Sends the burst by the clock: what is due goes out in batches, and what the system didn't take is tried again. Ends at
/// twice the time planned, with what went out until then.
fn burst(port: &mut dyn Port, frames: &BurstFrames, stop: &AtomicBool) -> Result<(u32, Duration), PortError> {
    let length = frames.length();
    let mut room = frames.room(BATCH as usize);
    let limit = frames.plan.duration() * 2 + Duration::from_millis(100);
    let begun = Steady::now();
    let mut sent = 0;
    while sent < frames.plan.frames && begun.elapsed() < limit && !stop.load(Ordering::Acquire) {
        let batch = frames.plan.due(begun.elapsed()).saturating_sub(sent).min(BATCH);
        if batch == 0 {
            std::thread::sleep(BREATH);
            continue;
        }
        let used = room.get_mut(..batch as usize * length).unwrap_or_default();
        frames.fill(used, sent, clock::now());
        let mut rest = &*used;
        while !rest.is_empty() && begun.elapsed() < limit {
            let went = port.send_many(rest, length)?;
            if went == 0 {
                std::thread::sleep(BREATH);
            }
            sent += u32::try_from(went).unwrap_or(u32::MAX);
            rest = rest.get(went * length..).unwrap_or_default();
        }
    }
    Ok((sent, begun.elapsed()))
}
