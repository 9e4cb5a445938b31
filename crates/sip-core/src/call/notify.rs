//! NOTIFY of a transfer, both ways: `message/sipfrag` in the subscription that a REFER made (RFC 3515 §2.4.4 to §2.4.7,
//! RFC 3420, RFC 6665).

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Method, Request, Response, StatusCode, SubscriptionState, Substate};

use super::refer::{LASTS, ReferId, ReferOutcome, ReferProgress};
use super::send::is_challenge;
use super::task::{Purpose, TaskId};
use super::{Call, Phase};

/// What a NOTIFY of ours is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    status: StatusCode,
    state: NoteState,
}

#[derive(Clone, Copy, Debug)]
enum NoteState {
    Pending,
    Active,
    /// With the reason of the end.
    Terminated(&'static str),
}

impl Note {
    /// We are at it.
    pub(super) fn trying() -> Self {
        Self::progress(StatusCode::TRYING)
    }

    /// Our user has not decided yet.
    pub(super) fn pending() -> Self {
        Self {
            status: StatusCode::TRYING,
            state: NoteState::Pending,
        }
    }

    pub(super) fn progress(status: StatusCode) -> Self {
        Self {
            status,
            state: NoteState::Active,
        }
    }

    pub(super) fn last(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            state: NoteState::Terminated(reason),
        }
    }

    fn is_last(self) -> bool {
        matches!(self.state, NoteState::Terminated(_))
    }
}

impl Call {
    /// Sends the next note of a transfer, unless one is under way or there is none.
    pub(super) fn notify_next(&mut self, now: Instant, id: ReferId) {
        let Some(taken) = self.taken_with(id) else {
            return;
        };
        if taken.open.is_some() || taken.task.is_some() {
            return;
        }
        if !taken.subscribed && taken.decided {
            // RFC 4488: nobody wants to be told.
            return self.transfers.taken.retain(|taken| taken.id != id);
        }
        if !taken.subscribed {
            taken.notes.clear();
        }
        let (number, left) = (taken.number, taken.until.saturating_duration_since(now));
        let Some(note) = taken.notes.pop_front() else {
            return;
        };
        let of_its_own = self.transfers.taken.iter_mut().find(|taken| taken.id == id);
        let of_its_own = of_its_own.and_then(|taken| taken.dialog.as_deref_mut());
        let Some(dialog) = of_its_own.or(self.dialog.as_mut()) else {
            return;
        };
        let mut request = dialog.request(Method::Notify);
        let hop = dialog.next_hop().clone();
        self.name_ourselves(&mut request.headers);
        let headers = &mut request.headers;
        // RFC 3515 §2.4.6: the id is a must for all but the first REFER of a dialog, and right for all.
        headers.push(HeaderName::Event, format!("refer;id={number}"));
        let state = match note.state {
            NoteState::Pending => format!("pending;expires={}", left.as_secs()),
            NoteState::Active => format!("active;expires={}", left.as_secs()),
            NoteState::Terminated(reason) => format!("terminated;reason={reason}"),
        };
        headers.push(HeaderName::SubscriptionState, state);
        let line = format!(
            "SIP/2.0 {} {}\r\n",
            note.status.code(),
            note.status.phrase()
        );
        request.set_body("message/sipfrag;version=2.0", line.into_bytes());
        let purpose = Purpose::Notify {
            id,
            last: note.is_last(),
        };
        let task = self.send(now, purpose, request, &hop);
        if let Some(taken) = self.taken_with(id) {
            taken.open = Some(task);
        }
    }

    /// A response to our NOTIFY.
    pub(super) fn on_notify_response(
        &mut self,
        now: Instant,
        task: TaskId,
        id: ReferId,
        last: bool,
        response: &Response,
    ) {
        if !response.status.is_final() {
            return;
        }
        // A login is counted in the call's dialog; whoever asks outside of it and wants one is told no more.
        let outside = self.taken_with(id).is_some_and(|t| t.dialog.is_some());
        if !outside
            && is_challenge(response)
            && self.authorise_and_retry(now, task, response).is_ok()
        {
            return;
        }
        self.finish(task);
        if response.status.is_success() && !last {
            if let Some(taken) = self.taken_with(id) {
                taken.open = None;
            }
            return self.notify_next(now, id);
        }
        if !response.status.is_success() {
            // RFC 6665 §4.2.2 and RFC 5057 §5.1: this ends the subscription, and nothing but it.
            let code = response.status.code();
            self.notice(&format!(
                "the peer answered the report of a transfer with {code}"
            ));
        }
        self.transfers.taken.retain(|taken| taken.id != id);
    }

