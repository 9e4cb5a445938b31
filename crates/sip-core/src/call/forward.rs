//! Sending a caller on: 302 with who did it and why (RFC 5806, RFC 7044), and a bound to that.

use std::time::Instant;

use sip_message::{HeaderName, Headers, NameAddr, Uri};

use super::reliable::names_option;
use super::{Call, WrongState};

/// Why a call is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardReason {
    /// All calls are.
    Unconditional,
    /// The line is busy.
    Busy,
    /// Nobody takes it.
    NoAnswer,
}

impl ForwardReason {
    /// As Diversion writes it (RFC 5806 §4).
    fn diversion(self) -> &'static str {
        match self {
            Self::Unconditional => "unconditional",
            Self::Busy => "user-busy",
            Self::NoAnswer => "no-answer",
        }
    }

    /// As the `cause` of a target says it (RFC 4458 §4).
    fn cause(self) -> &'static str {
        match self {
            Self::Unconditional => "302",
            Self::Busy => "486",
            Self::NoAnswer => "408",
        }
    }
}

impl Call {
    /// How often a call may have been sent on before it comes here, to be sent on once more.
    pub const FORWARD_LIMIT: usize = 5;

    /// Sends the caller on to `to`: 302, with a Diversion that names us and, for callers that know it, the History-Info
    /// of the call with the new target.
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call came in and waits for an answer, [`WrongState::Choice`] for one that was
    /// sent on too often, or by us before: it would go round.
    pub fn forward(
        &mut self,
        now: Instant,
        to: &NameAddr,
        reason: ForwardReason,
    ) -> Result<(), WrongState> {
        self.ringing_task()?;
        let Some(invite) = &self.invitation else {
            return Err(WrongState::NothingDue);
        };
        let us = &self.config.local.uri;
        if !may_be_sent_on(&invite.headers, us) {
            return Err(WrongState::Choice);
        }
        let mut headers = vec![(HeaderName::Diversion, diversion(us, reason))];
        for before in invite.headers.get_all(HeaderName::Diversion) {
            headers.push((HeaderName::Diversion, before.to_owned()));
        }
        let history = history(&invite.headers, &invite.uri, &to.uri, reason);
        headers.extend(history.map(|history| (HeaderName::HistoryInfo, history)));
        self.redirect_with(now, to, headers)
    }
}

/// Whether a call with this past may be sent on.
fn may_be_sent_on(headers: &Headers, us: &Uri) -> bool {
    let diversions = headers.diversions().unwrap_or_default();
    let counted: usize = diversions
        .iter()
        .map(|diversion| {
            let counter = diversion.params.get("counter");
            counter.and_then(|n| n.parse().ok()).unwrap_or(1_usize)
        })
        .fold(0, usize::saturating_add);
    let moves = headers
        .history()
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry.params.has("mp"))
        .count();
    let by_us = diversions
        .iter()
        .any(|diversion| diversion.uri.user == us.user && diversion.uri.host == us.host);
    counted.max(moves) < Call::FORWARD_LIMIT && !by_us
}

fn diversion(us: &Uri, reason: ForwardReason) -> String {
    format!("<{us}>;reason={};counter=1", reason.diversion())
}

/// The past of the call with its new target (RFC 7044 §10.3 and §10.4), for who wants to know it.
fn history(headers: &Headers, called: &Uri, to: &Uri, reason: ForwardReason) -> Option<String> {
    let wanted = names_option(headers, HeaderName::Supported, "histinfo");
    let mut entries = headers.history().unwrap_or_default();
    if !wanted && entries.is_empty() {
        return None;
    }
    if entries.is_empty() {
        let mut first = NameAddr::new(called.clone());
        first.params.set("index", "1");
        entries.push(first);
    }
    let last = entries.last().and_then(|entry| entry.params.get("index"));
    let last = last.unwrap_or("1").to_owned();
    let mut target = NameAddr::new(to.clone());
    target.uri.headers.clear();
    target.uri.params.set("cause", reason.cause());
    target.params.set("index", format!("{last}.1"));
    target.params.set("mp", last);
    entries.push(target);
    let texts: Vec<String> = entries.iter().map(ToString::to_string).collect();
    Some(texts.join(", "))
}
