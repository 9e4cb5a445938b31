//! Transfers: REFER in the call, both ways (RFC 3515, 3892, 4488, 7647).
//!
//! ```text
//!   refer()                                    ReferRequested
//!     │ REFER ──────────────────────────────►      │ accept_refer()   reject_refer()
//!     │ ◄──────────────────────────── 202 ─────────┤                   └─► 4xx, 6xx
//!   Accepted                                       │ NOTIFY 100
//!     │ ◄──────────────────────── NOTIFY 180 ──────┤ report_refer(180)
//!   Progress                                       │
//!     │ ◄──── NOTIFY 200, terminated;noresource ───┘ report_refer(200)
//!   Done
//! ```
//!
//! The REFER makes a subscription, which is a usage of the dialog of its own (RFC 5057): it goes on when the session
//! ends, so a transfer is reported to its end although the call is over, and the call is drained after that only.
//! What is said of it is in [`super::notify`].
//!
//! A REFER outside of any dialog that names the call as its Target-Dialog (RFC 4538) is one about this call, too. It makes
//! a dialog of its own (RFC 6665 §4.4.1), in which it is reported.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use privacy::Private;
use sip_message::{HeaderName, Method, NameAddr, Replaces, Request, Response, StatusCode};

use super::info::has_no_such_dialog;
use super::notify::Note;
use super::send::is_challenge;
use super::task::{Purpose, TaskId};
use super::{Call, CallEvent, Phase, WrongState};
use crate::dialog::Dialog;
use crate::dispatch::OwnerKey;
use crate::stateless::StatusLine;

/// The option tag of RFC 4488.
pub(super) const NO_SUBSCRIPTION: &str = "norefersub";
/// The option tag of RFC 4538.
pub(super) const TARGET_DIALOG: &str = "tdialog";
/// How many transfers are kept in each direction.
const LIMIT: usize = 8;
/// How long a transfer is reported at most, either way.
pub(super) const LASTS: Duration = Duration::from_secs(600);
/// How long our user may think before the REFER is answered without them. The peer gives up after 64·T1.
const THINKING: Duration = Duration::from_secs(10);

/// Names a transfer within its call and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReferId(u32);

impl ReferId {
    /// The transfer with this number, as [`ReferId::number`] told it.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// How a transfer that we asked for goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferProgress {
    /// The peer will try.
    Accepted,
    /// A provisional answer of the new call, as the peer reports it.
    Progress {
        /// 100 to 199.
        status: StatusCode,
        /// The phrase as reported.
        reason: Private,
    },
    /// Nothing more is told of this transfer.
    Done(ReferOutcome),
}

/// How a transfer that we asked for ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferOutcome {
    /// The new call was answered so, as the peer reports it.
    Answered {
        /// 200 to 699.
        status: StatusCode,
        /// The phrase as reported.
        reason: Private,
    },
    /// The peer does not try: its answer to the REFER.
    Refused {
        /// 300 to 699.
        status: StatusCode,
    },
    /// The peer tries and tells nothing of it (RFC 4488).
    Untold,
    /// The peer stopped telling before the end, with this reason in its Subscription-State, or the time for it is over.
    Lost {
        /// Like `timeout` or `rejected`.
        reason: Option<Private>,
    },
    /// The REFER did not reach the peer.
    Unsent,
}

/// What the peer asks us to do. [`Call::accept_refer`] or [`Call::reject_refer`] answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferRequest {
    /// Its name.
    pub id: ReferId,
    /// Whom to call, without the headers of the URI.
    pub target: NameAddr,
    /// The call to take the place of there (RFC 3891): an attended transfer.
    pub replaces: Option<Replaces>,
    /// Who says that it asks (RFC 3892), to be shown and to be sent on.
    pub referred_by: Option<NameAddr>,
    /// Whether it wants to be told how it goes, with [`Call::report_refer`].
    pub wants_reports: bool,
    /// The dialog that it made, where it was asked outside of the call: what answers our reports belongs to that.
    pub dialog: Option<OwnerKey>,
}

/// A REFER of ours, from its sending to the end of its subscription.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: ReferId,
    /// CSeq numbers under which it went out: a login makes a second one.
    pub(super) numbers: Vec<u32>,
    /// A 2xx came, or a NOTIFY, which says the same.
    pub(super) accepted: bool,
    /// The REFER has its final answer.
    pub(super) answered: bool,
    /// Done was told.
    pub(super) told: bool,
    /// The peer ended the subscription.
    pub(super) terminated: bool,
    /// When nothing more is waited for.
    pub(super) until: Option<Instant>,
}

