//! One leg's packets: what came, what is missing, and where it went missing once that can be told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use silentmon_proto::codec::Codec;
use silentmon_proto::quality::{BurstMeter, CallQuality, Reported};
use silentmon_proto::time::Instant;

use super::{Evidence, Gap, Place};
use crate::stream::{MAX_DROPOUT, Stream, StreamId, StreamTable};

/// Streams of one leg watched at a time.
const MOST_STREAMS: usize = 4;
/// Gaps of one stream that wait to be judged.
const MOST_GAPS: usize = 128;
/// A gap is judged this long after its end: others must have had the time to show theirs.
const SETTLED: Duration = Duration::from_millis(250);
/// How long a gap waits for a reception report, where there are any: they come every 5 s (RFC 3550 section 6.2).
const REPORT_WITHIN: Duration = Duration::from_secs(8);
/// A reception report is seen up to this long after it came.
const REPORT_SEEN_WITHIN: Duration = Duration::from_secs(1);
/// A stream heard within this time is alive.
const ALIVE: Duration = Duration::from_secs(2);

/// Watches one leg. Gaps are counted once they are judged.
#[derive(Debug, Clone, Default)]
pub struct LegWatch {
    streams: BTreeMap<StreamId, Watched>,
    call: BurstMeter,
    mirror: BurstMeter,
    jitter: MeanJitter,
    packet_time: Duration,
    reported: Option<Reported>,
}

#[derive(Debug, Clone)]
struct Watched {
    /// Number expected next.
    next: u64,
    last_captured: Instant,
    gaps: VecDeque<Gap>,
    confession: Option<Confession>,
}

/// What the phone that hears a stream admits to miss.
#[derive(Debug, Clone, Copy)]
struct Confession {
    /// Reception reports so far.
    reports: u32,
    /// When the first and the last were seen.
    since: Instant,
    seen: Instant,
    /// Packets missing in all, by the last.
    lost: i64,
    /// Packets that the last two admit, no gap was found for yet; and those of the last alone.
    open: u64,
    latest: u64,
}

/// Interarrival jitter over the whole session, from its value once a second.
#[derive(Debug, Clone, Copy, Default)]
struct MeanJitter {
    sum: Duration,
    values: u32,
    largest: Duration,
}

impl MeanJitter {
    fn note(&mut self, jitter: Duration) {
        self.sum += jitter;
        self.values += 1;
        self.largest = self.largest.max(jitter);
    }

