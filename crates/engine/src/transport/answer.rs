//! Answers to what belongs to nobody, made from the request alone.

use std::net::SocketAddr;

use model::AccountId;
use sip_core::stateless::{self, StatusLine};
use sip_core::{FlowId, Inbound, Path, dispatch};
use sip_message::{HeaderName, Method, Request, Response, StatusCode, validate_request};

use super::TransportState;
use super::guard::Standing;
use crate::wake::now;

/// Seconds after which it is worth another try where too much went on (RFC 3261 §21.5.4).
const RETRY_AFTER: u32 = 10;

impl TransportState {
    /// One cheap answer, from the request alone (RFC 3261 §8.2.7), and a count.
    pub(super) fn turn_away(&mut self, request: Request, inbound: Inbound) {
        self.count("requests that belong to nothing here", |c| &mut c.strangers);
        let line: Option<StatusLine> = match validate_request(&request) {
            Err(error) if request.method != Method::Ack => Some((&error).into()),
            Err(_) => None,
            Ok(()) => match stateless::verdict_for_stray(&request, &self.capabilities) {
                // RFC 3261 §11.2: what an INVITE would find, an OPTIONS finds.
                Some(StatusCode::NOT_FOUND)
                    if request.method == Method::Options
                        && self.called_account(&request, &inbound.path).is_some() =>
                {
                    Some(StatusCode::OK.into())
                }
                verdict => verdict.map(StatusLine::from),
            },
        };
        if let Some(line) = line {
            self.refuse(request, inbound, line, None);
        }
    }

    /// Answers, in the name of an account where one was called.
    pub(super) fn refuse(
        &mut self,
        mut request: Request,
        inbound: Inbound,
        line: impl Into<StatusLine>,
        account: Option<AccountId>,
    ) {
        dispatch::mark_received(&mut request, &inbound);
        let mut response =
            stateless::respond_statelessly(&request, line, &self.capabilities, &self.tokens);
        if response.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers.push(HeaderName::RetryAfter, RETRY_AFTER);
        }
        match account {
            Some(account) => {
                self.answer_statelessly(inbound.flow, inbound.path, &response, Some(account));
            }
            None => self.answer_a_stranger(inbound.flow, inbound.path, &response),
        }
    }

    /// Answers somebody who called nobody here, as long as that is cheap.
    pub(super) fn answer_a_stranger(&mut self, flow: FlowId, path: Path, response: &Response) {
        // What a scanner of numbers or passwords asks for.
        let registers = || {
            let cseq = response.headers.cseq();
            cseq.is_ok_and(|cseq| cseq.method == Method::Register)
        };
        let guess = response.status == StatusCode::NOT_FOUND || registers();
        if self.guard.may_answer(path.remote.ip(), guess, now()) {
            self.answer_statelessly(flow, path, response, None);
        } else {
            self.count("strangers who were not answered any more", |c| {
                &mut c.unanswered
            });
        }
    }

    fn answer_statelessly(
        &mut self,
        flow: FlowId,
        mut path: Path,
        response: &Response,
        account: Option<AccountId>,
    ) {
        let bytes = response.to_bytes();
        let at = crate::wall();
        // Nobody waits for the outcome of a stateless answer.
        let _ = if path.transport.is_reliable() {
            self.connections.answer(flow, &path, &bytes)
        } else {
            path.remote = self.way_back(response, path.remote);
            self.sockets.send(Some(flow), path, &bytes)
        };
        self.record(at, true, path, &bytes, account, None);
    }

    /// Where a response goes by datagram whose request came from `source`.
    pub(super) fn way_back(&self, response: &Response, source: SocketAddr) -> SocketAddr {
        let Ok(via) = response.headers.via_top() else {
            return source;
        };
        // Anybody can write somebody else's address there, and would have us send to it.
        let heeds_maddr = self.guard.standing(source.ip(), now()) == Standing::Server;
        dispatch::answer_address(&via, source, heeds_maddr)
    }
}
