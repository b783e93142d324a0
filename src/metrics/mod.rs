//! Figures for Prometheus, in the text of OpenMetrics. No name of a person, agent or call is in them.

#[cfg(feature = "capture")]
pub mod capture;
#[cfg(feature = "playback")]
pub mod playback;

use std::borrow::Cow;
use std::fmt;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use silentmon_proto::ids::Leg;
use silentmon_proto::quality::Histogram;

/// What the text is, as a scraper is told.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What stands before every name.
const PREFIX: &str = "silentmon";

/// Labels of one value.
type Labels<'a> = &'a [(&'static str, &'a str)];

/// Something that has figures to show.
trait Figures: fmt::Debug + Send + Sync + 'static {
    /// Writes them all.
    fn write(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// A page of figures, written anew whenever it is asked for.
#[derive(Debug)]
struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// `labels` stand at every figure.
    fn new(figures: impl Figures, labels: Vec<(&'static str, String)>) -> Self {
        let labels = labels
            .into_iter()
            .map(|(name, value)| (Cow::Borrowed(name), Cow::Owned(value)));
        let mut registry = Registry::with_prefix_and_labels(PREFIX, labels);
        registry.register_collector(Box::new(Source(figures)));
        Self { registry }
    }

    fn answer(&self) -> Response {
        let mut page = String::new();
        match text::encode(&mut page, &self.registry) {
            Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
            Err(error) => {
                tracing::error!(%error, "the metrics can't be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

#[derive(Debug)]
struct Source<F>(F);

impl<F: Figures> Collector for Source<F> {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page { encoder };
        let version = ("version", env!("CARGO_PKG_VERSION"));
        let mut build = page.metric("build", "What runs here", MetricType::Info)?;
        build.encode_info(&[version])?;
        self.0.write(&mut page)
    }
}

/// Where figures are written to.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn metric<'s>(&'s mut self, name: &'s str, help: &str, kind: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.encoder.encode_descriptor(name, help, None, kind)
    }

    /// A sum since the start; `_total` follows its name.
    fn counter<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut metric = self.metric(name, help, MetricType::Counter)?;
        for (labels, value) in values {
            let none = None::<&prometheus_client::metrics::exemplar::Exemplar<NoLabelSet, f64>>;
            if labels.is_empty() {
                metric.encode_counter(&value, none)?;
            } else {
                metric.encode_family(&labels)?.encode_counter(&value, none)?;
            }
        }
        Ok(())
    }

    /// A value that goes up and down.
    fn gauge<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut metric = self.metric(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            if labels.is_empty() {
                metric.encode_gauge(&value)?;
            } else {
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    /// How values spread, by leg.
    fn histogram(&mut self, name: &str, help: &str, legs: [&Histogram; 2]) -> fmt::Result {
        let mut metric = self.metric(name, help, MetricType::Histogram)?;
        for (label, histogram) in LEGS.iter().zip(legs) {
            let buckets: Vec<_> = histogram.buckets().collect();
            let labels: Labels<'_> = std::slice::from_ref(label);
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                histogram.sum(),
                histogram.count(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    /// A counter of both legs.
    fn legs(&mut self, name: &str, help: &str, of: impl Fn(Leg) -> f64) -> fmt::Result {
        let values = Leg::BOTH.map(|leg| (std::slice::from_ref(&LEGS[leg.index()]), of(leg)));
        self.counter(name, help, values)
    }

    /// A counter of each leg by one more label, whose values are given with the counts.
    #[cfg(feature = "capture")]
    fn legs_by<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        of: impl Fn(Leg) -> [(&'static str, u64); N],
    ) -> fmt::Result {
        let counts =
            Leg::BOTH.map(|leg| of(leg).map(|(value, count)| ([LEGS[leg.index()], (label, value)], count as f64)));
        let values = counts
            .as_flattened()
            .iter()
            .map(|(labels, count)| (&labels[..], *count));
        self.counter(name, help, values)
    }
}

/// The label of each leg.
const LEGS: [(&str, &str); 2] = [("leg", "agent"), ("leg", "customer")];
