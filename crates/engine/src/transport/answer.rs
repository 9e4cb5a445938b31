//! Answers to what belongs to nobody, made from the request alone.

use model::AccountId;
use sip_core::{FlowId, Inbound, Path, dispatch, stateless};
use sip_message::{Method, Request, StatusCode, validate_request};

use super::TransportState;

impl TransportState {
    /// One cheap answer, from the request alone (RFC 3261 §8.2.7), and a count.
    pub(super) fn turn_away(&mut self, request: Request, inbound: Inbound) {
        self.count(crate::wall(), "requests that belong to nothing here", |c| {
            &mut c.strangers
        });
        let status = match validate_request(&request) {
            Err(error) if request.method != Method::Ack => Some(error.status),
            Err(_) => None,
            Ok(()) => stateless::verdict_for_stray(&request, &self.capabilities),
        };
        if let Some(status) = status {
            self.refuse(request, inbound, status, None);
        }
    }

    pub(super) fn refuse(
        &mut self,
        mut request: Request,
        inbound: Inbound,
        status: StatusCode,
        account: Option<AccountId>,
    ) {
        dispatch::mark_received(&mut request, &inbound);
        let response =
            stateless::respond_statelessly(&request, status, &self.capabilities, &self.tokens);
        self.answer_statelessly(inbound.flow, inbound.path, &response.to_bytes(), account);
    }

    pub(super) fn answer_statelessly(
        &mut self,
        flow: FlowId,
        path: Path,
        bytes: &[u8],
        account: Option<AccountId>,
    ) {
        // Nobody waits for the outcome of a stateless answer.
        let _ = if path.transport.is_reliable() {
            self.connections.answer(flow, &path, bytes)
        } else {
            self.sockets.send(Some(flow), path, bytes)
        };
        self.record(crate::wall(), true, path, bytes, account, None);
    }
}
