//! INFO and OPTIONS within a call.

use std::time::Instant;

use sip_message::{HeaderName, Method, Request, Response, StatusCode};

use super::task::{Purpose, TaskId};
use super::{Call, CallEvent, Phase, WrongState};

impl Call {
    /// Sends an INFO (RFC 6086), such as `application/dtmf-relay`. Only a failure is told, as a notice. Before the call
    /// is taken it goes to the early dialog that was heard last.
    ///
    /// # Errors
    /// [`WrongState::Phase`] where there is no dialog.
    pub fn info(
        &mut self,
        now: Instant,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(), WrongState> {
        let phase = self.phase;
        let Some(dialog) = self.present_dialog() else {
            return Err(WrongState::Phase(phase));
        };
        let mut request = dialog.request(Method::Info);
        let hop = dialog.next_hop().clone();
        self.out.begin_input();
        self.name_ourselves(&mut request.headers);
        request
            .headers
            .push(HeaderName::ContentType, content_type.to_owned());
        request.body = body;
        self.send(now, Purpose::Info, request, &hop);
        self.settle(now);
        Ok(())
    }

    /// An INFO of the peer.
    pub(super) fn on_info(&mut self, now: Instant, id: TaskId, info: Request) {
        self.respond(now, id, StatusCode::OK, None);
        let content_type = info
            .headers
            .get(HeaderName::ContentType)
            .unwrap_or_default()
            .to_owned();
        self.event(CallEvent::Info {
            content_type,
            body: info.body,
        });
    }

    /// An INFO of ours was refused.
    pub(super) fn on_info_refused(&mut self, now: Instant, response: &Response) {
        if is_gone(response.status) && self.phase == Phase::Talking {
            let kind = self.status_kind(response);
            return self.end(now, kind);
        }
        let code = response.status.code();
        self.notice(&format!("the peer answered an INFO with {code}"));
    }

    /// OPTIONS within the call: what we can do, and that we are there.
    pub(super) fn on_options(&mut self, now: Instant, id: TaskId) {
        if let Some(mut response) = self.answer_to(id, StatusCode::OK, None) {
            response.headers.remove(HeaderName::Allow);
            self.config.capabilities.write_all(&mut response.headers);
            self.respond_with(now, id, response);
        }
    }
}

/// Whether an answer within a dialog says that the peer has no such dialog any more (RFC 3261 §12.2.1.2).
pub(super) fn is_gone(status: StatusCode) -> bool {
    matches!(status.code(), 408 | 481)
}
