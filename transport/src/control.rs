//! The control stream: JSON messages, each behind its length in four bytes, big-endian.
//!
//! The first four bytes each way are zero, a greeting without content: a dialling side knows only by it that its
//! certificate was accepted (in TLS 1.3 the dialled side checks after the dialling one thinks it is done).

use bytes::{Buf, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use silentmon_proto::relay::MAX_MESSAGE;

use crate::error::{Closed, ControlError};

const LENGTH: usize = 4;
pub(crate) const GREETING: [u8; LENGTH] = [0; LENGTH];

/// Sends control messages.
#[derive(Debug)]
pub struct ControlSender {
    stream: SendStream,
}

impl ControlSender {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream }
    }

    /// Sends a message; waits where the other side doesn't keep up. Dropping the future may leave half a message
    /// behind, so it must not be a branch of a `select!`.
    ///
    /// # Errors
    /// Where it is longer than [`MAX_MESSAGE`] bytes, or the connection is over.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), ControlError> {
        self.send_all(std::slice::from_ref(message)).await
    }

    /// Sends messages one after the other, in as few packets as they need; else as [`send`](Self::send).
    ///
    /// # Errors
    /// As there; none of them has left where one is too long.
    pub async fn send_all<T: Serialize>(&mut self, messages: &[T]) -> Result<(), ControlError> {
        let mut bytes = Vec::new();
        for message in messages {
            encode(message, &mut bytes)?;
        }
        self.stream.write_all(&bytes).await.map_err(write_failed)
    }

    pub(crate) async fn greet(&mut self) -> Result<(), ControlError> {
        self.stream.write_all(&GREETING).await.map_err(write_failed)
    }

    /// Tells the other side that no further message follows; those sent are still delivered.
    pub fn finish(&mut self) {
        let _ = self.stream.finish();
    }

    /// Waits until everything sent before [`finish`](Self::finish) was delivered, or never will be.
    pub async fn delivered(&mut self) {
        let _ = self.stream.stopped().await;
    }
}

/// Appends a message.
fn encode<T: Serialize>(message: &T, bytes: &mut Vec<u8>) -> Result<(), ControlError> {
    let begin = bytes.len();
    bytes.extend_from_slice(&GREETING);
    serde_json::to_writer(&mut *bytes, message).map_err(|error| ControlError::Unknown {
        found: std::any::type_name::<T>().to_owned(),
        problem: error.to_string(),
    })?;
    let length = bytes.len() - begin - LENGTH;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_MESSAGE);
    let (Some(prefix), Some(head)) = (prefix, bytes[begin..].first_chunk_mut::<LENGTH>()) else {
        return Err(ControlError::TooLong {
            length,
            limit: MAX_MESSAGE,
        });
    };
    *head = prefix.to_be_bytes();
    Ok(())
}

/// Receives control messages.
#[derive(Debug)]
pub struct ControlReceiver {
    stream: RecvStream,
    frames: Frames,
}

impl ControlReceiver {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            frames: Frames::default(),
        }
    }

    /// Waits for the next message; `None` where the other side said that none follows. Dropping the future loses
    /// nothing, so it may be a branch of a `select!`.
    ///
    /// # Errors
    /// [`ControlError::Unknown`] for a message this program doesn't know, after which the next one can be received;
    /// any other error is the stream's end.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ControlError> {
        loop {
            match self.frames.next()? {
                Some(frame) if frame.is_empty() => {}
                Some(frame) => return decode(&frame).map(Some),
                None if self.read().await? => {}
                None if self.frames.is_empty() => return Ok(None),
                None => return Err(ControlError::Truncated),
            }
        }
    }

    /// Waits for the greeting.
    pub(crate) async fn greeting(&mut self) -> Result<(), ControlError> {
        loop {
            match self.frames.next()? {
                Some(frame) if frame.is_empty() => return Ok(()),
                None if self.read().await? => {}
                Some(_) | None => return Err(ControlError::Truncated),
            }
        }
    }

    /// Whether something came before the stream's end.
    async fn read(&mut self) -> Result<bool, ControlError> {
        let chunk = self.stream.read_chunk(usize::MAX, true).await.map_err(read_failed)?;
        let Some(chunk) = chunk else { return Ok(false) };
        self.frames.push(&chunk.bytes);
        Ok(true)
    }
}

impl Drop for ControlReceiver {
    fn drop(&mut self) {
        let _ = self.stream.stop(VarInt::from_u32(0));
    }
}

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
struct Frames {
    buffer: BytesMut,
}

impl Frames {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn next(&mut self) -> Result<Option<BytesMut>, ControlError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > MAX_MESSAGE {
            return Err(ControlError::TooLong {
                length,
                limit: MAX_MESSAGE,
            });
        }
        if self.buffer.len() < LENGTH + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH);
        Ok(Some(self.buffer.split_to(length)))
    }
}

fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(frame).map_err(|error| ControlError::Unknown {
        found: String::from_utf8_lossy(frame.get(..80).unwrap_or(frame)).into_owned(),
        problem: error.to_string(),
    })
}

fn write_failed(error: WriteError) -> ControlError {
    ControlError::Closed(match error {
        WriteError::ConnectionLost(error) => Closed::from_connection(error),
        other => stream_closed(&other.to_string()),
    })
}

fn read_failed(error: ReadError) -> ControlError {
    ControlError::Closed(match error {
        ReadError::ConnectionLost(error) => Closed::from_connection(error),
        other => stream_closed(&other.to_string()),
    })
}

fn stream_closed(reason: &str) -> Closed {
    Closed {
        code: 0,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_oversized_length_is_refused_before_anything_is_kept() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_be_bytes());
        let error = frames.next().expect_err("refused");
        assert!(matches!(
            error,
            ControlError::TooLong {
                length: 4_294_967_295,
                ..
            }
        ));
        assert!(matches!(
            encode(&"x".repeat(MAX_MESSAGE), &mut Vec::new()),
            Err(ControlError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(texts: Vec<String>, cut in 1_usize..9) {
            let mut stream = Vec::new();
            for text in &texts {
                encode(text, &mut stream).expect("short");
            }
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for piece in stream.chunks(cut) {
                frames.push(piece);
                while let Some(frame) = frames.next().expect("short") {
                    got.push(decode::<String>(&frame).expect("text"));
                }
            }
            prop_assert_eq!(got, texts);
            prop_assert!(frames.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(frame)) = frames.next() {
                let _ = decode::<serde_json::Value>(&frame);
            }
        }
    }
}
