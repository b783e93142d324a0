//! WAV files of 16 bit PCM (RIFF WAVE, `WAVE_FORMAT_PCM`), whose header is true after every flush.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// Length of the header in bytes.
const HEADER: u32 = 44;
/// Bytes of a sample.
const SAMPLE: u16 = 2;

/// What the samples of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavFormat {
    /// Channels, interleaved.
    pub channels: u16,
    /// Frames per second.
    pub sample_rate: u32,
}

/// Writes samples to a file, or to anything that can be written and sought.
///
/// Dropping it completes the header as far as that is possible; [`WavWriter::finish`] also says whether it was. Sizes
/// stay at their limit for files over 4 GiB.
#[derive(Debug)]
pub struct WavWriter<W: Write + Seek> {
    /// `None` only once finished.
    inner: Option<W>,
    format: WavFormat,
    written: u64,
    unflushed: bool,
}

impl WavWriter<BufWriter<File>> {
    /// Creates a file, replacing what was there.
    ///
    /// # Errors
    /// Where it can't be created or written.
    pub fn create(path: &Path, format: WavFormat) -> io::Result<Self> {
        Self::new(BufWriter::new(File::create(path)?), format)
    }
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writes the header of a file without samples.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn new(mut inner: W, format: WavFormat) -> io::Result<Self> {
        inner.write_all(&header(format, 0))?;
        inner.flush()?;
        Ok(Self {
            inner: Some(inner),
            format,
            written: 0,
            unflushed: false,
        })
    }

    /// Appends samples, channels interleaved.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn write(&mut self, samples: impl IntoIterator<Item = i16>) -> io::Result<()> {
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        for sample in samples {
            inner.write_all(&sample.to_le_bytes())?;
            self.written += u64::from(SAMPLE);
            self.unflushed = true;
        }
        Ok(())
    }

    /// Changes the rate of a file that holds nothing but silence so far: it stays as long as it is.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn set_sample_rate(&mut self, sample_rate: u32) -> io::Result<()> {
        let before = self.format.sample_rate;
        if sample_rate == before {
            return Ok(());
        }
        self.format.sample_rate = sample_rate;
        let channels = u64::from(self.format.channels);
        let wanted = self.frames() * u64::from(sample_rate) / u64::from(before.max(1));
        for _ in 0..wanted.saturating_sub(self.frames()) * channels {
            self.write([0])?;
        }
        self.unflushed = true;
        self.flush()
    }

    /// Frames written so far.
    pub fn frames(&self) -> u64 {
        self.written / u64::from(SAMPLE * self.format.channels.max(1))
    }

    /// Brings the header up to date and everything to where it is kept.
    ///
    /// # Errors
    /// Where writing or seeking fails.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        if self.unflushed {
            inner.seek(SeekFrom::Start(0))?;
            inner.write_all(&header(self.format, self.written))?;
            inner.seek(SeekFrom::End(0))?;
            self.unflushed = false;
        }
        inner.flush()
    }

    /// Completes the file.
    ///
    /// # Errors
    /// Where writing or seeking fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.inner = None;
        Ok(())
    }
}

impl<W: Write + Seek> Drop for WavWriter<W> {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "a WAV file stays incomplete");
        }
    }
}

fn header(format: WavFormat, written: u64) -> [u8; HEADER as usize] {
    let data = u32::try_from(written).unwrap_or(u32::MAX).min(u32::MAX - HEADER);
    let frame = format.channels.saturating_mul(SAMPLE);
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(data + HEADER - 8).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &format.channels.to_le_bytes(),
        &format.sample_rate.to_le_bytes(),
        &format.sample_rate.saturating_mul(u32::from(frame)).to_le_bytes(),
        &frame.to_le_bytes(),
        &(SAMPLE * 8).to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
    ];
    let mut header = [0; HEADER as usize];
    let bytes = fields.into_iter().flatten();
    for (place, &byte) in header.iter_mut().zip(bytes) {
        *place = byte;
    }
    header
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const STEREO: WavFormat = WavFormat {
        channels: 2,
        sample_rate: 8000,
    };

    fn written(samples: &[i16], finish: bool) -> Vec<u8> {
        let mut memory = Vec::new();
        let mut writer = WavWriter::new(Cursor::new(&mut memory), STEREO).expect("memory");
        writer.write(samples.iter().copied()).expect("memory");
        if finish {
            writer.finish().expect("memory");
        } else {
            drop(writer);
        }
        memory
    }

    #[test]
    fn header_and_samples_are_as_the_format_says() {
        let file = written(&[1, -1, 256, 0], true);
        let expected = [
            b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data\x08\0\0\0".as_slice(),
            &[1, 0, 0xff, 0xff, 0, 1, 0, 0],
        ]
        .concat();
        assert_eq!(file, expected);
    }

    #[test]
    fn a_file_that_nobody_finished_is_complete_all_the_same() {
        assert_eq!(written(&[5; 100], false), written(&[5; 100], true));
    }

    #[test]
    fn after_a_flush_writing_goes_on_behind_what_was_written() {
        let mut memory = Vec::new();
        let mut writer = WavWriter::new(Cursor::new(&mut memory), STEREO).expect("memory");
        for sample in 0..6 {
            writer.write([sample, sample]).expect("memory");
            writer.flush().expect("memory");
        }
        assert_eq!(writer.frames(), 6);
        drop(writer);
        assert_eq!(memory.len(), 44 + 24);
        assert_eq!(memory[40..44], [24, 0, 0, 0]);
        assert_eq!(memory[64..], [5, 0, 5, 0]);
    }

    #[test]
    fn silence_keeps_its_length_when_the_rate_rises() {
        let mut memory = Vec::new();
        let mut writer = WavWriter::new(Cursor::new(&mut memory), STEREO).expect("memory");
        writer.write([0; 16]).expect("memory");
        writer.set_sample_rate(16_000).expect("memory");
        writer.write([5, 6]).expect("memory");
        assert_eq!(writer.frames(), 17);
        writer.finish().expect("memory");
        assert_eq!(memory[24..28], 16_000_u32.to_le_bytes());
        assert_eq!(memory[40..44], 68_u32.to_le_bytes());
        assert_eq!(memory[44 + 64..], [5, 0, 6, 0]);
    }

    #[test]
    fn a_file_beyond_4_gib_keeps_a_header_that_can_be_read() {
        let header = header(STEREO, 1 << 40);
        assert_eq!(header[4..8], (u32::MAX - 8).to_le_bytes());
        assert_eq!(header[40..44], (u32::MAX - 44).to_le_bytes());
    }
}
