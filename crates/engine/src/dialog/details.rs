//! What a call says beside itself: who vouches for the caller, by which way it came, what else its peer sends.

use std::net::SocketAddr;

use model::{ExtraHeader, Party};
use sip_core::Inbound;
use sip_core::call::{Call, CallerInfo};
use sip_message::{HeaderName, NameAddr};

use super::start::cut;
use super::{DialogState, Phase, party};
use crate::account::AccountFacts;
use crate::identity::Identity;

/// How many of those who sent a call on are shown.
const FORWARDERS: usize = 8;
/// How much of a header is shown, in characters.
const LONGEST_HEADER: usize = 512;

/// Whether what came this way came from the account's own server, so that the identities that it asserts are to be
/// believed (RFC 3325 §5): from where its registration is answered, from another server of its domain, or from the proxy
/// that its settings name. Of a connection the host alone counts: which port it comes from is another each time.
pub(crate) fn is_from_server(inbound: &Inbound, identity: &Identity, facts: &AccountFacts) -> bool {
    let from = inbound.path.remote;
    let proxy = identity.proxy.as_ref().and_then(|proxy| {
        let port = proxy.port.unwrap_or(inbound.path.transport.default_port());
        Some(SocketAddr::new(proxy.host.ip()?, port))
    });
    let is = |server: SocketAddr| match inbound.path.transport.is_reliable() {
        true => server.ip() == from.ip(),
        false => server == from,
    };
    facts.servers.iter().copied().chain(proxy).any(is)
}

impl DialogState {
    /// Shows what the INVITE says of its caller.
    pub(super) fn introduce(&mut self) {
        let Phase::Calling(call) = &self.phase else {
            return;
        };
        let (Some(info), Some(invite)) = (call.caller_info(), call.invitation()) else {
            return;
        };
        let headers = &invite.headers;
        let details = &mut self.view.details;
        details.anonymous = wants_no_name(&info);
        details.forwarded_by = forwarders(&info);
        details.signed = headers.has(HeaderName::Identity);
        let subject = info.subject.as_deref();
        details.subject = subject.map(|subject| cut(subject, LONGEST_HEADER).into());
        let target = headers.target_dialog().ok();
        details.target_dialog = target.map(|dialog| dialog.call_id);
        let says = info.from.as_ref().map(party);
        match info.asserted.first() {
            // RFC 3325 §9.3: who wants its identity kept is not shown, whatever reached us of it.
            _ if details.anonymous => {
                self.view.remote = Party {
                    display: Some("Anonymous".into()),
                    uri: "sip:anonymous@anonymous.invalid".into(),
                };
            }
            Some(asserted) => {
                details.asserted = true;
                let asserted = party(asserted);
                details.claims = says.filter(|says| says.uri != asserted.uri);
                self.view.remote = asserted;
            }
            None => {}
        }
        self.learn();
        self.publish();
    }

    /// Shows what the peer's messages said since. True when it is news.
    pub(super) fn learn(&mut self) -> bool {
        let Phase::Calling(call) = &self.phase else {
            return false;
        };
        let name = call.session_id();
        let name = match name.remote {
            Some(remote) => format!("{}/{remote}", name.local),
            None => name.local,
        };
        let headers = extra_headers(call);
        let details = &mut self.view.details;
        let news = details.session_id != name || details.headers != headers;
        details.session_id = name;
        details.headers = headers;
        news
    }
}

/// RFC 3323 §4.2 and RFC 3325 §9.3.
fn wants_no_name(info: &CallerInfo) -> bool {
    let private = ["id", "user", "header"];
    let mut wishes = info.privacy.iter();
    wishes.any(|wish| private.iter().any(|kind| wish.eq_ignore_ascii_case(kind)))
}

/// Who sent the call on, the last one first: as Diversion says (RFC 5806), or as History-Info does (RFC 7044), in which
/// a change of target names the entry of the one who was called before.
fn forwarders(info: &CallerInfo) -> Vec<Party> {
    if !info.diversions.is_empty() {
        return info.diversions.iter().take(FORWARDERS).map(party).collect();
    }
    let targeted = |entry: &NameAddr| ["rc", "mp", "np"].iter().any(|kind| entry.params.has(kind));
    let pairs = info.history.iter().zip(info.history.iter().skip(1));
    let sent_on = pairs.filter(|(from, to)| match targeted(to) {
        true => to.params.has("mp"),
        // RFC 4244, which is older, has no such marks.
        false => from.uri.user != to.uri.user,
    });
    let shown = sent_on.filter(|(from, _)| !is_hidden(from));
    let mut parties: Vec<Party> = shown.map(|(from, _)| party(from)).collect();
    parties.reverse();
    parties.truncate(FORWARDERS);
    parties
}

/// RFC 7044 §10.1.2: an entry that is to be kept private.
fn is_hidden(entry: &NameAddr) -> bool {
    let mut headers = entry.uri.headers.iter();
    headers.any(|(name, value)| {
        name.eq_ignore_ascii_case("Privacy") && !value.eq_ignore_ascii_case("none")
    })
}

fn extra_headers(call: &Call) -> Vec<ExtraHeader> {
    let shown = |(name, value): &(String, String)| ExtraHeader {
        name: name.clone(),
        value: value
            .chars()
            .take(LONGEST_HEADER)
            .collect::<String>()
            .into(),
    };
    call.peer_headers().iter().map(shown).collect()
}
