//! Audio that waits for the path: a little of it, the oldest shed and counted.
//!
//! A little may wait in the QUIC library, where nothing can be taken back; the rest waits here, and is shed once it has
//! waited for the path for 100 ms and a round trip. A burst that the path takes within that time loses nothing, however
//! long it is. Time in which this program didn't get to run is no fault of the path's and doesn't count.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Connection, SendDatagramError};
use tokio::sync::Notify;

use crate::settings::DATAGRAM_SEND_BUFFER;

/// How long a datagram may wait here beyond the shortest round trip, which a burst longer than the congestion window
/// takes; later than that a listener's jitter buffer has given it up.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Bytes of each stream that may wait in the library: 43 ms of G.711 in packets of 20 ms.
const INSIDE_PER_STREAM: usize = 512;
const INSIDE_AT_LEAST: usize = 2 << 10;
/// Bytes that may wait here whatever their age: about a second of each stream.
const HERE_PER_STREAM: usize = 16 << 10;
const HERE_AT_LEAST: usize = 64 << 10;
/// The library counts this much for each datagram beside its bytes.
const OVERHEAD: usize = size_of::<Bytes>();
/// How often a path that was full is looked at again.
const PATIENCE: Duration = Duration::from_millis(1);
/// A path that wasn't looked at for longer was free meanwhile, for all that is known.
const ATTENTION: Duration = Duration::from_millis(20);

/// Most bytes that may wait in the library for a connection of so many streams.
fn inside(streams: usize) -> usize {
    streams
        .saturating_mul(INSIDE_PER_STREAM)
        .clamp(INSIDE_AT_LEAST, DATAGRAM_SEND_BUFFER / 2)
}

/// Most bytes that may wait here.
fn here(streams: usize) -> usize {
    streams.saturating_mul(HERE_PER_STREAM).max(HERE_AT_LEAST)
}

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    queue: Mutex<Queue>,
    shed: AtomicU64,
    filled: Notify,
}

impl Backlog {
    /// Sends, or keeps for later; gives back how many older datagrams were shed since the call before.
    pub(crate) fn send(
        &self,
        path: &impl Path,
        datagram: Bytes,
        streams: usize,
        now: Instant,
    ) -> Result<usize, SendDatagramError> {
        let Ok(mut queue) = self.queue.lock() else {
            return Ok(0);
        };
        queue.look(now);
        if queue.datagrams.is_empty() && has_room(path, &datagram, streams) {
            path.send(datagram)?;
        } else {
            queue.push(datagram);
            queue.shed_old(LONGEST_WAIT + path.round_trip(), here(streams));
            self.filled.notify_one();
        }
        let shed = std::mem::take(&mut queue.shed);
        drop(queue);
        self.shed.fetch_add(shed as u64, Ordering::Relaxed);
        Ok(shed)
    }

    /// Sends what waits, as far as there is room; whether nothing waits any longer.
    fn drain(&self, path: &impl Path, streams: usize, now: Instant) -> bool {
        let Ok(mut queue) = self.queue.lock() else {
            return true;
        };
        queue.look(now);
        queue.shed_old(LONGEST_WAIT + path.round_trip(), here(streams));
        while queue
            .datagrams
            .front()
            .is_some_and(|(_, datagram)| has_room(path, datagram, streams))
        {
            let Some(datagram) = queue.pop() else { break };
            // Too long for a path whose MTU shrank meanwhile, or the connection is over: lost either way.
            if path.send(datagram).is_err() {
                queue.shed += 1;
            }
        }
        queue.datagrams.is_empty()
    }