    fn mean(&self) -> Duration {
        self.sum / self.values.max(1)
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl LegWatch {
    /// Takes a packet that was not seen before, by its extended sequence number.
    pub fn handle(&mut self, stream: StreamId, number: u64, captured: Instant) {
        if !self.streams.contains_key(&stream) {
            self.make_room();
            let watched = Watched {
                next: number,
                last_captured: captured,
                gaps: VecDeque::new(),
                confession: None,
            };
            self.streams.insert(stream, watched);
        }
        let Some(watched) = self.streams.get_mut(&stream) else {
            return;
        };
        if number < watched.next {
            watched.fill(number, &mut self.call, &mut self.mirror);
            return;
        }
        let missing = number - watched.next;
        // A sender that counts anew leaves no gap.
        if missing > 0 && missing <= u64::from(MAX_DROPOUT) {
            let gap = Gap::between(watched.next, missing, watched.last_captured, captured);
            watched.gaps.push_back(gap);
        }
        watched.next = number + 1;
        watched.last_captured = captured;
        match watched.gaps.back_mut() {
            Some(gap) => gap.came += 1,
            None => received(1, &mut self.call, &mut self.mirror),
        }
        if watched.gaps.len() > MOST_GAPS {
            watched.close(Place::Call, &mut self.call, &mut self.mirror);
        }
    }

    /// Gives way to a new stream.
    fn make_room(&mut self) {
        if self.streams.len() < MOST_STREAMS {
            return;
        }
        let oldest = self.streams.iter().min_by_key(|(_, watched)| watched.last_captured);
        if let Some(oldest) = oldest.map(|(&id, _)| id)
            && let Some(mut watched) = self.streams.remove(&oldest)
        {
            while !watched.gaps.is_empty() {
                watched.close(Place::Call, &mut self.call, &mut self.mirror);
            }
        }
    }

    /// Shows what it knows, to judge its gaps and those of others. `dropped`: the capture lost frames lately.
    pub fn testify(&mut self, evidence: &mut Evidence, dropped: bool, now: Instant) {
        for (&stream, watched) in &mut self.streams {
            if now.saturating_since(watched.last_captured) <= ALIVE {
                evidence.add_stream(stream);
            }
            for gap in &mut watched.gaps {
                gap.dropped |= dropped;
                evidence.add_gap(stream, gap);
            }
        }
    }

    /// Judges the gaps that can be judged now; all of them `at_last`.
    pub fn judge(&mut self, evidence: &Evidence, streams: &StreamTable, at_last: bool, now: Instant) {
        let everywhere = evidence.is_everywhere();
        let (call, mirror) = (&mut self.call, &mut self.mirror);
        for (&id, watched) in &mut self.streams {
            let stream = streams.stream(id);
            if let Some(stream) = stream {
                watched.take_report(stream, now);
            }
            while let Some(&gap) = watched.gaps.front() {
                if !at_last && !watched.is_ripe(&gap, now) {
                    break;
                }
                let place = if gap.dropped {
                    Place::Mirror
                } else if let Some(place) = watched.confessed(&gap) {
                    place
                } else if everywhere || evidence.coincides(id, &gap) {
                    Place::Mirror
                } else {
                    Place::Call
                };
                watched.close(place, call, mirror);
            }
        }
        self.note_figures(streams, now);
    }

    fn note_figures(&mut self, streams: &StreamTable, now: Instant) {
        let latest = self.streams.iter().max_by_key(|(_, watched)| watched.last_captured);
        let Some(stream) = latest.and_then(|(&id, _)| streams.stream(id)) else {
            return;
        };
        self.packet_time = stream.packet_time().unwrap_or(self.packet_time);
        if now.saturating_since(stream.last_captured()) <= ALIVE
            && let Some(jitter) = stream.timing().jitter()
        {
            self.jitter.note(jitter);
        }
        self.reported = reported(stream).or(self.reported);
    }

    /// Packets lost in the call and in the mirror so far.
    pub const fn lost(&self) -> (u64, u64) {
        (self.call.counts().lost, self.mirror.counts().lost)
    }

    /// What is told of the leg; `None` before the first packet.
    pub fn quality(&self, codec: Option<Codec>) -> Option<CallQuality> {
        let (call, mirror) = (self.call.counts(), self.mirror.counts());
        (call.packets > 0).then(|| CallQuality {
            codec,
            packet_time_us: microseconds(self.packet_time),
            jitter_us: microseconds(self.jitter.mean()),
            jitter_max_us: microseconds(self.jitter.largest),
            call,
            mirror,
            reported: self.reported,
        })
    }
}

impl Watched {
    /// A packet came after newer ones.
    fn fill(&mut self, number: u64, call: &mut BurstMeter, mirror: &mut BurstMeter) {
        let Some(at) = self.gaps.iter().position(|gap| gap.holds(number)) else {
            return;
        };
        let Some(gap) = self.gaps.remove(at) else { return };
        let (before, after) = gap.without(number);
        let came = match after {
            Some(after) => {
                self.gaps.insert(at, after);
                0
            }
            None => gap.came,
        };
        match before {
            Some(before) => self.gaps.insert(
                at,
                Gap {
                    came: before.came + came,
                    ..before
                },
            ),
            None => match at.checked_sub(1).and_then(|at| self.gaps.get_mut(at)) {
                Some(previous) => previous.came += 1 + came,
                None => received(1 + came, call, mirror),
            },
        }
    }

    /// Counts the oldest gap, and what came after it.
    fn close(&mut self, place: Place, call: &mut BurstMeter, mirror: &mut BurstMeter) {
        let Some(gap) = self.gaps.pop_front() else { return };
        for _ in 0..gap.count {
            match place {
                Place::Call => {
                    call.lost();
                    mirror.received();
                }
                Place::Mirror => {
                    call.received();
                    mirror.lost();
                }
            }
        }
        received(gap.came, call, mirror);
    }

    fn take_report(&mut self, stream: &Stream, now: Instant) {
        let figures = stream.rtcp();
        let (reports, lost) = (figures.reception_reports, i64::from(figures.cumulative_lost));
        match &mut self.confession {
            Some(confession) if confession.reports == reports => {}
            Some(confession) => confession.take(reports, lost, now),
            None if reports == 0 => {}
            None => {
                self.confession = Some(Confession {
                    reports,
                    since: now,
                    seen: now,
                    lost,
                    open: 0,
                    latest: 0,
                });
            }
        }
    }

    /// Whether a gap can be judged. Where the hearing phone reports, its next report is awaited.
    fn is_ripe(&self, gap: &Gap, now: Instant) -> bool {
        let age = now.saturating_since(gap.end());
        let awaited = self.confession.filter(|confession| confession.since <= gap.begin);
        let heard_of = awaited.is_none_or(|confession| confession.covers(gap));
        age >= SETTLED && (heard_of || age >= REPORT_WITHIN)
    }

    /// Where the loss was by the phone's own word: each packet that it admits to miss accounts for one.
    fn confessed(&mut self, gap: &Gap) -> Option<Place> {
        let confession = self.confession.as_mut().filter(|confession| confession.covers(gap))?;
        let admitted = confession.open * 2 >= gap.count && confession.open > 0;
        confession.open = confession.open.saturating_sub(gap.count);
        Some(if admitted { Place::Call } else { Place::Mirror })
    }
}

impl Confession {
    /// What no gap was found for is forgotten with the second report after: the phone lost it behind the mirror.
    fn take(&mut self, reports: u32, lost: i64, now: Instant) {
        let admitted = u64::try_from(lost - self.lost).unwrap_or(0);
        *self = Self {
            reports,
            since: self.since,
            seen: now,
            lost,
            open: self.open.min(self.latest) + admitted,
            latest: admitted,
        };
    }

    /// Whether the last report can know of a gap.
    fn covers(&self, gap: &Gap) -> bool {
        self.since <= gap.begin && gap.end() + REPORT_SEEN_WITHIN <= self.seen
    }
}

fn received(packets: u64, call: &mut BurstMeter, mirror: &mut BurstMeter) {
    for _ in 0..packets {
        call.received();
        mirror.received();
    }
}

fn reported(stream: &Stream) -> Option<Reported> {
    let figures = stream.rtcp();
    let rate = stream.timing().clock_rate()?;
    (figures.reception_reports > 0).then(|| Reported {
        lost: figures.cumulative_lost,
        jitter_us: u64::from(figures.jitter) * 1_000_000 / u64::from(rate),
        listening_mos: figures.listening_mos,
    })
}
