//! Media of calls: told by the script, stopped and brought back by holds.

use silentmon_proto::cti::{MediaDirection, MediaStarted, MediaStopped};
use silentmon_proto::ids::CallId;

use super::{ConnectionState, Happening, Media, Party, Told, World};

impl World {
    pub(super) fn media_started(&mut self, event: MediaStarted, told: &mut Vec<Happening>) {
        let party = self.party(event.agent.as_ref(), event.device.as_ref());
        let call = event
            .call
            .map(|call| self.current(&call))
            .or_else(|| self.active_call(&party));
        let call = call.unwrap_or_else(|| CallId::new("0"));
        let directions = event
            .direction
            .map_or_else(|| vec![MediaDirection::Receive, MediaDirection::Send], |one| vec![one]);
        for direction in directions {
            let media = Media {
                party: party.clone(),
                call: call.clone(),
                direction,
                address: event.address,
                remote: event.remote,
                codec: event.codec.clone(),
                held: false,
            };
            self.media.retain(|known| {
                (&known.party.extension, &known.call, known.direction) != (&party.extension, &call, direction)
            });
            self.media.push(media.clone());
            told.push(Happening::MediaStarted(media));
        }
    }

    fn active_call(&self, party: &Party) -> Option<CallId> {
        let calls = self.calls_of(&party.extension);
        let connected = calls
            .iter()
            .find(|told| told.connection.state == ConnectionState::Connected);
        connected.or(calls.first()).map(|told| told.call.clone())
    }

    pub(super) fn media_stopped(&mut self, event: &MediaStopped, told: &mut Vec<Happening>) {
        let party = self.party(event.agent.as_ref(), event.device.as_ref());
        let call = event.call.as_ref().map(|call| self.current(call));
        self.stop_media(
            |media| {
                media.party.extension == party.extension
                    && call.as_ref().is_none_or(|call| media.call == *call)
                    && event.address.is_none_or(|address| media.address == address)
                    && event.direction.is_none_or(|direction| media.direction == direction)
            },
            told,
        );
    }

    pub(super) fn stop_media(&mut self, meant: impl Fn(&Media) -> bool, told: &mut Vec<Happening>) {
        let (stopped, kept) = std::mem::take(&mut self.media)
            .into_iter()
            .partition(|media| meant(media));
        self.media = kept;
        let stopped: Vec<Media> = stopped;
        told.extend(
            stopped
                .into_iter()
                .filter(|media| !media.held)
                .map(Happening::MediaStopped),
        );
    }

    /// Media stop while a call is held. A script that says no more of it means that they come back.
    pub(super) fn hold_media(&mut self, mine: &Told, told: &mut Vec<Happening>) {
        for media in self
            .media
            .iter_mut()
            .filter(|media| belongs(media, mine) && !media.held)
        {
            media.held = true;
            told.push(Happening::MediaStopped(media.clone()));
        }
    }

    pub(super) fn resume_media(&mut self, mine: &Told, told: &mut Vec<Happening>) {
        for media in self.media.iter_mut().filter(|media| belongs(media, mine) && media.held) {
            media.held = false;
            told.push(Happening::MediaStarted(media.clone()));
        }
    }
}

fn belongs(media: &Media, mine: &Told) -> bool {
    media.call == mine.call && media.party.extension == mine.party.extension
}
