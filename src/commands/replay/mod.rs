//! `silentmon replay FILE`: a capture file through the chain, offline: what RTP is in it, or how it sounds.
//!
//! One pass over the file, so that standard input will do. What stands before a damaged place counts; the damage is
//! told at the end with exit code 65. What can't be heard writes no file: exit code 69.

mod exact;
mod gather;
mod hear;
mod list;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args, ValueEnum};
use silentmon_capture_core::stream::{Evidence, Limits, StreamTable, Told};
use silentmon_capture_io::file::{CaptureFile, FileError};
use silentmon_proto::codec::Codec;
use silentmon_proto::frame::{FrameReader, Rejected};
use silentmon_proto::ids::{MediaAddress, PayloadType, Ssrc};

use crate::exit::{ExitKind, Failure};
use crate::output;
use gather::Gathering;

/// Streams kept of one file: more than any capture of a contact centre's day holds, some 700 MB.
const MOST_STREAMS: usize = 1_000_000;

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["list", "wav"])))]
pub struct ReplayArgs {
    /// Capture file: pcap, pcapng, gzip of either; - for standard input.
    file: PathBuf,
    /// Lists the RTP streams.
    #[arg(long, conflicts_with_all = ["stream", "media_address", "exact", "leg"])]
    list: bool,
    /// Writes what is heard to this file.
    #[arg(long, value_name = "OUT.wav")]
    wav: Option<PathBuf>,
    /// The stream to hear.
    #[arg(long, value_name = "SSRC")]
    stream: Option<Ssrc>,
    /// The agent's media address: what comes from it is his leg, what goes to it the customer's.
    #[arg(long, value_name = "IP[:PORT]")]
    media_address: Option<MediaAddress>,
    /// Decodes bare: every payload at its timestamp, gaps zero.
    #[arg(long)]
    exact: bool,
    /// Which leg of a media address to hear.
    #[arg(long, value_enum, default_value_t = LegChoice::Both, requires = "wav")]
    leg: LegChoice,
    /// What a payload type stands for, whatever session descriptions in the file say: 96=opus/48000/2.
    #[arg(long, value_name = "NUMBER=ENCODING", value_parser = rtpmap)]
    rtpmap: Vec<(PayloadType, Codec)>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// Which legs are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LegChoice {
    /// What the agent says.
    Agent,
    /// What the customer says.
    Customer,
    /// Both, agent left.
    Both,
}

/// What is heard: agent and customer.
struct Legs {
    sample_rate: u32,
    samples: [Vec<i16>; 2],
}

/// A file that was read to its end, or to where it is damaged.
struct Reading {
    table: StreamTable,
    frames: u64,
    icmp_quoted: u64,
    truncated: u64,
    gathered: Option<Gathering>,
    damage: Option<FileError>,
}

/// Lists or decodes.
///
/// # Errors
/// `BadData` where the file is no capture or damaged, `Unavailable` where nothing can be heard or written, `Usage`
/// where it isn't clear what to hear.
#[allow(clippy::needless_pass_by_value, reason = "commands take their arguments")]
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let gathering = match &args.wav {
        Some(_) => Some(Gathering::new(args.stream, args.media_address)?),
        None => None,
    };
    let mut reading = read(&args, gathering)?;
    let gathered = reading.gathered.take();
    match (&args.wav, gathered) {
        (Some(wav), Some(gathered)) => hear::run(&args, wav, &reading, gathered)?,
        _ => list::run(&args, &reading)?,
    }
    match reading.damage {
        Some(damage) => Err(bad_data(&damage)),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn rtpmap(text: &str) -> Result<(PayloadType, Codec), String> {
    let told = text.split_once('=').and_then(|(number, encoding)| {
        let number = number.parse::<u8>().ok().filter(|number| *number < 128)?;
        Some((PayloadType(number), Codec::from_encoding(encoding)?))
    });
    told.ok_or_else(|| "expected a payload type below 128, = and an encoding such as opus/48000/2".to_owned())
}

fn bad_data(error: &FileError) -> anyhow::Error {
    Failure::error(ExitKind::BadData, error.to_string())
}

fn read(args: &ReplayArgs, gathering: Option<Gathering>) -> anyhow::Result<Reading> {
    let limits = Limits {
        max_streams: MOST_STREAMS,
        idle: None,
    };
    let mut reading = Reading {
        table: StreamTable::new(limits).with_signalling(),
        frames: 0,
        icmp_quoted: 0,
        truncated: 0,
        gathered: gathering,
        damage: None,
    };
    let described = |payload_type| {
        let map = args.rtpmap.iter().find(|(number, _)| *number == payload_type);
        map.map(|(_, codec)| *codec)
    };
    let mut file = CaptureFile::open(&args.file).map_err(|error| bad_data(&error))?;
    let mut frames = FrameReader::default();
    reading.damage = reading.read_frames(&mut file, &mut frames, described).err();
    reading.frames = file.frames();
    if reading.table.evicted() > 0 {
        output::complain(&format!(
            "silentmon: more than {MOST_STREAMS} streams; the earliest are left out"
        ));
    }
    Ok(reading)
}

impl Reading {
    fn read_frames(
        &mut self,
        file: &mut CaptureFile,
        frames: &mut FrameReader,
        described: impl Fn(PayloadType) -> Option<Codec>,
    ) -> Result<(), FileError> {
        let told = |payload_type| Told {
            named: None,
            described: described(payload_type),
        };
        while let Some(frame) = file.next_frame()? {
            match frames.read(&frame.into()) {
                Ok(datagram) => {
                    let arrival = self.table.handle_told(&datagram, Evidence::Observed, told);
                    if let Some(gathering) = &mut self.gathered {
                        gathering.handle(&datagram, &arrival);
                    }
                }
                Err(Rejected::IcmpQuoted) => self.icmp_quoted += 1,
                Err(Rejected::Truncated) => self.truncated += 1,
                Err(_) => {}
            }
        }
        Ok(())
    }
}
