//! What a call tells its owner, and why it ended.

use super::IntervalRefused;
use super::refer::{ReferId, ReferProgress, ReferRequest};
use crate::auth::LoginWanted;
use crate::dialog::DialogId;
use crate::locate::Tried;
use privacy::{Private, Sentence};
use sip_message::{NameAddr, StatusCode};
use std::net::SocketAddr;

/// Something the owner of a call wants to know. After [`CallEvent::Ended`] there is no other but [`CallEvent::Refer`].
#[derive(Clone, PartialEq)]
pub enum CallEvent {
    /// A peer has the INVITE (100, or the first answer of any kind).
    Trying,
    /// A provisional answer above 100. Repeated ones with nothing new are told once.
    Progress {
        /// 101 to 199.
        status: StatusCode,
        /// The phrase as sent.
        reason: Private,
        /// The early dialog it belongs to; one per fork. `None` when the answer had no To tag.
        dialog: Option<DialogId>,
    },
    /// The peer offers media: answer with [`super::Call::answer`] (first INVITE), with
    /// [`super::Call::accept_offer`] or [`super::Call::reject_offer`] (any other).
    Offer {
        /// The session description.
        body: Vec<u8>,
    },
    /// An INVITE without a session description: the offer is ours. [`super::Call::answer`] or
    /// [`super::Call::accept_offer`] with it; the peer's answer follows in its ACK (RFC 3261 §13.2.1).
    OfferWanted,
    /// The peer's answer to our offer.
    Answer {
        /// The session description.
        body: Vec<u8>,
        /// True when it came before the call was taken (early media).
        early: bool,
    },
    /// The call is up: for a caller with the peer's 2xx, for a callee with the ACK.
    Established,
    /// The peer refused our first offer, and has [`super::CallConfig::second_offer`] now.
    OfferedAgain {
        /// How it refused.
        status: StatusCode,
    },
    /// Our change of the session was not taken; the session goes on as it was.
    ReofferFailed {
        /// What the peer answered; `None` when the request could not be sent or was given up.
        status: Option<StatusCode>,
    },
    /// Our offer in the 2xx to an INVITE of the peer got no answer in its ACK: it is withdrawn, and the session goes on
    /// as it was.
    OfferUnanswered,
    /// The peer sent an INFO (RFC 6086), already answered with 200.
    Info {
        /// The Info Package it belongs to (RFC 6086); `None` for an INFO of the old kind.
        package: Option<String>,
        /// Its Content-Type as sent; empty when there was none. Digits are read by [`super::InfoDigit::parse`].
        content_type: String,
        /// Its body.
        body: Vec<u8>,
    },
    /// How a transfer goes that we asked for with [`super::Call::refer`]. Also told after [`CallEvent::Ended`]; one
    /// `Done` for each.
    Refer {
        /// Which.
        id: ReferId,
        /// How it goes.
        progress: ReferProgress,
    },
    /// The peer asks us to call somebody: [`super::Call::accept_refer`] or [`super::Call::reject_refer`]. Undecided
    /// for 10 s it is answered 202 in our name, and the decision goes out as a report.
    ReferRequested(Box<ReferRequest>),
    /// A 3xx: where else the peer may be reached, best first. [`super::Call::follow`] goes there, where
    /// [`super::CallConfig::redirections`] allows it; else [`CallEvent::Ended`] follows.
    Redirected {
        /// The Contacts of the answer.
        contacts: Vec<NameAddr>,
    },
    /// A request of ours is asked for a login that we do not have, or the one we have was refused. It waits for
    /// [`super::Call::login`] as long as [`super::CallConfig::login_wait`] says, and ends as it would have without
    /// waiting when none comes, or at [`super::Call::give_up_login`].
    LoginWanted(LoginWanted),
    /// Nobody waits for that login any more: it was given, given up, or came too late.
    LoginSettled {
        /// Who asked.
        realm: String,
    },
    /// The call is over. The object still has to live until it is drained.
    Ended(EndReason),
    /// A server failed, by silence or because nothing could be carried there, whatever comes of the request elsewhere.
    Tried(Tried),
    /// A peer's fault was repaired or something was ignored; a sentence for the timeline.
    Notice(Sentence),
}

