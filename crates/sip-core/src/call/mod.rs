//! A call: one INVITE, out or in, all dialogs it makes, and everything said in the one that wins.
//!
//! ```text
//!   outgoing()                     incoming()
//!       │ INVITE                       │ INVITE received, 100
//!       ▼                              ▼
//!    Calling ──┐ 1xx: Progress      Ringing ──┐ ring(), progress(): 1xx
//!       │  └───┘ CANCEL held           │  └───┘
//!       │ 2xx: ACK   until 1xx         │ answer(): 2xx, repeated until the ACK
//!       └───────────►  Talking  ◄──────┘
//!                      │    └──┐ reoffer(), Offer, info(), …
//!                      │  └────┘
//!          BYE, refusal, silence, CANCEL, hang_up()
//!                      ▼
//!                    Ended ── the last transactions and late forks ──► drained
//! ```
//!
//! Transactions are values in here, so CANCEL, ACK, forks and glare all meet in one place and cannot race.
//! [`CallEvent::Ended`] comes once and last, but for the reports of a transfer that outlives the session
//! ([`CallEvent::Refer`]). The object then lives on until [`Call::is_drained`], to answer repeats,
//! to acknowledge and end forks that answer late, and to bring its BYE or CANCEL home.
//!
//! What a peer does wrong is repaired where that is safe, and told as [`CallEvent::Notice`].

mod ack;
mod answer;
mod body;
mod bye;
mod caller;
mod cancel;
mod card;
mod config;
mod digit;
mod end;
mod event;
mod forward;
mod info;
mod invite;
mod login;
mod modify;
mod notify;
mod progress;
mod redirect;
mod refer;
mod reliable;
mod replace;
mod send;
mod serve;
mod session_id;
mod task;
#[cfg(test)]
mod tests;
mod timer;
mod update;
mod warning;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use sip_message::{Reason, Request, Response, Uri};
use thiserror::Error;

pub use caller::CallerInfo;
pub use card::{ByeCard, CardStamp};
pub use config::CallConfig;
pub use digit::InfoDigit;
pub use event::{CallEvent, EndKind, EndReason, NetworkFault, Owed};
pub use forward::ForwardReason;
pub use refer::{ReferId, ReferOutcome, ReferProgress, ReferRequest};
pub use replace::Fit;
pub use timer::{IntervalRefused, SessionInterval, SessionTimer};
pub use warning::MediaWarning;

use self::ack::Unacked;
use self::login::Waiting;
use self::modify::Reoffer;
use self::redirect::Redirection;
use self::refer::Transfers;
use self::reliable::{Reliable, Taken};
use self::session_id::SessionIds;
use self::task::{ClientTask, Purpose, ServerTask, TaskId, Way};
use self::timer::Session;
use self::update::Again;
use crate::auth::Authenticator;
use crate::dialog::{Dialog, DialogSet};
use crate::dispatch::OwnerKey;
use crate::output::{Outbox, Output};
use crate::path::{Destination, Inbound, Path, ResolveError, ResolveId, TransportError};
use crate::timers::Deadlines;
use crate::tokens::{Seed, Tokens};
use crate::transaction::ServerOutput;

