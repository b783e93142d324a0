//! Calls: what becomes of a device's connection, of a call that goes into another, of one that ends.

use silentmon_proto::cti::{CallEnded, CallEvent, CallEventKind, CallRenamed, ReleasingParty};
use silentmon_proto::ids::{CallId, Extension};

use super::{Connection, ConnectionState, Happening, Party, Told, World, outgoing, state_after};

impl World {
    pub(super) fn call(&mut self, event: &CallEvent, told: &mut Vec<Happening>) {
        let party = self.party(event.agent.as_ref(), event.device.as_ref());
        let call = self.current(&event.call);
        let began = !self.calls.contains_key(&call);
        let before = self
            .calls
            .get(&call)
            .and_then(|connections| connections.get(&party.extension))
            .cloned();
        let connection = merge(before.as_ref(), &party, event);
        let mine = Told {
            call: call.clone(),
            party: party.clone(),
            connection: connection.clone(),
        };
        if let Some(state) = state_after(event.kind) {
            let kept = Connection { state, ..connection };
            self.calls
                .entry(call.clone())
                .or_default()
                .insert(party.extension.clone(), kept.clone());
            let mine = Told {
                connection: kept,
                ..mine
            };
            if began {
                told.push(Happening::CallBegan(mine.clone()));
            }
            if before.is_none() && event.kind == CallEventKind::Established {
                told.push(plain(alerting(&mine), CallEventKind::Delivered));
            }
            self.connected(mine, event.kind, told);
        } else {
            self.left(mine, event, told);
        }
    }

    /// The connection goes on after the event.
    fn connected(&mut self, mine: Told, kind: CallEventKind, told: &mut Vec<Happening>) {
        match kind {
            CallEventKind::Held => {
                told.push(plain(mine.clone(), kind));
                self.hold_media(&mine, told);
            }
            CallEventKind::Retrieved => {
                told.push(plain(mine.clone(), kind));
                self.resume_media(&mine, told);
            }
            CallEventKind::Conferenced => self.merged(mine, kind, told),
            CallEventKind::ServiceInitiated
            | CallEventKind::Originated
            | CallEventKind::NetworkReached
            | CallEventKind::Queued
            | CallEventKind::Delivered
            | CallEventKind::Established
            | CallEventKind::Failed
            | CallEventKind::Transferred
            | CallEventKind::Diverted
            | CallEventKind::ConnectionCleared => told.push(plain(mine, kind)),
        }
    }

    /// The device is out of the call after the event.
    fn left(&mut self, mine: Told, event: &CallEvent, told: &mut Vec<Happening>) {
        if event.kind == CallEventKind::Transferred {
            let (call, extension) = (mine.call.clone(), mine.party.extension.clone());
            self.merged(mine, event.kind, told);
            self.drop_connection(&call, &extension, told);
            return;
        }
        let (call, extension) = (mine.call.clone(), mine.party.extension.clone());
        self.stop_media(|media| media.call == call && media.party.extension == extension, told);
        told.push(Happening::Call {
            told: mine,
            kind: event.kind,
            released_by: event.released_by,
            merged: None,
            parties: Vec::new(),
        });
        self.drop_connection(&call, &extension, told);
    }

    fn drop_connection(&mut self, call: &CallId, extension: &Extension, told: &mut Vec<Happening>) {
        self.stop_media(|media| media.call == *call && media.party.extension == *extension, told);
        let Some(connections) = self.calls.get_mut(call) else {
            return;
        };
        connections.remove(extension);
        if connections.is_empty() {
            self.calls.remove(call);
            self.renamed.retain(|_, into| into != call);
            told.push(Happening::CallEnded {
                call: call.clone(),
                last: Some(extension.clone()),
            });
        }
    }

    /// A conference or transfer: another call of the device goes into this one.
    fn merged(&mut self, mine: Told, kind: CallEventKind, told: &mut Vec<Happening>) {
        let extension = mine.party.extension.clone();
        let others = self
            .calls
            .iter()
            .filter(|(call, connections)| **call != mine.call && connections.contains_key(&extension));
        let other = others.map(|(call, _)| call.clone()).next();
        if let Some(other) = &other {
            self.join_calls(other, &mine.call);
        }
        let leaves = kind == CallEventKind::Transferred;
        let parties = self.connections(&mine.call).map(|(device, _)| device.clone());
        let parties = parties.filter(|device| !leaves || *device != extension).collect();
        told.push(Happening::Call {
            told: mine,
            kind,
            released_by: None,
            merged: other.clone(),
            parties,
        });
        if let Some(other) = other {
            told.push(Happening::CallEnded {
                call: other,
                last: Some(extension),
            });
        }
    }

