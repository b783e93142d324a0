//! Cost per frame of what every mirrored frame goes through: parsing, the media filter, classification, stream table;
//! and of the survey of a mirror port, which has them all.

#![allow(missing_docs, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod mix;

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use silentmon_capture_core::filter::MediaFilter;
use silentmon_capture_core::stream::{Arrival, Evidence, Limits, StreamTable};
use silentmon_capture_core::survey::{Survey, SurveyOptions};
use silentmon_proto::frame::FrameReader;
use silentmon_proto::ids::MediaAddress;

use mix::{Mix, phone};

const CALLS: u32 = 1000;
const PACKETS: u32 = 50;

fn parse(mix: &Mix, reader: &mut FrameReader) -> u64 {
    let read = |frame| u64::from(reader.read(black_box(&frame)).is_ok());
    mix.frames().map(read).sum()
}

/// Frames, their datagrams through the filter, and what is wanted through the table.
fn through(mix: &Mix, reader: &mut FrameReader, filter: &MediaFilter, table: &mut StreamTable) -> u64 {
    let mut rtp = 0;
    for frame in mix.frames() {
        let Ok(datagram) = reader.read(&frame) else { continue };
        if filter.wants(datagram.source, datagram.destination) {
            let arrival = table.handle_datagram(&datagram, Evidence::Observed);
            rtp += u64::from(matches!(arrival, Arrival::Rtp(_)));
        }
    }
    rtp
}

fn benchmarks(criterion: &mut Criterion) {
    let mix = Mix::new(CALLS, PACKETS);
    let one: MediaFilter = [MediaAddress {
        ip: IpAddr::from(phone(7)),
        port: None,
    }]
    .into_iter()
    .collect();
    let everything = MediaFilter::everything();
    let mut group = criterion.benchmark_group("1000 calls");
    group.sample_size(20);
    group.throughput(Throughput::Elements(mix.len()));
    group.bench_function("parse", |bencher| {
        let mut reader = FrameReader::default();
        bencher.iter(|| parse(&mix, &mut reader));
    });
    for (name, filter) in [
        ("parse, filter of one agent, table", &one),
        ("parse, classify, table of all", &everything),
    ] {
        group.bench_function(name, |bencher| {
            // A table that has seen the packets would take them for duplicates.
            bencher.iter_batched(
                || (FrameReader::default(), StreamTable::new(Limits::default())),
                |(mut reader, mut table)| through(&mix, &mut reader, filter, &mut table),
                BatchSize::PerIteration,
            );
        });
    }
    group.bench_function("survey", |bencher| {
        bencher.iter_batched(
            || Survey::new(SurveyOptions::default()),
            |mut survey| {
                mix.frames().for_each(|frame| survey.handle_frame(&frame));
                survey
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("report of a survey", |bencher| {
        let mut survey = Survey::new(SurveyOptions::default());
        mix.frames().for_each(|frame| survey.handle_frame(&frame));
        bencher.iter(|| black_box(survey.report()));
    });
    group.finish();
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
