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
        self.send_info(now, None, content_type, body)
    }

    /// Sends an INFO of an Info Package (RFC 6086).
    ///
    /// # Errors
    /// As [`Call::info`], and [`WrongState::NotTaken`] for a package that the peer does not take.
    pub fn info_of_package(
        &mut self,
        now: Instant,
        package: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(), WrongState> {
        let mut taken = self.peer_packages.iter();
        if !taken.any(|other| other.eq_ignore_ascii_case(package)) {
            return Err(WrongState::NotTaken);
        }
        self.send_info(now, Some(package), content_type, body)
    }

    fn send_info(
        &mut self,
        now: Instant,
        package: Option<&str>,
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
        if let Some(package) = package {
            // RFC 6086 §4.2.1 and §8.2.
            request.headers.push(HeaderName::InfoPackage, package);
            request
                .headers
                .push(HeaderName::ContentDisposition, "Info-Package");
        }
        if !body.is_empty() {
            request.set_body(content_type, body);
        }
        self.send(now, Purpose::Info, request, &hop);
        self.settle(now);
        Ok(())
    }

    /// The Info Packages that the peer says it takes (RFC 6086 §5).
    #[must_use]
    pub fn peer_packages(&self) -> &[String] {
        &self.peer_packages
    }

    /// An INFO of the peer.
    pub(super) fn on_info(&mut self, now: Instant, id: TaskId, info: Request) {
        let package = info.headers.info_package().ok();
        let package = package.map(|package| package.package);
        let known = |package: &String| {
            let mut ours = self.config.info_packages.iter();
            ours.any(|own| own.eq_ignore_ascii_case(package))
        };
        if package.as_ref().is_some_and(|package| !known(package)) {
            return self.refuse_package(now, id);
        }
        self.respond(now, id, StatusCode::OK, None);
        let content_type = info
            .headers
            .get(HeaderName::ContentType)
            .unwrap_or_default()
            .to_owned();
        self.event(CallEvent::Info {
            package,
            content_type,
            body: info.body,
        });
    }

    /// 469 with the packages that we take (RFC 6086 §4.2.2).
    fn refuse_package(&mut self, now: Instant, id: TaskId) {
        let ours = self.config.info_packages.join(", ");
        let status = StatusCode::new(469).unwrap_or(StatusCode::BAD_REQUEST);
        if let Some(mut response) = self.answer_to(id, status, None) {
            response.headers.push(HeaderName::RecvInfo, ours);
            self.respond_with(now, id, response);
        }
    }

    /// An INFO of ours was refused.
    pub(super) fn on_info_refused(&mut self, now: Instant, response: &Response) {
        if has_no_such_dialog(response.status) && self.phase == Phase::Talking {
            let kind = self.status_kind(response);
            self.leave(now);
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

/// The same where the request was about something beside the session. A 408 to such a one comes from a proxy whose next
/// hop does not know the method as often as from one whose next hop is gone, and nobody wants to lose the customer over
/// a digit or a transfer: the call goes on, and the next change or refresh of the session finds out.
pub(super) fn has_no_such_dialog(status: StatusCode) -> bool {
    status == StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST
}

/// Whether an answer within a dialog says that the peer has no such dialog any more (RFC 3261 §12.2.1.2).
pub(super) fn is_gone(status: StatusCode) -> bool {
    matches!(status.code(), 408 | 481)
}
