//! Portions of the stream to messages.

use proptest::collection::vec;
use proptest::prelude::*;
use silentmon_proto::cti::ged188::{Frame, Framer, HEADER_SIZE, MAX_BODY, MessageType, OutOfSync};

fn wire(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        out.extend(u32::try_from(frame.body.len()).unwrap().to_be_bytes());
        out.extend(frame.message_type.0.to_be_bytes());
        out.extend(&frame.body);
    }
    out
}

fn poll_all(framer: &mut Framer) -> Vec<Frame> {
    std::iter::from_fn(|| framer.poll_frame().unwrap()).collect()
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let frame = (1..=MessageType::HIGHEST, vec(any::<u8>(), 0..80)).prop_map(|(number, body)| Frame {
        message_type: MessageType(number),
        body,
    });
    vec(frame, 0..12)
}

proptest! {
    #[test]
    fn the_portions_do_not_matter(frames in frames(), cuts in vec(1_usize..40, 1..40)) {
        let stream = wire(&frames);
        let mut framer = Framer::default();
        let mut found = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle().take(stream.len()) {
            let (portion, after) = rest.split_at((*cut).min(rest.len()));
            framer.handle_bytes(portion);
            found.extend(poll_all(&mut framer));
            rest = after;
        }
        prop_assert_eq!(found, frames);
    }

    #[test]
    fn no_bytes_panic(portions in vec(vec(any::<u8>(), 0..40), 0..10)) {
        let mut framer = Framer::default();
        for portion in portions {
            framer.handle_bytes(&portion);
            while let Ok(Some(_)) = framer.poll_frame() {}
        }
    }
}

#[test]
fn a_length_that_cannot_be_true_is_an_error_until_the_reset() {
    let mut framer = Framer::default();
    framer.handle_bytes(&[0, 1, 0, 1]);
    let expected = Err(OutOfSync::Length { length: 65537 });
    assert_eq!(framer.poll_frame(), expected);
    assert_eq!(framer.poll_frame(), expected);
    framer.reset();
    framer.handle_bytes(&[0, 0, 0, 0, 0, 0, 1, 25]);
    let message_type = MessageType::STOPPING_REQUESTS_TO_THIS_SIDE_IND;
    assert_eq!(
        framer.poll_frame(),
        Ok(Some(Frame {
            message_type,
            body: vec![]
        }))
    );
}

#[test]
fn a_type_that_nobody_gave_out_is_an_error() {
    for number in [0, 301, u32::MAX] {
        let mut framer = Framer::default();
        framer.handle_bytes(&[&[0, 0, 0, 4][..], &number.to_be_bytes()].concat());
        assert_eq!(framer.poll_frame(), Err(OutOfSync::Type { found: number }));
    }
}

#[test]
fn the_errors_say_what_was_expected_and_found() {
    assert_eq!(
        OutOfSync::Length { length: 1_145_132_097 }.to_string(),
        "out of step: expected a message of at most 65536 bytes, found a length of 1145132097"
    );
    assert_eq!(
        OutOfSync::Type { found: 0 }.to_string(),
        "out of step: expected a message type of 1 to 300, found 0"
    );
}

#[test]
fn the_greatest_message_comes_whole() {
    let frame = Frame {
        message_type: MessageType::SYSTEM_EVENT,
        body: vec![7; MAX_BODY],
    };
    let stream = wire(std::slice::from_ref(&frame));
    assert_eq!(stream.len(), HEADER_SIZE + MAX_BODY);
    let mut framer = Framer::default();
    framer.handle_bytes(&stream);
    assert_eq!(poll_all(&mut framer), [frame]);
}
