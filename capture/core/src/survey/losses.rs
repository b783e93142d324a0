//! What is missing, and whether the calls or the mirror lost it: the capture service's own judgement, for all streams.

use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::time::Instant;

use super::report::LossFigures;
use crate::attribution::{Evidence, LegWatch};
use crate::stream::{RtpArrival, StreamId, StreamTable, Validity};

/// Streams watched at a time; packets of others are counted as not judged.
const MOST: usize = 20_000;
/// How often gaps are judged, in capture time.
const EVERY: Duration = Duration::from_secs(1);
/// A stream silent for so long is no longer watched: what follows a pause isn't a loss.
const SILENT: Duration = Duration::from_secs(10);

/// Watches the gaps of all streams.
#[derive(Debug, Default)]
pub(super) struct Losses {
    watches: HashMap<StreamId, Watch>,
    /// Losses of streams that are no longer watched.
    past: LossFigures,
    due: Option<Instant>,
    dropped: bool,
}

#[derive(Debug)]
struct Watch {
    leg: LegWatch,
    last: Instant,
}

impl Losses {
    pub(super) fn handle(&mut self, arrival: &RtpArrival<'_>, captured: Instant) {
        if arrival.validity != Validity::Valid || !arrival.freshness.is_new() {
            return;
        }
        if !self.watches.contains_key(&arrival.stream) && self.watches.len() >= MOST {
            self.past.unwatched += 1;
            return;
        }
        let watch = self.watches.entry(arrival.stream).or_insert_with(|| Watch {
            leg: LegWatch::default(),
            last: captured,
        });
        watch.leg.handle(arrival.stream, arrival.extended_sequence, captured);
        watch.last = watch.last.max(captured);
    }

    /// The kernel lost frames since this was last said.
    pub(super) const fn note_dropped(&mut self) {
        self.dropped = true;
    }

    pub(super) fn handle_timeout(&mut self, table: &StreamTable, now: Instant) {
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        // Nothing to judge yet with the first frame.
        if self.due.replace(now + EVERY).is_some() {
            self.judge(table, false, now);
            self.forget(now);
        }
    }

    pub(super) fn conclude(&mut self, table: &StreamTable, now: Instant) {
        self.judge(table, true, now);
    }

    fn judge(&mut self, table: &StreamTable, at_last: bool, now: Instant) {
        let mut evidence = Evidence::default();
        let dropped = std::mem::take(&mut self.dropped);
        for watch in self.watches.values_mut() {
            watch.leg.testify(&mut evidence, dropped, now);
        }
        evidence.complete();
        for watch in self.watches.values_mut() {
            watch.leg.judge(&evidence, table, at_last, now);
        }
    }

    fn forget(&mut self, now: Instant) {
        let past = &mut self.past;
        self.watches.retain(|_, watch| {
            let heard = now.saturating_since(watch.last) < SILENT;
            if !heard {
                past.add(watch.leg.lost());
            }
            heard
        });
    }

    pub(super) fn figures(&self) -> LossFigures {
        let mut figures = self.past;
        for watch in self.watches.values() {
            figures.add(watch.leg.lost());
        }
        figures
    }
}

impl LossFigures {
    const fn add(&mut self, (call, mirror): (u64, u64)) {
        self.in_call += call;
        self.in_mirror += mirror;
    }
}