/// A REFER of the peer, from its arrival to our last NOTIFY.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) id: ReferId,
    /// The dialog that it made, where it came outside of the call.
    pub(super) dialog: Option<Box<Dialog>>,
    /// Its CSeq number, which names the subscription (RFC 3515 §2.4.6).
    pub(super) number: u32,
    /// The REFER, while it has no answer.
    pub(super) task: Option<TaskId>,
    pub(super) subscribed: bool,
    pub(super) decided: bool,
    pub(super) decide_by: Instant,
    pub(super) until: Instant,
    /// The NOTIFY under way: one at a time keeps them in order.
    pub(super) open: Option<TaskId>,
    pub(super) notes: VecDeque<Note>,
    /// The last note was queued.
    pub(super) closing: bool,
}

/// All transfers of a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Transfers {
    pub(super) asked: Vec<Asked>,
    pub(super) taken: Vec<Taken>,
    last: u32,
    has_asked: bool,
}

impl Transfers {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.taken.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.asked.len() + self.taken.len()
    }

    pub(super) fn clear(&mut self) {
        self.asked.clear();
        self.taken.clear();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let asked = self.asked.iter().filter_map(|asked| asked.until);
        let taken = self.taken.iter().map(|taken| match taken.decided {
            true => taken.until,
            false => taken.until.min(taken.decide_by),
        });
        asked.chain(taken).min()
    }

    /// Whether any REFER of ours ever went out: then a NOTIFY is no unknown method.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked
    }

    fn next_id(&mut self) -> ReferId {
        self.last = self.last.wrapping_add(1);
        ReferId(self.last)
    }
}

impl Call {
    /// Asks the peer to call `target`: a blind transfer, or an attended one where `replaces` names our call with the
    /// target ([`Call::as_replaces`]). Several may run at once. [`CallEvent::Refer`] tells how it goes, also after
    /// [`CallEvent::Ended`].
    ///
    /// # Errors
    /// [`WrongState::Phase`] unless the call is up, [`WrongState::Busy`] with too many of them.
    pub fn refer(
        &mut self,
        now: Instant,
        target: &NameAddr,
        replaces: Option<&Replaces>,
    ) -> Result<ReferId, WrongState> {
        self.send_refer(now, target, replaces, true)
    }

    /// The same, and the peer need not tell how it goes (`Refer-Sub: false`, RFC 4488).
    ///
    /// # Errors
    /// As [`Call::refer`].
    pub fn refer_untold(
        &mut self,
        now: Instant,
        target: &NameAddr,
        replaces: Option<&Replaces>,
    ) -> Result<ReferId, WrongState> {
        self.send_refer(now, target, replaces, false)
    }

