//! The store by which members of the cluster learn of each other, where they don't tell each other.

use silentmon_capture_core::cluster::StoreInput;

use super::Service;
use crate::cluster::nats::Store;

impl Service {
    /// Takes what the store says.
    pub(super) fn handle_store(&mut self, input: StoreInput) {
        match &input {
            StoreInput::Available => tracing::info!("the cluster's store is reached"),
            StoreInput::Unavailable(why) => tracing::warn!("the cluster's store is not reached: {why}"),
            StoreInput::Missed(why) => tracing::warn!("changes in the cluster's store were missed: {why}"),
            StoreInput::Change { .. } | StoreInput::CaughtUp | StoreInput::Outcome(_) => {}
        }
        self.engine.handle_store(input, self.clock.now());
    }

    /// Gives it what is to be kept.
    pub(super) fn drain_store(&mut self) {
        if let Some(store) = &self.store {
            while let Some(transmit) = self.engine.poll_store_transmit() {
                store.order(transmit);
            }
        }
    }
}

/// What the store says next, where there is one. Safe to be given up in a `select`.
pub(super) async fn next_of(store: &mut Option<Store>) -> Option<StoreInput> {
    match store {
        Some(store) => store.next().await,
        None => std::future::pending().await,
    }
}
