//! How good a leg is, seen from the supervisor's end: the call by the capture server's word, our copy by the player's.

use serde::Serialize;
use silentmon_playback_core::report::LegReport;
use silentmon_proto::quality::{Figures, LossCounts};
use silentmon_proto::relay::LegStatus;

/// One leg.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LegQuality {
    /// The call as its phones suffer it; absent before the server told anything.
    pub call: Option<Figures>,
    /// Our copy of it: lost in the mirror, on the relay, or late; absent before anything was heard.
    pub copy: Option<Figures>,
}

impl LegQuality {
    /// From what the player and the capture server say of a leg.
    pub fn of(report: &LegReport, status: &LegStatus) -> Self {
        let mirror = status
            .quality
            .map_or_else(LossCounts::default, |quality| quality.mirror);
        Self {
            call: status.quality.map(|quality| quality.figures()),
            copy: report.first_audio.map(|_| report.copy_figures(&mirror)),
        }
    }

    /// Both legs: agent, customer.
    pub fn of_legs(reports: &[LegReport; 2], status: &[LegStatus; 2]) -> [Self; 2] {
        let [agent, customer] = reports;
        let [agent_status, customer_status] = status;
        [Self::of(agent, agent_status), Self::of(customer, customer_status)]
    }

    /// For people; nothing where nothing is known.
    pub fn words(&self) -> String {
        let call = self.call.map(|figures| format!("the call: {}", figures.words()));
        let copy = self.copy.map(|figures| format!("our copy: {}", figures.words()));
        call.into_iter().chain(copy).collect::<Vec<_>>().join("   ")
    }

    /// The worse of two legs in each respect: what one hears of a conversation.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            call: worse(self.call, other.call),
            copy: worse(self.copy, other.copy),
        }
    }
}

fn worse(one: Option<Figures>, other: Option<Figures>) -> Option<Figures> {
    let missing = |figures: &Figures| figures.loss_percent + figures.discard_percent;
    let badness = |figures: &Figures| figures.mos.map_or(missing(figures), |mos| 100.0 - mos);
    one.into_iter()
        .chain(other)
        .max_by(|one, other| badness(one).total_cmp(&badness(other)))
}
