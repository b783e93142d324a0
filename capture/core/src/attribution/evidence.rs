//! What speaks for the mirror: gaps of other streams, and frames that the capture itself lost.

use std::time::Duration;

use silentmon_proto::time::Instant;

use super::Gap;
use crate::stream::StreamId;

/// Streams below which a share of them says nothing: two calls.
const FEW_STREAMS: usize = 4;

/// What is known of all streams when a gap is judged.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Gaps of all streams: whose, from when, until when.
    gaps: Vec<(StreamId, Instant, Instant)>,
    /// Longest of them.
    longest: Duration,
    /// Streams heard lately.
    streams: Vec<StreamId>,
    everywhere: bool,
    sorted: bool,
}

impl Evidence {
    pub(super) fn add_stream(&mut self, stream: StreamId) {
        self.streams.push(stream);
    }

    pub(super) fn add_gap(&mut self, stream: StreamId, gap: &Gap) {
        let (begin, end) = (gap.begin, gap.end());
        self.longest = self.longest.max(end.saturating_since(begin));
        self.gaps.push((stream, begin, end));
        self.sorted = false;
    }

    /// To be called when all legs were asked. A stream that several sessions hear counts once.
    pub fn complete(&mut self) {
        self.gaps
            .sort_unstable_by_key(|&(stream, begin, end)| (begin, end, stream));
        self.gaps.dedup();
        self.streams.sort_unstable();
        self.streams.dedup();
        self.everywhere = self.nearly_all_have_gaps();
        self.sorted = true;
    }

    /// Whether another stream has a gap where this one has.
    pub(super) fn coincides(&self, stream: StreamId, gap: &Gap) -> bool {
        debug_assert!(self.sorted, "complete() comes first");
        let margin = self.longest + Duration::from_millis(50);
        let from = self
            .gaps
            .partition_point(|&(_, begin, _)| begin < gap.begin.saturating_back(margin));
        let near = self.gaps.get(from..).unwrap_or_default();
        let reach = gap.end() + Duration::from_millis(50);
        near.iter()
            .take_while(|&&(_, begin, _)| begin <= reach)
            .any(|&(other, begin, end)| other != stream && gap.coincides((begin, end)))
    }

    /// Whether so many streams have gaps that no call can be the cause: both directions of nearly all calls.
    pub(super) const fn is_everywhere(&self) -> bool {
        debug_assert!(self.sorted, "complete() comes first");
        self.everywhere
    }

    fn nearly_all_have_gaps(&self) -> bool {
        let mut streams: Vec<_> = self.gaps.iter().map(|&(stream, ..)| stream).collect();
        streams.sort_unstable();
        streams.dedup();
        self.streams.len() >= FEW_STREAMS && streams.len() * 4 > self.streams.len() * 3
    }
}
