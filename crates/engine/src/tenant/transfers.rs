//! Transfers: which call is meant, and the calls that they make.

use std::time::Instant;

use model::{AccountId, CallId, CallView};
use ractor::ActorRef;
use sip_core::Inbound;
use sip_message::{NameAddr, Request, StatusCode, Uri};

use super::{TenantMsg, TenantState};
use crate::dialog::{DialogMsg, Referral, Start};
use crate::transport::TransportMsg;

impl TenantState {
    /// An INVITE: a call of its own, or one for the place of another (RFC 3891).
    pub(super) async fn take_call(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        account: &AccountId,
        request: Box<Request>,
        inbound: Inbound,
        at: Instant,
    ) {
        if let Ok(join) = request.headers.join() {
            return self.refuse_join(&join.call_id, request, inbound);
        }
        // What cannot be read is refused by the call itself.
        let place = match request.headers.replaces().ok() {
            Some(replaces) => match self.legs_of(&replaces.call_id) {
                legs if !legs.is_empty() => Some((replaces, legs)),
                _ => {
                    // RFC 3891 §3: the dialog is unknown here.
                    let text = "a call wanted the place of one that is not there";
                    self.note("call", text.to_owned());
                    let _ = self.transport.cast(TransportMsg::TurnAway {
                        request,
                        inbound,
                        status: StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
                    });
                    return;
                }
            },
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

    /// A call that is to be mixed into another one (RFC 3911 §4): there is no mixing here, and one that does not exist
    /// could not be joined anyway. To let it ring as if it were a call of its own would deceive both.
    fn refuse_join(&self, sip_call_id: &str, request: Box<Request>, inbound: Inbound) {
        let status = match self.legs_of(sip_call_id).is_empty() {
            true => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            false => StatusCode::NOT_ACCEPTABLE_HERE,
        };
        let text = "somebody wanted to join a call, which is not possible here".to_owned();
        self.note("call", text);
        let _ = self.transport.cast(TransportMsg::TurnAway {
            request,
            inbound,
            status,
        });
    }

    /// The calls that are going on with this Call-ID: two of them where we are both ends.
    fn legs_of(&self, sip_call_id: &str) -> Vec<ActorRef<DialogMsg>> {
        let ids: Vec<CallId> = self.shared.hub.read(|state| {
            let ours = |c: &&CallView| c.tenant == self.view.id && c.state.is_live();
            let fits = |c: &&CallView| ours(c) && c.sip_call_id == sip_call_id;
            let calls = state.calls.iter().filter(fits);
            calls.map(|call| call.id).collect()
        });
        ids.iter()
            .filter_map(|id| self.calls.get(id))
            .cloned()
            .collect()
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
            replaces: None,
            referral: Some(referral),
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
            Err(detail) => self.note("call", format!("could not transfer: {detail}")),
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
