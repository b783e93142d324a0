//! Audio that waits for the path: a little of it, the oldest shed and counted.
//!
//! About 100 ms of audio may wait: 1 KiB a stream, at least 4 KiB. Half of it waits in the QUIC library, where nothing
//! can be taken back; the other half here, where the oldest makes room for the newest.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, SendDatagramError};
use tokio::sync::Notify;

use crate::settings::DATAGRAM_SEND_BUFFER;

/// Waiting for 1 KiB is 86 ms of one stream of G.711 in packets of 20 ms.
const PER_STREAM: usize = 1 << 10;
const AT_LEAST: usize = 4 << 10;
/// The library counts this much for each datagram beside its bytes.
const OVERHEAD: usize = size_of::<Bytes>();
/// How often a path that was full is looked at again.
const PATIENCE: Duration = Duration::from_millis(1);

/// Most bytes that may wait for a connection of so many streams.
fn limit(streams: usize) -> usize {
    streams
        .saturating_mul(PER_STREAM)
        .clamp(AT_LEAST, DATAGRAM_SEND_BUFFER / 2)
}

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    queue: Mutex<Queue>,
    shed: AtomicU64,
    filled: Notify,
}

impl Backlog {
    /// Sends, or keeps for later; gives back how many older datagrams were shed for it.
    pub(crate) fn send(&self, path: &impl Path, datagram: Bytes, streams: usize) -> Result<usize, SendDatagramError> {
        let half = limit(streams) / 2;
        let Ok(mut queue) = self.queue.lock() else {
            return Ok(0);
        };
        if queue.datagrams.is_empty() && has_room(path, &datagram, half) {
            path.send(datagram)?;
            return Ok(0);
        }
        let shed = queue.push(datagram, half);
        drop(queue);
        self.shed.fetch_add(shed as u64, Ordering::Relaxed);
        self.filled.notify_one();
        Ok(shed)
    }

    /// Sends what waits, as far as there is room; whether nothing waits any longer.
    fn drain(&self, path: &impl Path, streams: usize) -> bool {
        let half = limit(streams) / 2;
        let Ok(mut queue) = self.queue.lock() else {
            return true;
        };
        while let Some(datagram) = queue.datagrams.front() {
            if !has_room(path, datagram, half) {
                return false;
            }
            let Some(datagram) = queue.pop() else { break };
            // Too long for a path whose MTU shrank meanwhile, or the connection is over: lost either way.
            if path.send(datagram).is_err() {
                self.shed.fetch_add(1, Ordering::Relaxed);
            }
        }
        true
    }

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
            while !self.drain(connection, streams()) {
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

fn has_room(path: &impl Path, datagram: &Bytes, half: usize) -> bool {
    path.waiting() + datagram.len() + OVERHEAD <= half
}

/// What datagrams go into.
pub(crate) trait Path {
    /// Bytes that were sent into it and haven't left.
    fn waiting(&self) -> usize;
    /// Sends.
    fn send(&self, datagram: Bytes) -> Result<(), SendDatagramError>;
}

impl Path for Connection {
    fn waiting(&self) -> usize {
        DATAGRAM_SEND_BUFFER.saturating_sub(self.datagram_send_buffer_space())
    }

    fn send(&self, datagram: Bytes) -> Result<(), SendDatagramError> {
        self.send_datagram(datagram)
    }
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    /// Appends, and removes from the front what is then too much; how many were removed.
    fn push(&mut self, datagram: Bytes, most: usize) -> usize {
        self.bytes += datagram.len() + OVERHEAD;
        self.datagrams.push_back(datagram);
        let before = self.datagrams.len();
        while self.bytes > most && self.datagrams.len() > 1 {
            self.pop();
        }
        before - self.datagrams.len()
    }

    fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.datagrams.pop_front()?;
        self.bytes -= datagram.len() + OVERHEAD;
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A path that takes up to `room` bytes until it is emptied.
    #[derive(Default)]
    struct Narrow {
        inside: RefCell<VecDeque<Bytes>>,
    }

    impl Path for Narrow {
        fn waiting(&self) -> usize {
            self.inside
                .borrow()
                .iter()
                .map(|datagram| datagram.len() + OVERHEAD)
                .sum()
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
        let (backlog, path) = (Backlog::default(), Narrow::default());
        for number in 0..100 {
            assert_eq!(backlog.send(&path, numbered(number), 2), Ok(0));
            assert_eq!(path.inside.borrow_mut().pop_front(), Some(numbered(number)));
        }
        assert_eq!(backlog.shed(), 0);
    }

    #[test]
    fn a_blocked_path_keeps_the_newest_and_counts_what_was_shed() {
        let (backlog, path) = (Backlog::default(), Narrow::default());
        let shed: usize = (0..100)
            .map(|number| backlog.send(&path, numbered(number), 2).expect("kept"))
            .sum();
        let inside = path.inside.borrow().len();
        path.inside.borrow_mut().clear();
        assert!(backlog.drain(&path, 2));
        let kept: Vec<_> = path
            .inside
            .borrow()
            .iter()
            .filter_map(|datagram| datagram.first().copied())
            .collect();
        assert_eq!(kept.last(), Some(&99));
        assert_eq!(inside + shed + kept.len(), 100);
        assert_eq!(backlog.shed(), shed as u64);
        assert!(path.waiting() <= limit(2) / 2);
    }

    #[test]
    fn more_streams_may_keep_more_waiting() {
        assert_eq!(limit(0), 4096);
        assert_eq!(limit(2), 4096);
        assert_eq!(limit(1000), 1_024_000);
    }
}