    fn join_calls(&mut self, from: &CallId, into: &CallId) {
        let moved = self.calls.remove(from).unwrap_or_default();
        let target = self.calls.entry(into.clone()).or_default();
        for (extension, connection) in moved {
            target.entry(extension).or_insert(connection);
        }
        for media in self.media.iter_mut().filter(|media| media.call == *from) {
            media.call = into.clone();
        }
        self.renamed.insert(from.clone(), into.clone());
    }

    /// The id under which a call goes on.
    pub(super) fn current(&self, call: &CallId) -> CallId {
        if self.calls.contains_key(call) {
            return call.clone();
        }
        let mut current = call;
        // A chain can't be longer than the names in it.
        for _ in 0..self.renamed.len() {
            let Some(next) = self.renamed.get(current) else { break };
            current = next;
        }
        let known = self.calls.contains_key(current);
        if known { current.clone() } else { call.clone() }
    }

    pub(super) fn rename(&mut self, renamed: &CallRenamed, told: &mut Vec<Happening>) {
        let Some(connections) = self.calls.get(&renamed.from) else {
            return;
        };
        let Some((extension, connection)) = connections.iter().next().map(|(e, c)| (e.clone(), c.clone())) else {
            return;
        };
        let mine = Told {
            call: renamed.call.clone(),
            party: self.party(None, Some(&extension)),
            connection,
        };
        let goes_into_another = self.calls.contains_key(&renamed.call);
        self.join_calls(&renamed.from, &renamed.call);
        if !goes_into_another {
            told.push(Happening::CallRenamed {
                told: mine,
                from: renamed.from.clone(),
            });
            return;
        }
        told.push(Happening::Call {
            parties: self
                .connections(&renamed.call)
                .map(|(device, _)| device.clone())
                .collect(),
            told: mine,
            kind: CallEventKind::Conferenced,
            released_by: None,
            merged: Some(renamed.from.clone()),
        });
        told.push(Happening::CallEnded {
            call: renamed.from.clone(),
            last: Some(extension),
        });
    }

    pub(super) fn end(&mut self, ended: &CallEnded, told: &mut Vec<Happening>) {
        let call = self.current(&ended.call);
        let Some(connections) = self.calls.get(&call).cloned() else {
            return;
        };
        for (extension, connection) in connections {
            let released_by = match &ended.controlling_party {
                Some(controlling) if *controlling == extension => Some(ReleasingParty::Local),
                Some(_) => Some(ReleasingParty::Remote),
                None => None,
            };
            let mine = Told {
                call: call.clone(),
                party: self.party(None, Some(&extension)),
                connection,
            };
            let event = CallEvent {
                released_by,
                ..CallEvent::of_device(extension.as_str(), call.clone(), CallEventKind::ConnectionCleared)
            };
            self.left(mine, &event, told);
        }
    }
}

fn plain(told: Told, kind: CallEventKind) -> Happening {
    Happening::Call {
        told,
        kind,
        released_by: None,
        merged: None,
        parties: Vec::new(),
    }
}

fn alerting(told: &Told) -> Told {
    let mut told = told.clone();
    told.connection.state = ConnectionState::Alerting;
    told
}

fn merge(before: Option<&Connection>, party: &Party, event: &CallEvent) -> Connection {
    Connection {
        state: state_after(event.kind)
            .or(before.map(|known| known.state))
            .unwrap_or(ConnectionState::Connected),
        agent: party.agent.clone(),
        outgoing: before.map_or_else(|| outgoing(event.kind), |known| known.outgoing),
        acd: event.acd.or(before.and_then(|known| known.acd)),
        calling: event.calling.clone().or_else(|| before?.calling.clone()),
        called: event.called.clone().or_else(|| before?.called.clone()),
    }
}