/// One call. See the [module](self).
///
/// A copy speaks with the same branches: it is for [`ByeCard`], which draws others, and for nobody else.
#[derive(Clone)]
pub struct Call {
    config: CallConfig,
    tokens: Tokens,
    owner: OwnerKey,
    role: Role,
    phase: Phase,
    out: Outbox<CallEvent>,
    authenticator: Authenticator,
    /// Our requests under way, ACKs to 2xx among them.
    clients: Vec<ClientTask>,
    /// The peer's requests under way.
    servers: Vec<ServerTask>,
    /// Early dialogs of our INVITE, and answered ones that lost.
    early: DialogSet,
    /// To tags of the early dialogs whose answer we had.
    early_answers: Vec<(String, Vec<u8>)>,
    /// The dialog of the call: the fork that won, or what our answers to the INVITE made.
    dialog: Option<Dialog>,
    /// Who owes a session description.
    due: Due,
    /// Our 2xx that wait for their ACK.
    unacked: Vec<Unacked>,
    /// Our provisional answers that want a PRACK.
    reliable: Reliable,
    /// The last reliable answer of each early dialog of our INVITE.
    taken: Vec<Taken>,
    /// To tags of the early dialogs whose offer we answered in a PRACK.
    early_offers: Vec<String>,
    /// Our change of the session, waiting or under way.
    reoffer: Reoffer,
    /// Our UPDATE that is to be tried again.
    update_again: Again,
    /// The session timer.
    session: Session,
    /// The session description that we gave last and the peer took.
    described: Option<Vec<u8>>,
    /// The INVITE that waits for our final answer, for a call that came in.
    ringing: Option<TaskId>,
    deadlines: Deadlines<CallTimer>,
    /// The paths of the next hop that was resolved last.
    known_way: Option<(String, Vec<Destination>)>,
    /// Where the peer's last message came from.
    source: Option<Inbound>,
    /// The address that the peer was last known to speak from: by an answer to us, or in the dialog with both tags.
    peer_at: Option<IpAddr>,
    /// The last provisional answer that was told: code and To tag.
    told: Option<(u16, String)>,
    /// Whether anybody answered our INVITE at all.
    heard: bool,
    /// The address that our last attempt went to.
    last_tried: Option<SocketAddr>,
    /// The address that our INVITE for the call went to last.
    invited_at: Option<SocketAddr>,
    /// How often the peer has said again that it takes our INVITE with this CSeq number, and when it did last.
    said_again: Option<(u32, u32, Instant)>,
    /// The peer's INVITE without its body, for a call that came in.
    invitation: Option<Request>,
    /// Our INVITEs that were given up on a path, by their branches: a 2xx may still come.
    given_up: Vec<(String, Request)>,
    /// Whether no hand took the call that came in.
    unasked: bool,
    /// What our next 488 says of the session description.
    warning: Option<(MediaWarning, &'static str)>,
    /// The provisional answer that goes out again each minute.
    provisional: Option<Response>,
    /// REFERs both ways and their subscriptions, which outlive the session.
    transfers: Transfers,
    /// A 3xx that waits for the user's choice, and those followed before.
    redirection: Redirection,
    /// A request that waits for a login.
    login: Option<Box<Waiting>>,
    /// The call's name on all its legs.
    session_ids: SessionIds,
    /// `X-` headers of the peer.
    peer_headers: Vec<(String, String)>,
    /// Info Packages that the peer takes.
    peer_packages: Vec<String>,
    /// What our CANCEL or BYE says of its reason (RFC 3326).
    farewell: Option<Reason>,
    /// The BYE waits for the ACK to our 2xx (RFC 3261 §15).
    bye_held: bool,
    last_task: u32,
    last_resolve: u64,
    ignored: u32,
}

impl fmt::Debug for Call {
    /// Without identities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("counts", &self.counts())
            .field("ignored", &self.ignored)
            .finish_non_exhaustive()
    }
}

/// Who sent the first INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We did: the Call-ID is ours.
    Caller,
    /// The peer did.
    Callee,
}

/// How far the call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Our INVITE is out.
    Calling,
    /// The peer's INVITE waits for our final answer.
    Ringing,
    /// A 2xx was received or sent.
    Talking,
    /// [`CallEvent::Ended`] was told.
    Ended,
}

/// Which session description is owed at present, and by whom. One exchange at a time (RFC 3264 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Our answer, in the response to this INVITE or UPDATE of the peer.
    OurAnswer(TaskId),
    /// Our offer, in the response to this INVITE without one.
    OurOffer(TaskId),
    /// Our answer, in the PRACK for this reliable answer to our INVITE without an offer.
    OurAnswerInPrack {
        tag: String,
        rseq: u32,
        cseq: u32,
    },
    /// Our answer, in the ACK to this 2xx of our INVITE without an offer.
    OurAnswerInAck {
        cseq: u32,
        tag: String,
    },
}

/// The timers of a call beside those of its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallTimer {
    /// [`CallConfig::ring_limit`].
    RingLimit,
    /// The invitation of the caller holds no longer (RFC 3261 §13.3.1).
    InvitationEnd,
    /// A provisional answer goes out again each minute, for proxies' Timer C (RFC 3261 §13.3.1.1).
    RepeatProvisional,
    /// Our re-INVITE may be tried again (RFC 3261 §14.1).
    Reoffer,
    /// The user did not choose among the contacts of a 3xx.
    Redirected,
    /// Nobody gave the login that a request waits for.
    Login,
    /// Our UPDATE may be tried again (RFC 3311 §5.3).
    UpdateAgain,
    /// Half of the session interval is over and the refresh is ours (RFC 4028 §10).
    Refresh,
    /// Shortly before the session expires (RFC 4028 §10).
    SessionEnd,
    /// Whatever still runs so long after the end is forgotten.
    Forget,
}