/// Why a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndReason {
    /// What happened.
    pub kind: EndKind,
}

/// The ways a call ends. A SIP status stands only where a peer sent one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// A peer refused the call, or said that the dialog is gone (408 or 481 within it).
    Status {
        /// 300 to 699.
        code: u16,
        /// The phrase as sent.
        phrase: Private,
        /// Its Server or User-Agent header.
        server: Option<String>,
        /// The address that the answer came from.
        address: Option<SocketAddr>,
        /// Reason and Warning headers and Retry-After, as sent.
        remark: Option<Private>,
        /// What a 422 to the INVITE was about; `None` with any other code.
        interval: Option<IntervalRefused>,
    },
    /// It rang and nobody took the call within our own limit ([`super::CallConfig::ring_limit`]).
    NoAnswer,
    /// The INVITE was sent again and again and no peer said anything (RFC 3261 Timer B, on each path).
    Silence {
        /// The address that was tried last.
        address: Option<SocketAddr>,
    },
    /// The network failed before SIP could speak.
    Network {
        /// What failed.
        fault: NetworkFault,
    },
    /// The peer sent a BYE.
    PeerHungUp {
        /// Its Reason header (RFC 3326) as sent.
        reason: Option<Private>,
    },
    /// The peer took the call, repeated that as if no ACK of ours had come, and sent a BYE (RFC 3261 §13.3.1.4).
    AckLost {
        /// How often its 2xx came again.
        repeats: u32,
    },
    /// Our user hung up: CANCEL or BYE.
    WeHungUp,
    /// Our user did not take the call.
    WeRejected {
        /// What we answered.
        code: u16,
    },
    /// The caller gave up before the call was taken.
    Cancelled {
        /// The Reason header (RFC 3326) of its CANCEL as sent, like `SIP;cause=200;text="Call completed elsewhere"`.
        reason: Option<Private>,
    },
    /// A login was asked for and what we have was refused.
    PasswordRefused {
        /// Who asked.
        realm: String,
    },
    /// A login was asked for and there is none.
    PasswordMissing {
        /// Who asked.
        realm: String,
    },
    /// A login was asked for in a weaker way than the registration was granted by.
    LoginWeaker {
        /// The realm that asked.
        realm: String,
    },
    /// A login was asked for by an algorithm that the account does not answer: MD5.
    LoginTooWeak {
        /// Who asked.
        realm: String,
    },
    /// The server calls each login outdated, also one for the nonce that it has just given (RFC 7616 §3.3).
    LoginStale {
        /// Who asked.
        realm: String,
    },
    /// We took the call and the caller never acknowledged it (RFC 3261 §13.3.1.4).
    NotAcknowledged,
    /// Nobody refreshed the session within its interval (RFC 4028 §10): the peer is gone, or the way to it.
    SessionExpired,
    /// The peer gave no session description where one was due, and media has nowhere to go.
    NoSessionDescription {
        /// Which one was due.
        owed: Owed,
    },
    /// The peer's answer could not be used at all; a sentence says why.
    Unusable {
        /// The sentence.
        detail: Sentence,
    },
}

/// A session description that the peer owed us and did not send (RFC 3261 §13.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// The answer to the offer in our INVITE, in its 2xx at the latest.
    Answer,
    /// An offer in its 2xx, since our INVITE had none.
    Offer,
    /// The answer to the offer in our 2xx, in its ACK.
    AnswerInAck,
}

/// What failed in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// The next hop's name has no usable address.
    Unresolved(crate::ResolveError),
    /// No path could carry the request; the last one's fault.
    Transport(crate::TransportError),
}

impl EndReason {
    pub(crate) fn new(kind: EndKind) -> Self {
        Self { kind }
    }
}
