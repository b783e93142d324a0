use proptest::prelude::*;

use super::*;

/// Messages of this test: a letter that tells the length, and as many dots.
const FRAMING: Framing = Framing {
    length: |bytes| match bytes.first() {
        Some(letter @ b'a'..=b'z') => {
            let length = usize::from(letter - b'a') + 1;
            Ok((length <= bytes.len()).then_some(length))
        }
        Some(_) => Err(()),
        None => Ok(None),
    },
    find_start: |bytes| bytes.iter().position(u8::is_ascii_lowercase),
};

fn key() -> FlowKey {
    ("10.1.1.20:5060".parse().unwrap(), "10.1.1.1:5060".parse().unwrap())
}

#[derive(Default)]
struct Listener {
    flows: Flows,
    heard: Vec<String>,
}

impl Listener {
    fn segment(&mut self, sequence: u32, text: &str, seconds: u64) {
        self.piece(sequence, text.as_bytes(), false, seconds);
    }

    fn piece(&mut self, sequence: u32, bytes: &[u8], opens: bool, seconds: u64) {
        let piece = Piece {
            sequence,
            opens,
            closes: false,
            bytes,
        };
        let heard = &mut self.heard;
        let now = Instant::from_parts(1000 + seconds, 0);
        let take = |message: &[u8]| heard.push(String::from_utf8_lossy(message).into_owned());
        self.flows.handle(key(), &piece, FRAMING, now, take);
    }

    fn opened_at(sequence: u32) -> Self {
        let mut listener = Self::default();
        listener.piece(sequence.wrapping_sub(1), b"", true, 0);
        listener
    }
}

#[test]
fn messages_are_put_together_across_segments_and_cut_apart_within_one() {
    let mut listener = Listener::opened_at(100);
    listener.segment(100, "c.", 0);
    listener.segment(102, ".b.d..", 0);
    listener.segment(108, ".", 0);
    assert_eq!(listener.heard, ["c..", "b.", "d..."]);
}

#[test]
fn repeated_and_overlapping_segments_count_once_also_when_numbers_begin_again() {
    let mut listener = Listener::opened_at(u32::MAX - 1);
    listener.segment(u32::MAX - 1, "c.", 0);
    listener.segment(u32::MAX - 1, "c.", 0);
    listener.segment(u32::MAX, "..b", 0);
    listener.segment(2, ".", 0);
    assert_eq!(listener.heard, ["c..", "b."]);
}

#[test]
fn segments_out_of_order_wait_for_each_other() {
    let mut listener = Listener::opened_at(0);
    listener.segment(4, "b.", 0);
    listener.segment(2, ".a", 0);
    listener.segment(0, "c.", 0);
    assert_eq!(listener.heard, ["c..", "a", "b."]);
}

#[test]
fn a_gap_that_stays_is_skipped_to_the_next_message() {
    let mut listener = Listener::opened_at(0);
    listener.segment(0, "e.", 0);
    listener.segment(4, ".b.", 1);
    listener.segment(7, "a", 4);
    assert_eq!(listener.heard, ["b.", "a"]);
}

#[test]
fn a_stream_joined_in_the_middle_is_read_from_the_next_message_on() {
    let mut listener = Listener::default();
    listener.segment(5000, "...c", 0);
    listener.segment(5004, "..", 0);
    assert_eq!(listener.heard, ["c.."]);
    listener.segment(4_000_000_000, ".b.", 1);
    assert_eq!(
        listener.heard,
        ["c..", "b."],
        "another connection between the same ports"
    );
}

#[test]
fn what_is_no_message_is_passed_over() {
    let mut listener = Listener::opened_at(0);
    listener.segment(0, "!!!b.", 0);
    assert_eq!(listener.heard, ["b."]);
}

proptest! {
    #[test]
    fn any_segments_stay_within_bounds_and_never_panic(
        segments in proptest::collection::vec((0_u32..200_000, any::<u8>(), 0_usize..9000, 0_u64..10), 0..100),
    ) {
        let mut listener = Listener::default();
        for (sequence, byte, length, seconds) in segments {
            listener.piece(sequence, &vec![byte; length], false, seconds);
            for flow in listener.flows.flows.values() {
                prop_assert!(flow.bytes.len() <= MOST_BYTES + MOST_EARLY_BYTES + 9000);
                prop_assert!(flow.early.len() <= MOST_EARLY + 1);
                prop_assert_eq!(flow.early_bytes, flow.early.values().map(Vec::len).sum::<usize>());
            }
        }
    }

    #[test]
    fn any_order_of_segments_gives_the_same_messages(order in Just((0_u32..12).collect::<Vec<_>>()).prop_shuffle()) {
        let word = |(length, letter): (usize, char)| [letter.to_string(), ".".repeat(length)].concat();
        let stream: String = "abcdefgh".chars().enumerate().map(word).collect();
        let mut listener = Listener::opened_at(0);
        for part in order {
            let start = part as usize * 3;
            listener.segment(part * 3, &stream[start..start + 3], 0);
        }
        prop_assert_eq!(listener.heard.concat(), stream);
    }
}