    /// No path carried our NOTIFY to an answer: the subscription is over (RFC 6665 §4.2.2).
    pub(super) fn notify_not_carried(&mut self, id: ReferId) {
        self.notice("the report of a transfer did not reach the peer");
        self.transfers.taken.retain(|taken| taken.id != id);
    }

    /// A NOTIFY of the peer: of a transfer that we asked for. It may come before the answer to the REFER, which it
    /// stands for then (RFC 6665 §4.1.2.4).
    pub(super) fn on_notify(&mut self, now: Instant, id: TaskId, request: &Request) {
        let headers = &request.headers;
        let event = headers.event().ok();
        let Some(event) = event.filter(|event| event.package.eq_ignore_ascii_case("refer")) else {
            // RFC 6665 §8.3.2.
            return self.respond(now, id, StatusCode::BAD_EVENT, None);
        };
        let number: Option<u32> = event.id().and_then(|id| id.parse().ok());
        let named = event.id().is_some();
        let asked = self.transfers.asked.iter().find(|asked| match number {
            Some(number) => asked.numbers.contains(&number),
            // Without an id it is the first REFER's.
            None => !named && !asked.terminated,
        });
        let Some(name) = asked.map(|asked| asked.id) else {
            return self.respond(
                now,
                id,
                StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
                None,
            );
        };
        self.respond(now, id, StatusCode::OK, None);
        if let Some(dialog) = &mut self.dialog {
            dialog.refresh_target(headers);
        }
        self.refer_accepted(name);
        self.reported(now, name, request);
        self.drop_ended_transfers();
    }

    /// What the NOTIFY says.
    fn reported(&mut self, now: Instant, id: ReferId, request: &Request) {
        let state = request.headers.subscription_state().ok();
        let terminated = state
            .as_ref()
            .is_some_and(|state| state.state == Substate::Terminated);
        let granted = state.as_ref().and_then(SubscriptionState::expires_s);
        let lasts = granted.map_or(LASTS, |seconds| Duration::from_secs(u64::from(seconds)));
        if let Some(asked) = self.asked_with(id) {
            asked.terminated |= terminated;
            asked.until = Some(now + lasts.min(LASTS));
        }
        match status_in(&request.body) {
            Some((status, reason)) if status.is_final() => {
                self.refer_done(
                    id,
                    ReferOutcome::Answered {
                        status,
                        reason: reason.into(),
                    },
                );
                if state.is_none() {
                    // The end is plain enough.
                    self.transfers.asked.retain(|asked| asked.id != id);
                }
            }
            Some((status, reason)) if !terminated => {
                let told = self.asked_with(id).is_some_and(|asked| asked.told);
                if !told {
                    self.refer_event(
                        id,
                        ReferProgress::Progress {
                            status,
                            reason: reason.into(),
                        },
                    );
                }
            }
            Some(_) => {}
            None => self.notice("a report of a transfer said nothing that can be read"),
        }
        if terminated {
            let reason = state.and_then(|state| state.reason().map(Into::into));
            self.refer_done(id, ReferOutcome::Lost { reason });
        }
    }

    /// Whether a NOTIFY may come although the session is over.
    pub(super) fn awaits_reports(&self) -> bool {
        !self.transfers.asked.is_empty()
    }

    /// Whether a request with this method is served after the end of the session.
    pub(super) fn serves_after_end(&self, method: &Method) -> bool {
        self.phase == Phase::Ended
            && (*method == Method::Bye || (*method == Method::Notify && self.awaits_reports()))
    }
}

/// The status line that a `message/sipfrag` begins with.
fn status_in(body: &[u8]) -> Option<(StatusCode, String)> {
    let end = body.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = body.get(..end.unwrap_or(body.len()))?;
    let line = String::from_utf8_lossy(line);
    let rest = line.trim_start().strip_prefix("SIP/2.0 ")?;
    let (code, reason) = rest.split_at_checked(3)?;
    let status = StatusCode::new(code.parse().ok()?)?;
    let reason: String = reason.trim().chars().take(REASON_LIMIT).collect();
    Some((status, reason))
}

/// How much of a phrase is kept.
const REASON_LIMIT: usize = 120;
