//! What goes out, and what becomes known of it.

use sip_core::{Destination, Transmit, TransportError};
use sip_message::{Message, Method, Response};
use wire::Towards;

use super::unreachable::Undelivered;
use super::{Delivery, Owner, TransportState, stream, unsent, without_tcp};
use crate::recorder::RecorderMsg;
use crate::wake::now;

/// What something that is sent says of whom it goes to. Whoever is asked something, or whose call or registration was taken,
/// has to do with somebody here. Whoever asks us something is not known for the answer that it gets, and only stays it where it
/// was, by an answer that only who is in a call gets: one call that only rings would open the way for a thousand guesses.
fn acquaintance(bytes: &[u8]) -> Acquaintance {
    if !bytes.starts_with(b"SIP/2.0 ") {
        return Acquaintance::Made;
    }
    let taken = bytes.starts_with(b"SIP/2.0 2");
    let taken = taken.then(|| response_in(bytes)).flatten();
    match taken.and_then(|response| Some(response.headers.cseq().ok()?.method)) {
        Some(Method::Invite | Method::Register) => Acquaintance::Made,
        Some(Method::Update | Method::Prack | Method::Info) => Acquaintance::Renewed,
        _ => Acquaintance::Unchanged,
    }
}

enum Acquaintance {
    Made,
    Renewed,
    Unchanged,
}

impl TransportState {
    pub(super) fn on_send(&mut self, from: &Owner, mut transmit: Transmit) {
        if let Some(changed) = from.rules.outgoing(&transmit.bytes) {
            transmit.bytes = changed;
        }
        let remote = transmit.destination.path().remote;
        if transmit.for_size && self.without_tcp.has(now(), remote) {
            return unsent(from, &transmit.bytes, TransportError::NoTcp);
        }
        // Taken before it leaves: a quick answer must not come before its request in the trace.
        let at = crate::wall();
        let (path, result) = match transmit.destination {
            destination if destination.transport().is_reliable() => {
                let path = *destination.path();
                let known = self.names.get(&(from.id, path.remote)).cloned();
                // A way that was not asked for: back to where a request came from.
                let mut towards = known.unwrap_or_else(|| Towards {
                    tls: self.default_tls(path.transport),
                    ..Towards::default()
                });
                towards.lane = transmit.lane;
                if transmit.for_size {
                    towards.connect = Some(without_tcp::PATIENCE);
                }
                let sent = self
                    .connections
                    .send(&destination, &towards, &transmit.bytes, from);
                (path, sent)
            }
            Destination::Flow { id, mut path } => {
                // What goes out on the flow of a request, and is an answer, goes where its Via says.
                if let Some(response) = response_in(&transmit.bytes) {
                    path.remote = self.way_back(&response, path.remote);
                }
                (path, self.sockets.send(Some(id), path, &transmit.bytes))
            }
            Destination::Path(path) => (path, self.sockets.send(None, path, &transmit.bytes)),
        };
        match acquaintance(&transmit.bytes) {
            Acquaintance::Made => self.guard.know_peer(path.remote.ip(), now()),
            Acquaintance::Renewed => self.guard.renew_peer(path.remote.ip(), now()),
            Acquaintance::Unchanged => {}
        }
        let account = Some(from.account.clone());
        if !path.transport.is_reliable() && result.is_ok() {
            if transmit.bytes.starts_with(b"INVITE ") {
                stream::on_the_way(from, path.remote, None);
            }
            self.unanswered
                .on_sent(now(), path.remote, &transmit.bytes, from);
            self.without_tcp
                .on_sent(now(), path.remote, &transmit.bytes);
        }
        self.record(at, true, path, &transmit.bytes, account, from.call);
        if let Err(error) = result {
            unsent(from, &transmit.bytes, error);
        }
    }

    /// A request found nobody, and nobody else has answered it.
    pub(super) fn on_undelivered(&mut self, undelivered: Undelivered) {
        let Some(owner) = self.unanswered.take(&undelivered) else {
            return;
        };
        let Undelivered { to, branch, error } = undelivered;
        self.args.recorder.cast(RecorderMsg::Note {
            time: crate::wall(),
            topic: "transport",
            text: format!("a request to {to} found nobody: {error}").into(),
            account: Some(owner.account.clone()),
            call: owner.call,
            sip_call_id: None,
        });
        owner.deliver(Delivery::Unsent { branch, error });
    }
}

/// The response, when it is one.
fn response_in(bytes: &[u8]) -> Option<Response> {
    if !bytes.starts_with(b"SIP/2.0 ") {
        return None;
    }
    match Message::parse(bytes) {
        Ok(Message::Response(response)) => Some(response),
        _ => None,
    }
}
