//! Transfers: which call is meant, and the calls that they make.

use std::time::Instant;

use model::{AccountId, CallId, CallView, JoinPolicy, MediaDirection};
use ractor::ActorRef;
use sip_core::Inbound;
use sip_message::{HeaderName, NameAddr, Request, StatusCode, Uri};

use super::{TenantMsg, TenantState};
use crate::dialog::{Candidate, Claim, DialogMsg, Placement, Referral, Start, is_from_server};
use crate::transport::TransportMsg;

impl TenantState {
    /// An INVITE: a call of its own, or one for the place of another (RFC 3891), or one that joins another (RFC 3911).
    pub(super) async fn take_call(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        account: &AccountId,
        request: Box<Request>,
        inbound: Inbound,
        at: Instant,
    ) {
        let asks = |dialog, joins| Claim {
            place: Placement { dialog, joins },
            from: inbound.path,
        };
        // What cannot be read is refused by the call itself, and more than one of them, too (RFC 3891 §3, RFC 3911 §4).
        let headers = &request.headers;
        let named = |name| headers.get_all(name).count();
        let several = named(HeaderName::Replaces) + named(HeaderName::Join) > 1;
        let wanted = match (headers.replaces(), headers.join()) {
            _ if several => None,
            (Ok(dialog), _) => Some(asks(dialog, false)),
            (Err(_), Ok(dialog)) => Some(asks(dialog, true)),
            (Err(_), Err(_)) => None,
        };
        let place = match wanted {
            Some(claim) => {
                let place = &claim.place;
                let mut candidates = self.candidates(place, &inbound);
                // RFC 3891 §3, RFC 3911 §4: the dialog is unknown here.
                let mut refusal = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                if place.joins && !candidates.is_empty() {
                    // Whoever may not join hears no, and nobody is asked.
                    candidates.retain(|candidate| candidate.trusts);
                    refusal = StatusCode::DECLINE;
                }
                if candidates.is_empty() {
                    return self.refuse_place(place, refusal, request, inbound);
                }
                Some((claim, candidates))
            }
            None => None,
        };
        let call = self.shared.next_call();
        let start = Start::Incoming {
            request,
            inbound,
            at,
            place,
        };
        self.start_call(myself, call, account, start).await;
    }

    /// Whether this came from the account's own server.
    fn is_from_server(&self, account: &AccountId, inbound: &Inbound) -> bool {
        self.accounts
            .get(account)
            .is_some_and(|account| is_from_server(inbound, &account.spec.identity, &account.facts))
    }

    /// Whether the account lets whoever comes this way join its calls. The tags that they have to name are known to
    /// servers on the way as well, and so are no permission (RFC 3911 §8).
    fn lets_join(&self, account: &AccountId, inbound: &Inbound) -> bool {
        let entry = self.accounts.get(account);
        match entry.map(|account| account.spec.settings.calls.joins) {
            Some(JoinPolicy::FromServer) => self.is_from_server(account, inbound),
            Some(JoinPolicy::Always) => true,
            Some(JoinPolicy::Never) | None => false,
        }
    }

    /// A call is about another one that is not there, or that it may not have. To let it ring as if it were a call of
    /// its own would deceive both.
    fn refuse_place(
        &self,
        place: &Placement,
        status: StatusCode,
        request: Box<Request>,
        inbound: Inbound,
    ) {
        let what = match place.joins {
            true => "somebody wanted to join a call",
            false => "a call wanted the place of one",
        };
        let why = match status {
            StatusCode::DECLINE => "which the account does not allow",
            _ => "that is not there",
        };
        self.note("call", format!("{what} {why}"));
        let _ = self.transport.cast(TransportMsg::TurnAway {
            request,
            inbound,
            line: status.into(),
        });
    }

    /// The calls that are going on with this Call-ID: two of them where we are both ends. Whether who asks is let without
    /// a person's word is for the account whose call it is to say, whichever of our accounts was called with it.
    fn candidates(&self, place: &Placement, inbound: &Inbound) -> Vec<Candidate> {
        let found: Vec<(CallId, AccountId)> = self.shared.hub.read(|state| {
            let ours = |c: &&CallView| c.tenant == self.view.id && c.state.is_live();
            let fits = |c: &&CallView| ours(c) && c.sip_call_id == place.dialog.call_id;
            let calls = state.calls.iter().filter(fits);
            calls.map(|call| (call.id, call.account.clone())).collect()
        });
        let candidate = |(id, account): &(CallId, AccountId)| {
            Some(Candidate {
                dialog: self.calls.get(id)?.clone(),
                trusts: match place.joins {
                    true => self.lets_join(account, inbound),
                    false => self.is_from_server(account, inbound),
                },
            })
        };
        found.iter().filter_map(candidate).collect()
    }

    /// Calls whom a peer asked us to call.
    pub(super) async fn follow_transfer(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        account: &AccountId,
        target: Uri,
        referral: Box<Referral>,
    ) {
        let call = self.shared.next_call();
        let (asked_in, refer) = (referral.asked_in.clone(), referral.refer);
        let start = Start::Outgoing {
            target,
            headers: Vec::new(),
            place: None,
            referral: Some(referral),
            direction: MediaDirection::Both,
        };
        self.start_call(myself, call, account, start).await;
        let told = match self.calls.contains_key(&call) {
            true => DialogMsg::Following(call),
            false => DialogMsg::Reported {
                refer,
                status: StatusCode::SERVICE_UNAVAILABLE,
            },
        };
        let _ = asked_in.cast(told);
    }

    /// A blind transfer.
    pub(super) fn transfer(&self, call: CallId, typed: &str) {
        let account = self.shared.hub.read(|state| {
            let view = state.calls.iter().find(|view| view.id == call);
            view.map(|view| view.account.clone())
        });
        let Some(account) = account.and_then(|id| self.accounts.get(&id)) else {
            return;
        };
        match account.spec.identity.target(typed) {
            Ok(target) => self.tell(
                call,
                DialogMsg::Transfer {
                    target: Box::new(NameAddr::new(target)),
                    replaces: None,
                },
            ),
            Err(detail) => self.note("call", format!("could not transfer: {}", detail.reveal())),
        }
    }

    /// An attended transfer: the other call says who its peer is.
    pub(super) fn connect(&self, call: CallId, other: CallId) {
        let to = self.calls.get(&call).filter(|_| call != other);
        match (to, self.calls.contains_key(&other)) {
            (Some(to), true) => self.tell(other, DialogMsg::Lend(to.clone())),
            _ => self.note("call", "these two cannot be connected".to_owned()),
        }
    }
}