/// A verb that does not fit the state of the call. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WrongState {
    /// Not in this phase.
    #[error("not possible while the call is {0:?}")]
    Phase(Phase),
    /// Another exchange of session descriptions is not finished.
    #[error("another change of the session is not finished")]
    Busy,
    /// The peer does not take requests of this kind, by its Allow or Recv-Info.
    #[error("the peer does not take this kind of request")]
    NotTaken,
    /// No offer waits for an answer.
    #[error("no session description is owed")]
    NothingDue,
    /// Not one of the things to choose from.
    #[error("this cannot be chosen")]
    Choice,
    /// The status is not of the kind that this verb sends.
    #[error("status {0} cannot be sent here")]
    Status(u16),
}

/// An INVITE that makes no call: what to answer, outside of any transaction.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The answer, ready to be sent.
    pub response: Box<Response>,
    /// Where to.
    pub destination: Destination,
    /// Why, in a sentence without identities.
    pub why: String,
}

impl Call {
    /// How many requests of the peer are kept at once: the answered ones for repeats, until others need their place,
    /// the others until they are answered. Where all wait, a new one gets a 503.
    pub const SERVER_LIMIT: usize = 32;

    /// How many forks of our INVITE are acknowledged within 64·T1; the 2xx of others are ignored.
    pub const FORK_LIMIT: usize = 256;

    /// How many requests of ours a peer can make us send at once; past it reliable provisional answers are ignored.
    pub const CLIENT_LIMIT: usize = 64;

    /// A message for this call: a request within its dialogs, a repeat, a CANCEL or an ACK.
    pub fn handle_request(&mut self, now: Instant, request: Request, inbound: Inbound) {
        self.out.begin_input();
        self.source = Some(inbound);
        self.learn(&request.headers);
        self.serve(now, request, inbound);
        self.settle(now);
    }

    /// A response to one of our requests.
    pub fn handle_response(&mut self, now: Instant, response: Response, inbound: Inbound) {
        self.out.begin_input();
        let attempt = self
            .clients
            .iter_mut()
            .find_map(|task| task.attempt_for(&response));
        match attempt {
            Some(attempt) => {
                self.source = Some(inbound);
                self.peer_at = Some(inbound.path.remote.ip());
                attempt.handle_response(now, &response);
                self.learn(&response.headers);
            }
            None => self.on_stray_response(now, &response, inbound),
        }
        self.settle(now);
    }

