//! libpcap beside the raw socket: how the product itself sees the tags. It looks away as soon as the burst begins, which is
//! counted by the raw socket alone.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use silentmon_capture_io::live::{Direction, LiveCapture, LiveOptions, LiveRead, LiveStop};
use silentmon_nic_core::check::CheckId;
use silentmon_nic_core::read::{Arrived, Content, Sighting, read};
use silentmon_nic_core::wire::SessionId;

/// Frames of checks that wait to be counted; a round has fewer than a hundred before its burst.
const WAITING: usize = 4096;
/// Frames handed over at a time.
const BLOCK: usize = 256;

/// A capture that runs until it is dropped.
pub(crate) struct Watch {
    stop: LiveStop,
    sightings: Receiver<(SessionId, Sighting)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look.
    ///
    /// # Errors
    /// Why libpcap can't, in a sentence.
    pub(crate) fn start(interface: &str) -> Result<Self, String> {
        let options = LiveOptions {
            direction: Direction::In,
            buffer_size: 8 << 20,
            ..LiveOptions::default()
        };
        let mut capture = LiveCapture::open(interface, &options).map_err(|error| error.to_string())?;
        let stop = capture.stop();
        let (sender, sightings) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("nic-watch".to_owned());
        let thread = thread
            .spawn(move || look(&mut capture, &sender))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            stop,
            sightings,
            thread: Some(thread),
        })
    }

    /// What was seen since this was last asked.
    pub(crate) fn sightings(&self) -> impl Iterator<Item = (SessionId, Sighting)> {
        self.sightings.try_iter()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // It panics never; if it did, the test goes on without it.
            let _ = thread.join();
        }
    }
}

fn look(capture: &mut LiveCapture, sender: &SyncSender<(SessionId, Sighting)>) {
    let mut burst_begins = false;
    while !burst_begins {
        let done = capture.read(BLOCK, |frame| {
            let arrived = Arrived {
                bytes: frame.bytes,
                metadata: None,
                stamp: frame.captured,
            };
            if let Content::Probe(session, sighting) = read(&arrived).content {
                burst_begins |= sighting.check == CheckId::Burst;
                // Where nobody reads any more, what was seen isn't wanted.
                let _ = sender.try_send((session, sighting));
            }
        });
        match done {
            Ok(LiveRead::Frames(_)) => {}
            Ok(LiveRead::Stopped) => return,
            Err(error) => {
                tracing::warn!(%error, "libpcap ended; tags are judged by the raw socket alone");
                return;
            }
        }
    }
}