    /// How many were shed and said to be.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// Sends what had to wait, until the connection is over.
    pub(crate) async fn run(&self, connection: &Connection, streams: impl Fn() -> usize) {
        loop {
            tokio::select! {
                _ = connection.closed() => return,
                () = self.filled.notified() => {}
            }
            while !self.drain(connection, streams(), Instant::now()) {
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

fn has_room(path: &impl Path, datagram: &Bytes, streams: usize) -> bool {
    path.waiting() + datagram.len() + OVERHEAD <= inside(streams)
}

/// What datagrams go into.
pub(crate) trait Path {
    /// Bytes that were sent into it and haven't left.
    fn waiting(&self) -> usize;
    /// Shortest round trip.
    fn round_trip(&self) -> Duration;
    /// Sends.
    fn send(&self, datagram: Bytes) -> Result<(), SendDatagramError>;
}

impl Path for Connection {
    fn waiting(&self) -> usize {
        DATAGRAM_SEND_BUFFER.saturating_sub(self.datagram_send_buffer_space())
    }

    fn round_trip(&self) -> Duration {
        self.min_rtt()
    }

    fn send(&self, datagram: Bytes) -> Result<(), SendDatagramError> {
        self.send_datagram(datagram)
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// Each with the time watched when it came.
    datagrams: VecDeque<(Duration, Bytes)>,
    bytes: usize,
    /// How long the path was watched so far, and when it was looked at last.
    watched: Duration,
    looked: Option<Instant>,
    /// Shed since somebody was told.
    shed: usize,
}

impl Queue {
    fn look(&mut self, now: Instant) {
        let since = self.looked.replace(now).unwrap_or(now);
        self.watched += now.saturating_duration_since(since).min(ATTENTION);
    }

    fn push(&mut self, datagram: Bytes) {
        self.bytes += datagram.len() + OVERHEAD;
        self.datagrams.push_back((self.watched, datagram));
    }

    fn pop(&mut self) -> Option<Bytes> {
        let (_, datagram) = self.datagrams.pop_front()?;
        self.bytes -= datagram.len() + OVERHEAD;
        Some(datagram)
    }

    /// Removes from the front what has waited too long or is too much.
    fn shed_old(&mut self, longest: Duration, most: usize) {
        let watched = self.watched;
        let too_old = |since: Duration| watched.saturating_sub(since) > longest;
        while self
            .datagrams
            .front()
            .is_some_and(|(since, _)| self.bytes > most || too_old(*since))
        {
            self.pop();
            self.shed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A path that keeps what is sent into it until it is emptied.
    #[derive(Default)]
    struct Slow {
        inside: RefCell<VecDeque<Bytes>>,
    }

    impl Slow {
        fn empty(&self) -> Vec<u8> {
            self.inside
                .borrow_mut()
                .drain(..)
                .filter_map(|datagram| datagram.first().copied())
                .collect()
        }
    }

    impl Path for Slow {
        fn waiting(&self) -> usize {
            self.inside
                .borrow()
                .iter()
                .map(|datagram| datagram.len() + OVERHEAD)
                .sum()
        }

        fn round_trip(&self) -> Duration {
            Duration::ZERO
        }

        fn send(&self, datagram: Bytes) -> Result<(), SendDatagramError> {
            self.inside.borrow_mut().push_back(datagram);
            Ok(())
        }
    }

    fn numbered(number: u8) -> Bytes {
        Bytes::from(vec![number; 188])
    }

    #[test]
    fn an_open_path_gets_everything_at_once_and_in_order() {
        let (backlog, path, now) = (Backlog::default(), Slow::default(), Instant::now());
        for number in 0..100 {
            assert_eq!(backlog.send(&path, numbered(number), 2, now), Ok(0));
            assert_eq!(path.empty(), [number]);
        }
    }

    #[test]
    fn a_burst_that_the_path_takes_in_time_loses_nothing() {
        let (backlog, path, begin) = (Backlog::default(), Slow::default(), Instant::now());
        for number in 0..200 {
            assert_eq!(backlog.send(&path, numbered(number), 2, begin), Ok(0));
        }
        let mut arrived = path.empty();
        for millisecond in 1..=90 {
            backlog.drain(&path, 2, begin + Duration::from_millis(millisecond));
            arrived.extend(path.empty());
        }
        assert_eq!(arrived, (0..200).collect::<Vec<u8>>());
        assert_eq!(backlog.shed(), 0);
    }

    #[test]
    fn a_blocked_path_keeps_the_newest_and_counts_what_was_shed() {
        let (backlog, path, begin) = (Backlog::default(), Slow::default(), Instant::now());
        let mut shed = 0;
        for number in 0..100 {
            let now = begin + Duration::from_millis(u64::from(number) * 10);
            shed += backlog.send(&path, numbered(number), 2, now).expect("kept");
        }
        let stuck = path.empty().len();
        let end = begin + Duration::from_millis(990);
        while !backlog.drain(&path, 200, end) {}
        let kept = path.empty();
        assert_eq!((kept.first(), kept.last()), (Some(&89), Some(&99)), "the last 100 ms");
        assert_eq!(stuck + shed + kept.len(), 100);
        assert_eq!(backlog.shed(), shed as u64);
    }

    #[test]
    fn a_standstill_of_this_program_sheds_nothing() {
        let (backlog, path, begin) = (Backlog::default(), Slow::default(), Instant::now());
        for number in 0..20 {
            assert_eq!(backlog.send(&path, numbered(number), 2, begin), Ok(0));
        }
        let mut arrived = path.empty();
        for millisecond in 900..920 {
            backlog.drain(&path, 2, begin + Duration::from_millis(millisecond));
            arrived.extend(path.empty());
        }
        assert_eq!(arrived, (0..20).collect::<Vec<u8>>());
        assert_eq!(backlog.shed(), 0);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        let (backlog, path, now) = (Backlog::default(), Slow::default(), Instant::now());
        let shed: usize = (0..1000)
            .map(|_| backlog.send(&path, numbered(1), 2, now).expect("kept"))
            .sum();
        assert!(shed > 500, "{shed}");
    }
}