    /// The answer to an [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        result: Result<Vec<Path>, ResolveError>,
    ) {
        self.out.begin_input();
        self.resolved(now, id, result);
        self.settle(now);
    }

    /// What was sent with this branch in its top Via could not be sent. For a response that is the branch of the
    /// peer's request.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.out.begin_input();
        self.unsent(now, branch, error);
        self.settle(now);
    }

    /// Our address is another one: every way is asked for anew from now on, and nothing goes along the old flow. A change
    /// of the session that was on its way has failed ([`CallEvent::ReofferFailed`]), since its answer would go to where
    /// we are not. What of the peer's is still to be answered is answered with the Contact that this way from the new
    /// address has. To tell a peer that asks nothing there is [`Call::reoffer`], and before the call is taken
    /// [`Call::update`] or [`Call::tell_contact`].
    pub fn moved(&mut self, now: Instant, way: &Path) {
        self.out.begin_input();
        self.known_way = None;
        self.source = None;
        for task in &mut self.servers {
            task.moved_to = Some(*way);
        }
        let changes = |task: &&mut ClientTask| {
            matches!(
                task.purpose,
                Purpose::Reinvite { .. } | Purpose::Update { .. }
            )
        };
        for task in self.clients.iter_mut().filter(changes) {
            if let (true, Some(attempt)) = (task.is_open(), &mut task.attempt) {
                attempt.handle_transport_error(now, TransportError::Unreachable);
                task.way = Way::Known(VecDeque::new());
            }
        }
        self.settle(now);
    }

    /// The deadline has come. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.out.begin_input();
        for task in &mut self.clients {
            task.handle_timeout(now);
        }
        for task in &mut self.servers {
            task.handle_timeout(now);
        }
        self.settle(now);
        self.give_up_due(now);
        self.repeat_unacked(now);
        self.repeat_reliable(now);
        self.refer_due(now);
        while let Some((timer, _)) = self.deadlines.pop_due(now) {
            self.on_timer(now, timer);
        }
        self.settle(now);
    }

    /// The next output; [`Output::Deadline`] when there is no other.
    pub fn poll_output(&mut self) -> Output<CallEvent> {
        let deadline = if self.out.is_empty() {
            self.deadline()
        } else {
            None
        };
        self.out.poll(deadline)
    }

    /// Under which the dispatcher finds this call: all its dialogs share the Call-ID and our tag.
    #[must_use]
    pub fn owner_key(&self) -> &OwnerKey {
        &self.owner
    }

    /// Who called.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// How far it has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The dialog of the call, once there is one.
    #[must_use]
    pub fn dialog(&self) -> Option<&Dialog> {
        self.dialog.as_ref()
    }

    /// Whether it has ended and nothing runs any more: its owner may drop it.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.phase == Phase::Ended
            && self.clients.is_empty()
            && self.servers.is_empty()
            && self.unacked.is_empty()
            && self.transfers.is_empty()
            && self.out.is_empty()
    }

    /// Whether it has ended and each side has what it waited for: our requests are answered, what we refused or took is
    /// acknowledged. What runs on absorbs repeats, and whoever is in a hurry may drop it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Ended
            && !self.clients.iter().any(ClientTask::awaits_answer)
            && !self.servers.iter().any(ServerTask::awaits_ack)
            && self.unacked.is_empty()
            && !self.bye_held
            && self.out.is_empty()
    }

    /// Whether our INVITE with this branch has no final answer yet.
    #[must_use]
    pub fn awaits_answer_to(&self, branch: &str) -> bool {
        self.clients
            .iter()
            .any(|task| task.is_open() && task.is_invite_with(branch))
    }

    /// How many messages were dropped because they fitted nothing.
    #[must_use]
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    /// How much it holds: our requests, the peer's requests, dialogs, unacknowledged answers, transfers. All return to
    /// zero.
    #[must_use]
    pub fn counts(&self) -> [usize; 5] {
        let dialogs = self.early.len() + usize::from(self.dialog.is_some());
        [
            self.clients.len(),
            self.servers.len(),
            dialogs,
            self.unacked.len(),
            self.transfers.len(),
        ]
    }

    fn new(config: CallConfig, seed: &Seed, role: Role, owner: OwnerKey) -> Self {
        let phase = match role {
            Role::Caller => Phase::Calling,
            Role::Callee => Phase::Ringing,
        };
        let mut tokens = Tokens::new(seed);
        let session_ids = SessionIds::new(config.session_id.as_deref(), &mut tokens);
        let authenticator = send::authenticator(&config);
        let mut call = Self {
            config,
            tokens,
            owner,
            role,
            phase,
            out: Outbox::default(),
            authenticator,
            clients: Vec::new(),
            servers: Vec::new(),
            early: DialogSet::default(),
            early_answers: Vec::new(),
            dialog: None,
            due: Due::Nothing,
            unacked: Vec::new(),
            reliable: Reliable::default(),
            taken: Vec::new(),
            early_offers: Vec::new(),
            reoffer: Reoffer::default(),
            update_again: Again::default(),
            session: Session::default(),
            described: None,
            ringing: None,
            deadlines: Deadlines::default(),
            known_way: None,
            source: None,
            peer_at: None,
            told: None,
            heard: false,
            last_tried: None,
            invited_at: None,
            invitation: None,
            said_again: None,
            given_up: Vec::new(),
            unasked: false,
            warning: None,
            provisional: None,
            transfers: Transfers::default(),
            redirection: Redirection::default(),
            login: None,
            session_ids,
            peer_headers: Vec::new(),
            peer_packages: Vec::new(),
            farewell: None,
            bye_held: false,
            last_task: 0,
            last_resolve: 0,
            ignored: 0,
        };
        call.out.begin_input();
        call
    }

    /// Lets what the transactions say have its effects, until all is quiet.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            for id in self.client_ids() {
                while let Some((present, destination, output)) = self.poll_client(id) {
                    quiet = false;
                    self.on_client_output(now, id, present, destination, output);
                }
            }
            for id in self.server_ids() {
                while let Some(output) = self.server(id).and_then(ServerTask::poll_output) {
                    quiet = false;
                    self.on_server_output(now, id, output);
                }
            }
            quiet &= !self.start_reoffer(now);
            if quiet {
                break;
            }
        }
        self.clients.retain(|task| !task.is_over());
        self.servers.retain(|task| !task.is_terminated());
        // A call talks for hours and has nothing under way: the room goes back, it is the most of what a call holds.
        if self.clients.is_empty() {
            self.clients = Vec::new();
        }
        if self.servers.is_empty() {
            self.servers = Vec::new();
        }
        if self.phase == Phase::Ended {
            self.forget_finished();
        }
    }

    fn on_server_output(&mut self, now: Instant, id: TaskId, output: ServerOutput) {
        match output {
            ServerOutput::Send(bytes) => self.send_response(id, bytes),
            ServerOutput::Ack(ack) => self.on_ack_of_success(now, &ack),
            // A refusal that nobody acknowledged, or a request that we never answered: it is over either way.
            ServerOutput::TimedOut | ServerOutput::Terminated => {}
            ServerOutput::TransportFailed(_) => {
                self.notice("an answer could not be sent on the path that its request came by");
            }
        }
    }

    fn on_timer(&mut self, now: Instant, timer: CallTimer) {
        match timer {
            CallTimer::RingLimit => self.ring_limit_passed(now),
            CallTimer::InvitationEnd => self.invitation_over(now),
            CallTimer::RepeatProvisional => self.repeat_provisional(now),
            // The deadline has gone from the table: that is what start_reoffer looks at.
            CallTimer::Reoffer => {}
            CallTimer::Redirected => self.redirection_over(now),
            CallTimer::Login => self.login_over(now),
            CallTimer::UpdateAgain => self.try_update_again(now),
            CallTimer::Refresh => self.refresh(now),
            CallTimer::SessionEnd => self.session_expired(now),
            CallTimer::Forget => self.forget_in_time(now),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(ClientTask::deadline);
        let servers = self.servers.iter().filter_map(ServerTask::deadline);
        let unacked = self.unacked.iter().map(Unacked::deadline);
        let own = self
            .deadlines
            .next()
            .into_iter()
            .chain(self.transfers.deadline())
            .chain(self.reliable.deadline());
        clients.chain(servers).chain(unacked).chain(own).min()
    }

    fn event(&mut self, event: CallEvent) {
        // Nothing is told after the end.
        if self.phase != Phase::Ended {
            self.out.event(event);
        }
    }

    fn notice(&mut self, sentence: &str) {
        self.event(CallEvent::Notice(sentence.into()));
    }

    fn client_ids(&self) -> Vec<TaskId> {
        self.clients.iter().map(|task| task.id).collect()
    }

    fn server_ids(&self) -> Vec<TaskId> {
        self.servers.iter().map(|task| task.id).collect()
    }

    fn client(&mut self, id: TaskId) -> Option<&mut ClientTask> {
        self.clients.iter_mut().find(|task| task.id == id)
    }

    fn server(&mut self, id: TaskId) -> Option<&mut ServerTask> {
        self.servers.iter_mut().find(|task| task.id == id)
    }

    /// The peer's tag in the dialog of the call.
    fn dialog_tag(&self) -> Option<String> {
        let dialog = self.dialog.as_ref()?;
        Some(dialog.id().remote_tag.clone())
    }

    /// The dialog with this tag of the peer: that of the call, or an early one.
    fn dialog_with(&mut self, tag: &str) -> Option<&mut Dialog> {
        let of_call = self
            .dialog
            .as_mut()
            .filter(|dialog| dialog.id().remote_tag == tag);
        of_call.or_else(|| self.early.find_mut(tag))
    }

    /// Where requests within the call go: by its dialog, by the early one that was heard last, or where the INVITE
    /// went while nobody has answered it.
    #[must_use]
    pub fn next_hop(&self) -> Option<Uri> {
        if let Some(dialog) = &self.dialog {
            return Some(dialog.next_hop().clone());
        }
        let heard = self.told.as_ref();
        let early = heard.and_then(|(_, tag)| self.early.find(tag));
        let invite = |task: &&ClientTask| task.purpose == Purpose::Invite;
        let asked = self.clients.iter().find(invite).map(|task| &task.hop);
        early.map(Dialog::next_hop).or(asked).cloned()
    }

    /// The dialog to talk in: that of the call, or the early one that was heard last. None after the end.
    fn present_dialog(&mut self) -> Option<&mut Dialog> {
        match self.phase {
            Phase::Talking | Phase::Ringing => self.dialog.as_mut(),
            Phase::Calling => {
                // RFC 6228: after a 199 that early dialog is gone.
                let (_, tag) = self.told.clone().filter(|(code, _)| *code != 199)?;
                self.early.find_mut(&tag)
            }
            Phase::Ended => None,
        }
    }

    fn next_task(&mut self) -> TaskId {
        self.last_task = self.last_task.wrapping_add(1);
        TaskId(self.last_task)
    }

    fn poll_client(
        &mut self,
        id: TaskId,
    ) -> Option<(bool, Destination, crate::transaction::ClientOutput)> {
        self.client(id)?.poll_output()
    }

    fn next_resolve(&mut self) -> Way {
        self.last_resolve = self.last_resolve.wrapping_add(1);
        Way::Asked(ResolveId(self.last_resolve))
    }
}