    /// Says that we try what the peer asked for: 202, and a NOTIFY with 100. Then [`Call::report_refer`] tells on.
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] where no such decision is due.
    pub fn accept_refer(&mut self, now: Instant, id: ReferId) -> Result<(), WrongState> {
        let taken = self.undecided(id)?;
        self.out.begin_input();
        if let Some(task) = taken {
            self.answer_refer(now, id, task);
        }
        if let Some(taken) = self.taken_with(id) {
            taken.decided = true;
            taken.notes.push_back(Note::trying());
        }
        self.notify_next(now, id);
        self.settle(now);
        Ok(())
    }

    /// Says that we do not try: the answer to the REFER, or the only NOTIFY where that was answered already.
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] where no such decision is due, [`WrongState::Status`] for a status below 300.
    pub fn reject_refer(
        &mut self,
        now: Instant,
        id: ReferId,
        status: StatusCode,
    ) -> Result<(), WrongState> {
        if status.code() < 300 {
            return Err(WrongState::Status(status.code()));
        }
        let taken = self.undecided(id)?;
        self.out.begin_input();
        match taken {
            Some(task) => {
                self.respond(now, task, status, None);
                self.transfers.taken.retain(|taken| taken.id != id);
            }
            None => {
                if let Some(taken) = self.taken_with(id) {
                    taken.decided = true;
                    taken.close(Note::last(status, "rejected"));
                }
                self.notify_next(now, id);
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Tells the peer how the call goes that it asked for: any status. A final one ends the reports.
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] where nothing is to be reported (any more).
    pub fn report_refer(
        &mut self,
        now: Instant,
        id: ReferId,
        status: StatusCode,
    ) -> Result<(), WrongState> {
        let taken = self.taken_with(id);
        let Some(taken) = taken.filter(|taken| taken.decided && !taken.closing) else {
            return Err(WrongState::NothingDue);
        };
        if status.is_final() {
            // RFC 3515 §2.4.7.
            taken.close(Note::last(status, "noresource"));
        } else {
            taken.notes.push_back(Note::progress(status));
            // What has not gone out yet and is overtaken need not be said.
            while taken.notes.len() > 2 {
                taken.notes.pop_front();
            }
        }
        self.out.begin_input();
        self.notify_next(now, id);
        self.settle(now);
        Ok(())
    }

    fn send_refer(
        &mut self,
        now: Instant,
        target: &NameAddr,
        replaces: Option<&Replaces>,
        told: bool,
    ) -> Result<ReferId, WrongState> {
        let (Phase::Talking, Some(dialog)) = (self.phase, &mut self.dialog) else {
            return Err(WrongState::Phase(self.phase));
        };
        if self.transfers.asked.len() >= LIMIT {
            return Err(WrongState::Busy);
        }
        let mut request = dialog.request(Method::Refer);
        let hop = dialog.next_hop().clone();
        let number = dialog.local_cseq();
        self.out.begin_input();
        let mut to = target.clone();
        to.params.remove("tag");
        if let Some(replaces) = replaces {
            let header = ("Replaces".to_owned(), replaces.to_string());
            to.uri.headers.push(header);
        }
        self.describe_ourselves(&mut request.headers, false);
        request.headers.push(HeaderName::ReferTo, bracketed(&to));
        if !self.config.anonymous {
            let mut by = self.config.local.clone();
            by.params.remove("tag");
            request.headers.push(HeaderName::ReferredBy, bracketed(&by));
        }
        if !told {
            request.headers.push(HeaderName::ReferSub, "false");
        }
        let id = self.transfers.next_id();
        self.transfers.has_asked = true;
        self.transfers.asked.push(Asked {
            id,
            numbers: vec![number],
            accepted: false,
            answered: false,
            told: false,
            terminated: false,
            until: None,
        });
        self.send(now, Purpose::Refer { id }, request, &hop);
        self.settle(now);
        Ok(id)
    }

    /// A response to our REFER.
    pub(super) fn on_refer_response(
        &mut self,
        now: Instant,
        task: TaskId,
        id: ReferId,
        response: &Response,
    ) {
        let status = response.status;
        if !status.is_final() {
            return;
        }
        if is_challenge(response) && self.authorise_and_retry(now, task, response).is_ok() {
            let number = self
                .client(task)
                .and_then(|task| task.request.headers.cseq().ok())
                .map(|cseq| cseq.number);
            if let (Some(asked), Some(number)) = (self.asked_with(id), number) {
                asked.numbers.push(number);
            }
            return;
        }
        self.finish(task);
        let patience = self.config.timers.patience();
        let Some(asked) = self.asked_with(id) else {
            return;
        };
        asked.answered = true;
        if !status.is_success() {
            self.refer_done(id, ReferOutcome::Refused { status });
            if has_no_such_dialog(status) && self.phase == Phase::Talking {
                let kind = self.status_kind(response);
                self.leave(now);
                self.end(now, kind);
            }
            return self.transfers.asked.retain(|asked| asked.id != id);
        }
        // RFC 6665 §4.1.2.4: the first NOTIFY comes within 64·T1 (Timer N).
        asked.until.get_or_insert(now + patience);
        self.refer_accepted(id);
        let untold = response
            .headers
            .refer_sub()
            .is_ok_and(|wish| wish.mode.eq_ignore_ascii_case("false"));
        if untold {
            // RFC 4488 §4.
            self.refer_done(id, ReferOutcome::Untold);
            self.transfers.asked.retain(|asked| asked.id != id);
        }
        self.drop_ended_transfers();
    }

    /// No path carried our REFER to an answer.
    pub(super) fn refer_not_carried(&mut self, id: ReferId) {
        self.refer_done(id, ReferOutcome::Unsent);
        self.transfers.asked.retain(|asked| asked.id != id);
    }

    /// A REFER of the peer (RFC 3515 §2.4.2).
    pub(super) fn on_refer(&mut self, now: Instant, id: TaskId, request: &Request) {
        self.on_refer_in(now, id, request, None);
    }

    /// A REFER outside of the call by who knows its dialog (RFC 4538 §5).
    pub(super) fn on_refer_outside(&mut self, now: Instant, id: TaskId, request: &Request) {
        let tag = self.owner.local_tag.clone();
        match Dialog::from_request(request, &tag, 1) {
            Some(mut dialog) => {
                dialog.confirm();
                self.on_refer_in(now, id, request, Some(Box::new(dialog)));
            }
            None => self.respond(now, id, StatusCode::BAD_REQUEST, None),
        }
    }

    /// Whether a request asks about this call from outside of it.
    pub(super) fn is_asked_outside(&self, request: &Request) -> bool {
        let headers = &request.headers;
        request.method == Method::Refer
            && headers.to().is_ok_and(|to| to.tag().is_none())
            && headers
                .target_dialog()
                .is_ok_and(|target| self.is_target_of(&target))
    }

    fn on_refer_in(
        &mut self,
        now: Instant,
        id: TaskId,
        request: &Request,
        outside: Option<Box<Dialog>>,
    ) {
        let headers = &request.headers;
        // RFC 3515 §2.4.2: exactly one.
        if headers.get_all(HeaderName::ReferTo).count() > 1 {
            let line = StatusLine::bad_request("Repeated Refer-To Header");
            return self.respond(now, id, line, None);
        }
        let mut target = match headers.refer_to() {
            Ok(target) => target,
            Err(error) => return self.respond(now, id, &error, None),
        };
        if self.phase != Phase::Talking {
            return self.refuse_for_now(now, id);
        }
        if self.transfers.taken.len() >= LIMIT {
            return self.respond(now, id, StatusCode::SERVICE_UNAVAILABLE, None);
        }
        if !target.uri.scheme.is_sip() && target.uri.scheme.as_str() != "tel" {
            return self.respond(now, id, StatusCode::UNSUPPORTED_URI_SCHEME, None);
        }
        let method = target.uri.params.get("method");
        if method.is_some_and(|method| method != "INVITE") {
            self.notice("the peer asked for a request other than a call, which is not done");
            return self.respond(now, id, StatusCode::DECLINE, None);
        }
        let Ok(replaces) = replaces_in(&target) else {
            let line = StatusLine::bad_request("Malformed Replaces in Refer-To Header");
            return self.respond(now, id, line, None);
        };
        target.uri.headers.clear();
        target.uri.params.remove("method");
        self.call_at_home(&mut target);
        let unwanted = headers
            .refer_sub()
            .is_ok_and(|wish| wish.mode.eq_ignore_ascii_case("false"));
        let ours = &self.config.capabilities.supported;
        let known = ours
            .iter()
            .any(|tag| tag.eq_ignore_ascii_case(NO_SUBSCRIPTION));
        let subscribed = !(unwanted && known);
        if let (None, Some(dialog)) = (&outside, &mut self.dialog) {
            dialog.refresh_target(headers);
        }
        let key = outside.as_ref().map(|dialog| OwnerKey {
            call_id: dialog.id().call_id.clone(),
            local_tag: dialog.id().local_tag.clone(),
        });
        let name = self.transfers.next_id();
        self.transfers.taken.push(Taken {
            id: name,
            dialog: outside,
            number: headers.cseq().map_or(0, |cseq| cseq.number),
            task: Some(id),
            subscribed,
            decided: false,
            decide_by: now + THINKING,
            until: now + LASTS,
            open: None,
            notes: VecDeque::new(),
            closing: false,
        });
        self.event(CallEvent::ReferRequested(Box::new(ReferRequest {
            id: name,
            target,
            replaces,
            referred_by: headers.referred_by().ok(),
            wants_reports: subscribed,
            dialog: key,
        })));
    }

    /// Transfers whose time is over, and REFERs that nobody decides upon.
    pub(super) fn refer_due(&mut self, now: Instant) {
        let asked: Vec<ReferId> = self
            .transfers
            .asked
            .iter()
            .filter(|asked| asked.until.is_some_and(|until| until <= now))
            .map(|asked| asked.id)
            .collect();
        for id in asked {
            self.refer_done(id, ReferOutcome::Lost { reason: None });
            self.transfers.asked.retain(|asked| asked.id != id);
        }
        let taken: Vec<ReferId> = self.transfers.taken.iter().map(|taken| taken.id).collect();
        for id in taken {
            let Some(taken) = self.taken_with(id) else {
                continue;
            };
            let task = taken.task;
            if taken.until <= now && taken.closing {
                // Not even the last NOTIFY got through.
                self.transfers.taken.retain(|taken| taken.id != id);
            } else if taken.until <= now {
                taken.decided = true;
                taken.until = now + LASTS;
                taken.close(Note::last(StatusCode::REQUEST_TIMEOUT, "timeout"));
                self.notify_next(now, id);
            } else if let (false, Some(task)) = (taken.decided, task)
                && taken.decide_by <= now
            {
                // RFC 3515 §2.4.2: the answer does not wait for the user; the NOTIFY says that all is open.
                taken.decide_by = taken.until;
                taken.notes.push_back(Note::pending());
                self.answer_refer(now, id, task);
                self.notify_next(now, id);
            }
        }
    }

    /// The session is over: nobody decides upon a REFER any more; what is under way is told to its end.
    pub(super) fn transfers_after_end(&mut self, now: Instant) {
        let undecided: Vec<(ReferId, bool)> = self
            .transfers
            .taken
            .iter()
            .filter(|taken| !taken.decided)
            .map(|taken| (taken.id, taken.task.is_some()))
            .collect();
        for (id, unanswered) in undecided {
            if unanswered {
                // Its answer is 487, as for all that waits.
                self.transfers.taken.retain(|taken| taken.id != id);
            } else if let Some(taken) = self.taken_with(id) {
                taken.decided = true;
                taken.close(Note::last(StatusCode::DECLINE, "rejected"));
                self.notify_next(now, id);
            }
        }
    }

    pub(super) fn refer_accepted(&mut self, id: ReferId) {
        if let Some(asked) = self.asked_with(id)
            && !std::mem::replace(&mut asked.accepted, true)
        {
            self.refer_event(id, ReferProgress::Accepted);
        }
    }

    /// Tells the outcome of our REFER, once.
    pub(super) fn refer_done(&mut self, id: ReferId, outcome: ReferOutcome) {
        if let Some(asked) = self.asked_with(id)
            && !std::mem::replace(&mut asked.told, true)
        {
            self.refer_event(id, ReferProgress::Done(outcome));
        }
    }

    /// Told also after the end of the session, whose usage of the dialog is another one.
    pub(super) fn refer_event(&mut self, id: ReferId, progress: ReferProgress) {
        self.out.event(CallEvent::Refer { id, progress });
    }

    /// Forgets what both ends know to be over.
    pub(super) fn drop_ended_transfers(&mut self) {
        self.transfers
            .asked
            .retain(|asked| !(asked.answered && asked.terminated));
    }

    pub(super) fn asked_with(&mut self, id: ReferId) -> Option<&mut Asked> {
        self.transfers.asked.iter_mut().find(|asked| asked.id == id)
    }

    pub(super) fn taken_with(&mut self, id: ReferId) -> Option<&mut Taken> {
        self.transfers.taken.iter_mut().find(|taken| taken.id == id)
    }

    /// The REFER that waits for our decision, with its transaction where it has no answer yet.
    fn undecided(&mut self, id: ReferId) -> Result<Option<TaskId>, WrongState> {
        match self.taken_with(id) {
            Some(taken) if !taken.decided => Ok(taken.task),
            _ => Err(WrongState::NothingDue),
        }
    }

    /// 202 to the REFER.
    fn answer_refer(&mut self, now: Instant, id: ReferId, task: TaskId) {
        let Some(taken) = self.taken_with(id) else {
            return;
        };
        taken.task = None;
        let subscribed = taken.subscribed;
        let Some(mut response) = self.answer_to(task, StatusCode::ACCEPTED, None) else {
            return;
        };
        if !subscribed {
            response.headers.push(HeaderName::ReferSub, "false");
        }
        self.respond_with(now, task, response);
    }
}

impl Taken {
    /// Queues the last note; what was not said yet is overtaken by it.
    pub(super) fn close(&mut self, note: Note) {
        if !std::mem::replace(&mut self.closing, true) {
            self.notes.clear();
            self.notes.push_back(note);
        }
    }
}

/// The Replaces among the headers of a Refer-To (RFC 3891 §4). An error for one that cannot be read.
fn replaces_in(target: &NameAddr) -> Result<Option<Replaces>, ()> {
    let mut named = target.uri.headers.iter();
    let Some((_, value)) = named.find(|(name, _)| name.eq_ignore_ascii_case("Replaces")) else {
        return Ok(None);
    };
    let mut headers = sip_message::Headers::new();
    headers.push(HeaderName::Replaces, unescaped(value));
    headers.replaces().map(Some).map_err(|_| ())
}

/// An address as Refer-To and Referred-By want it: in brackets, whatever it holds (RFC 3515 §2.1).
fn bracketed(address: &NameAddr) -> String {
    let written = address.to_string();
    match (written.contains('<'), address.params.is_empty()) {
        (true, _) => written,
        (false, true) => format!("<{written}>"),
        (false, false) => format!("<{}>", address.uri),
    }
}

/// A header value of a URI with its escapes resolved.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
