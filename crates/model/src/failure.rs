//! Why something failed, in words that help.
//!
//! Two rules hold everywhere. A SIP status stands only where a peer sent one: silence, DNS, TCP and
//! the machine's own troubles are named as what they are. And whoever said no is named.

use serde::{Deserialize, Serialize};

use crate::{CertificateFault, CertificateView, Private, Sentence};

/// The step on the way to a server that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkStep {
    /// The name has no usable address.
    Dns,
    /// The port is closed (TCP reset, ICMP port unreachable).
    Refused,
    /// There is no way to the host.
    Unreachable,
    /// The connection did not come up in time.
    ConnectTimeout,
    /// The connection broke.
    Closed,
    /// TLS could not be agreed.
    Tls,
    /// The server does not speak SIP over WebSocket.
    WebSocket,
    /// The local address or port could not be used.
    Bind,
    /// An address was found, and no transport or local address that leads to it.
    NoTransport,
}

/// What was still being done on the way to a server when the time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayStep {
    /// The connection was being opened.
    Connecting,
    /// TLS was being agreed on.
    Tls,
    /// WebSocket was being agreed on.
    WebSocket,
}

/// A session description that the other side owed and did not send (RFC 3261 §13.2.1, RFC 3264 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwedDescription {
    /// The answer to what we offered with our call, at the latest when the call is taken.
    Answer,
    /// An offer when the call is taken, since our call had none.
    Offer,
    /// The answer to what we offered when we took the call, with the caller's ACK.
    AnswerInAck,
}

/// What kind of thing went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FailureKind {
    /// A peer answered with a final status that is not a success.
    Status {
        /// 300 to 699.
        code: u16,
        /// Its phrase, as sent.
        phrase: Private,
    },
    /// Nobody answered within the time of the protocol (64·T1).
    NoAnswer {
        /// Where the request went.
        asked: Option<String>,
    },
    /// Our own time to ring ran out. Whether the other phone rang is not said: nothing may have come
    /// but a 100.
    NotPickedUp,
    /// Our own time to ring ran out while the way to the server was still being made: nothing of the
    /// call has left.
    NotReached {
        /// What was being done.
        step: WayStep,
        /// Where it leads, `IP:PORT`.
        asked: String,
    },
    /// The login was refused although credentials were given.
    PasswordRefused {
        /// The realm that asked.
        realm: String,
    },
    /// A login was asked for and there is no password.
    PasswordMissing {
        /// The realm that asked.
        realm: String,
    },
    /// A login was asked for by MD5 only, which the account does not answer.
    LoginTooWeak {
        /// The realm that asked.
        realm: String,
    },
    /// A login was asked for in a weaker way than the account was registered by.
    LoginWeaker {
        /// The realm that asked.
        realm: String,
    },
    /// The server called each login outdated, also one for the nonce that it had just given: the password has not
    /// been judged.
    LoginStale {
        /// The realm that asked.
        realm: String,
    },
    /// A registrar wants longer registrations (423), and names no time that can be followed.
    IntervalTooBrief {
        /// Seconds that were asked for.
        asked_s: u64,
        /// Seconds that it named as the least; `None` where it named none.
        least_s: Option<u64>,
    },
    /// The other side wants calls that are refreshed less often (422), and what followed did not help (RFC 4028 §7.3).
    SessionTooShort {
        /// Its phrase, as sent.
        phrase: Private,
        /// Seconds between refreshes that were asked for; `None` where none were.
        asked_s: Option<u32>,
        /// Seconds that it named as the least; `None` where it named none that can be read.
        least_s: Option<u32>,
        /// Whether what was asked for is what it had named before.
        lengthened: bool,
    },
    /// The network failed before SIP could speak.
    Network {
        /// At which step.
        step: NetworkStep,
        /// What the system said.
        detail: Sentence,
    },
    /// No codec, address or encryption that both sides can use.
    NoCommonMedia {
        /// What we offered.
        offered: String,
        /// What they want.
        wanted: String,
    },
    /// The other side said yes and has not said where to send sound, which it owes.
    DescriptionMissing {
        /// What it owes.
        owed: OwedDescription,
    },
    /// We took the call and the caller never acknowledged it (64·T1, RFC 3261 §13.3.1.4).
    NotAcknowledged,
    /// The other side said again and again that it takes the call, as if no ACK had come, and hung up (RFC 3261
    /// §13.3.1.4).
    AckLost {
        /// How often it said so.
        repeats: u32,
    },
    /// The session was not refreshed in the time that both sides had agreed on (RFC 4028 §10).
    SessionExpired,
    /// Media stopped coming.
    MediaSilent,
    /// What the user typed is no address.
    BadTarget {
        /// Why not.
        detail: Sentence,
    },
    /// What was asked cannot be done now, and it is nobody's fault.
    NotPossible {
        /// Why not.
        detail: Sentence,
    },
    /// A header that was to go with the call is none.
    BadHeader {
        /// Which, and what a good one looks like.
        detail: Sentence,
    },
    /// A request of somebody's own making cannot be sent as it is written.
    BadRequest {
        /// What is wrong with it.
        detail: Sentence,
    },
    /// The sound machinery could not carry the call.
    NoSound {
        /// Why not.
        detail: Sentence,
    },
    /// The keys for encrypted media could not be agreed on with the right peer; nothing went out in the clear.
    NotSecured {
        /// Why not.
        detail: Sentence,
    },
    /// A server answered with something that cannot be followed.
    BadAnswer {
        /// What.
        detail: Sentence,
    },
    /// A caller offered something that cannot be followed.
    BadOffer {
        /// What is wrong with it.
        detail: Sentence,
    },
    /// Our own machinery failed; the call or registration was cleaned up.
    Internal {
        /// What is known of it.
        detail: Sentence,
    },
}

/// A failure with everything a person needs: what, who, why, what next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    #[serde(flatten)]
    pub what: FailureKind,
    /// Who said so: an address, and the Server header when there was one.
    pub said_by: Option<Sentence>,
    /// Whether this is about a registration (words differ from a call's).
    pub registering: bool,
    /// What the server added: Reason, Warning, Retry-After, as sent.
    pub remark: Option<Private>,
    /// The certificate that was not trusted, where that is what failed: it can be trusted by
    /// [`Command::TrustCertificate`](crate::Command::TrustCertificate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Box<CertificateView>>,
}

impl Failure {
    /// A failure with nothing known beside its kind.
    pub fn new(what: FailureKind) -> Self {
        Self {
            what,
            said_by: None,
            registering: false,
            remark: None,
            certificate: None,
        }
    }

    /// The same, of a registration.
    #[must_use]
    pub fn registering(mut self) -> Self {
        self.registering = true;
        self
    }

    /// The same, with who said it.
    #[must_use]
    pub fn said_by(mut self, who: impl Into<Sentence>) -> Self {
        self.said_by = Some(who.into());
        self
    }

    /// The SIP status a peer sent, if one did.
    pub fn code(&self) -> Option<u16> {
        match self.what {
            FailureKind::Status { code, .. } => Some(code),
            FailureKind::IntervalTooBrief { .. } => Some(423),
            FailureKind::SessionTooShort { .. } => Some(422),
            _ => None,
        }
    }

    /// A few words for a headline.
    pub fn title(&self) -> String {
        words(self).title.to_owned()
    }

    /// What happened, who said it and the likely cause, as sentences.
    pub fn explanation(&self) -> Sentence {
        self.explained().into()
    }

    fn explained(&self) -> String {
        let mut text = words(self).cause;
        if let Some(who) = &self.said_by {
            text.push_str(&format!(" Said by {}.", who.reveal()));
        }
        if let Some(remark) = &self.remark {
            text.push_str(&format!(" The server added: {}.", remark.reveal()));
        }
        text
    }

    /// What to try next; empty when there is nothing to do.
    pub fn next_step(&self) -> &'static str {
        words(self).next
    }

    /// Headline, explanation and next step in one line, for a person at a terminal.
    pub fn sentence(&self) -> Sentence {
        let mut text = format!("{}: {}", self.title(), self.explained());
        let next = self.next_step();
        if !next.is_empty() {
            text.push(' ');
            text.push_str(next);
        }
        text.into()
    }
}

/// The words for one kind of failure.
struct Words {
    title: &'static str,
    cause: String,
    next: &'static str,
}

fn words(failure: &Failure) -> Words {
    let of = |title, cause: &str, next| Words {
        title,
        cause: cause.to_owned(),
        next,
    };
    match &failure.what {
        FailureKind::Status { code, phrase } => {
            status_words(*code, phrase.reveal(), failure.registering)
        }
        // A connection carries it once, and says it again by itself.
        FailureKind::NoAnswer { asked: Some(asked) } if !asked.starts_with("udp:") => of(
            "Server silent",
            &format!(
                "The request went out on the connection to {asked}, and no answer came. A server that hangs or does not speak SIP there, or a router that has forgotten the connection and says nothing."
            ),
            "Check the address and the port; a new connection is tried next.",
        ),
        FailureKind::NoAnswer { asked } => of(
            "Server silent",
            &format!(
                "The request was sent again and again{} and no answer came. A firewall, a wrong port or transport, or a server that is down.",
                asked
                    .as_deref()
                    .map(|a| format!(" to {a}"))
                    .unwrap_or_default()
            ),
            "Check the address and the transport, or try TCP.",
        ),
        FailureKind::NotPickedUp => of(
            "No answer",
            "Nobody picked up in the time the call had to ring.",
            "Try again later.",
        ),
        FailureKind::NotReached { step, asked } => {
            let (doing, next) = match step {
                WayStep::Connecting => (
                    "was still being opened",
                    "Check the address, the port and firewalls.",
                ),
                WayStep::Tls => (
                    "is open, and TLS was still being agreed on",
                    "Check whether that port speaks TLS; the port for SIP without it is another one.",
                ),
                WayStep::WebSocket => (
                    "is open, and WebSocket was still being agreed on",
                    "Check whether that port speaks WebSocket, and with TLS or without.",
                ),
            };
            let cause = format!(
                "When the call's time was up, the connection to {asked} {doing}: the call has not left."
            );
            of("Server not reached", &cause, next)
        }
        FailureKind::PasswordRefused { realm } => of(
            "Password not accepted",
            &format!(
                "The server asked for a login for \u{201c}{realm}\u{201d} and refused the one it got."
            ),
            "Check the password, the user name, and whether a separate authentication name is needed.",
        ),
        FailureKind::PasswordMissing { realm } => of(
            "Password needed",
            &format!(
                "The server asked for a password for \u{201c}{realm}\u{201d}, which this account does not have."
            ),
            "Enter the password; if it is there, the server is not one of this account's and does not get it.",
        ),
        FailureKind::LoginTooWeak { realm } => of(
            "Login too weak",
            &format!(
                "The server asked for a login for \u{201c}{realm}\u{201d} by MD5 only, which this account does not answer."
            ),
            "Ask for SHA-256 there (RFC 8760), or let the account answer MD5 again.",
        ),
        FailureKind::LoginWeaker { realm } => of(
            "Weaker login asked for",
            &format!(
                "A login for \u{201c}{realm}\u{201d} was asked for in a weaker way than this account was registered by, and was not given: somebody behind the server may have asked in its name."
            ),
            "If the server itself asks so, give the account a login for this realm.",
        ),
        FailureKind::LoginStale { realm } => of(
            "Logins count as outdated",
            &format!(
                "The server asked for a login for \u{201c}{realm}\u{201d} again and again, and called each one outdated (stale), also for the nonce that it had just given: its clock may be wrong, or several servers behind it do not know of each other. Of the password nothing was said."
            ),
            "Tell whoever runs the server. Another password does not help.",
        ),
        FailureKind::IntervalTooBrief { asked_s, least_s } => {
            let but = match least_s {
                None => "and does not say how long (it owes a Min-Expires with its 423)".to_owned(),
                Some(least) if least <= asked_s => {
                    format!("although it names {least} s as the least (423)")
                }
                Some(least) => format!(
                    "and names {least} s as the least (423), which is too long, or more than it named before"
                ),
            };
            of(
                "Interval too short",
                &format!(
                    "The server wants longer registrations than the {asked_s} s that were asked for, {but}."
                ),
                "Enter a longer time with the account, or ask the provider.",
            )
        }
        FailureKind::SessionTooShort {
            phrase,
            asked_s,
            least_s,
            lengthened,
        } => of(
            "Session too short",
            &format!(
                "The other side wants calls to be refreshed less often, {} (422 {}).",
                too_short(*asked_s, *least_s, *lengthened),
                phrase.reveal()
            ),
            "Ask whoever runs the server.",
        ),
        FailureKind::Network { step, detail } => {
            let mut words = network_words(*step, detail.reveal());
            match failure.certificate.as_ref().map(|shown| shown.fault) {
                Some(CertificateFault::Changed) => {
                    words.title = "The server shows another certificate";
                    words.next = "Somebody else may answer in its place: ask whoever runs the server before you trust the new one.";
                }
                Some(_) => {
                    words.next = "Compare the fingerprint with what whoever runs the server says; if it is the same, trust this certificate.";
                }
                None => {}
            }
            words
        }
        FailureKind::NoCommonMedia { offered, wanted } => of(
            "No common audio format",
            &format!("We can use {offered}; they want {wanted}."),
            "Switch on a codec that both sides have, or change the encryption setting.",
        ),
        FailureKind::DescriptionMissing { owed } => {
            let cause = match owed {
                OwedDescription::Answer => {
                    "The other side took the call and has not said where to send sound: it owes an answer to our session description (SDP), and none came."
                }
                OwedDescription::Offer => {
                    "The other side took the call and has not said where to send sound: it owes a session description (SDP), and none came."
                }
                OwedDescription::AnswerInAck => {
                    "The caller has not said where to send sound: its ACK owes an answer to our session description (SDP), and has none."
                }
            };
            of(
                "Nowhere to send sound",
                cause,
                "Call again. If it stays like this, their phone or a server on the way is at fault.",
            )
        }
        FailureKind::NotAcknowledged => of(
            "Caller gone",
            "The caller's phone never confirmed our answer to its call: it is gone, or the answer does not get there.",
            "Call back. If it happens with every call, look at routers and firewalls on the way.",
        ),
        FailureKind::AckLost { repeats } => of(
            "Our confirmation did not arrive",
            &format!(
                "The other side said {repeats} times more that it takes the call, as if what we confirm that with (ACK) had never come, and then hung up: a server or a router on the way loses it, or sends it elsewhere."
            ),
            "Tell whoever runs the server; another transport may help.",
        ),
        FailureKind::SessionExpired => of(
            "Other side gone",
            "Nobody refreshed the call in the time that both sides had agreed on (session timer): the other side is gone, or the way to it.",
            "Call again.",
        ),
        FailureKind::MediaSilent => of(
            "Sound stopped",
            "The call is up and no media has arrived for a while.",
            "The peer may be gone, or a router closed the path.",
        ),
        FailureKind::BadTarget { detail } => of(
            "Not an address",
            detail.reveal(),
            "Type a number, a name, user@domain, or a sip: address.",
        ),
        FailureKind::NotPossible { detail } => of(
            "Not possible now",
            &format!("The call was not begun: {}.", detail.reveal()),
            "Try again when another call has ended.",
        ),
        FailureKind::BadHeader { detail } => of(
            "Not a header",
            &format!("The call was not begun: {}.", detail.reveal()),
            "Correct the header. Those that make a call what it is cannot be set.",
        ),
        FailureKind::BadRequest { detail } => of(
            "Not a request",
            &format!("The request was not sent: {}.", detail.reveal()),
            "Correct it and send it again.",
        ),
        FailureKind::NoSound { detail } => of(
            "No sound",
            &format!(
                "The call was ended, since it could not be heard: {}.",
                detail.reveal()
            ),
            "Look at the sound devices; end other calls, then call again.",
        ),
        FailureKind::NotSecured { detail } => of(
            "Not secured",
            &format!(
                "The call was ended before a word was said: {}.",
                detail.reveal()
            ),
            "Call again. If it stays like this, somebody may stand between you, or their encryption is another.",
        ),
        FailureKind::BadAnswer { detail } => of(
            "Answer cannot be used",
            &format!(
                "An answer came, and it cannot be followed: {}.",
                detail.reveal()
            ),
            "Ask the provider.",
        ),
        FailureKind::BadOffer { detail } => of(
            "Offer cannot be used",
            &format!(
                "The caller's session description (SDP) cannot be followed: {}.",
                detail.reveal()
            ),
            "Ask the caller which phone or system it is.",
        ),
        FailureKind::Internal { detail } => of(
            "Internal fault",
            &format!(
                "A part of Tipring failed ({}) and was restarted; the peer was told.",
                detail.reveal()
            ),
            "Try again. The trace holds what happened.",
        ),
    }
}

fn network_words(step: NetworkStep, detail: &str) -> Words {
    let (title, cause, next) = match step {
        NetworkStep::Dns => (
            "Name not found",
            "The server's name has no usable address",
            "Check the spelling, or use an IP address.",
        ),
        NetworkStep::Refused => (
            "Port closed",
            "The host is there and refuses this port",
            "Check the port and the transport.",
        ),
        NetworkStep::Unreachable => (
            "Host unreachable",
            "There is no way to the host from here",
            "Check the network, a VPN, and the address.",
        ),
        NetworkStep::ConnectTimeout => (
            "No connection",
            "The host did not accept a connection in time",
            "Check the address and firewalls, or try UDP.",
        ),
        NetworkStep::Closed => (
            "Connection lost",
            "The connection to the server broke",
            "It is opened again by itself.",
        ),
        NetworkStep::Tls => (
            "Secure connection refused",
            "TLS could not be agreed",
            "Look at the certificate and its dates and names.",
        ),
        NetworkStep::WebSocket => (
            "No SIP over WebSocket there",
            "The server answered, and not as one that speaks SIP over WebSocket",
            "Check the path that is asked for, the port and the transport.",
        ),
        NetworkStep::Bind => (
            "Local port not usable",
            "This machine did not give us the local address or port",
            "Choose another address or port, or end the program that uses it.",
        ),
        NetworkStep::NoTransport => (
            "No usable transport",
            "The transport or the local address of this account leads to no address of the server",
            "Check the transport and the local address.",
        ),
    };
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    };
    Words {
        title,
        cause: format!("{cause}{detail}."),
        next,
    }
}

/// Why a 422 was the end, as the second half of a sentence.
fn too_short(asked_s: Option<u32>, least_s: Option<u32>, lengthened: bool) -> String {
    let Some(asked) = asked_s else {
        return "although we asked for no refreshing".to_owned();
    };
    match least_s {
        Some(least) if lengthened && least > asked => {
            format!("and wants {least} s now that it was asked for the {asked} s it had named")
        }
        _ if lengthened => format!("and refused also the {asked} s that it had named itself"),
        None => format!(
            "than each {asked} s, and does not say how often (it owes a Min-SE with its refusal)"
        ),
        Some(least) => {
            format!("but names {least} s as the least, and was asked for {asked} s")
        }
    }
}

fn status_words(code: u16, phrase: &str, registering: bool) -> Words {
    let (title, cause, next) = match code {
        300..=399 if registering => (
            "Registrar has moved",
            "The server wants this account to sign in elsewhere",
            "Enter the new server with the account, or ask the provider for it.",
        ),
        300..=399 => (
            "Moved",
            "The other side can be reached elsewhere",
            "Call the address it gave.",
        ),
        401 | 407 => (
            "Login refused",
            "The server wants a login and did not take ours",
            "Check user name, authentication name and password.",
        ),
        403 if registering => (
            "Server refuses this account",
            "It understood us and said no: a wrong password on some systems, a blocked address, a disabled account, a wrong domain. Retries are paused",
            "Check the account with the provider, then retry.",
        ),
        403 => (
            "Call not allowed",
            "The account may not dial this number: dial plan, credit, or caller id",
            "Try another account.",
        ),
        404 | 604 if registering => (
            "Account unknown",
            "The server does not know this user. Retries are paused",
            "Check the user name and the domain, then retry.",
        ),
        404 | 604 => (
            "Number unknown",
            "The server knows nobody by this number or name",
            "Check the number.",
        ),
        405 | 501 if registering => (
            "No registrar there",
            "The server does not take registrations",
            "Check the registrar's address, or sign in without registering.",
        ),
        405 | 501 => (
            "Not supported there",
            "The server does not take this kind of request",
            "",
        ),
        406 | 415 | 488 | 606 => (
            "No common audio format",
            "The other side accepts none of the codecs or the encryption we offered",
            "Switch on another codec, or change the encryption setting.",
        ),
        408 => (
            "Other side did not answer in time",
            "A server on the way waited and gave up",
            "Try again later.",
        ),
        410 | 480 | 484 | 486 | 487 | 600 | 603 | 607 | 608 if registering => (
            "Server refuses",
            "The server does not want this registration, and gives a reason that belongs to calls",
            "Check the address of the account and the server, or ask the provider.",
        ),
        410 | 480 => (
            "Not reachable now",
            "Nobody is signed in there, or do-not-disturb is on",
            "Try again later.",
        ),
        420 | 421 => (
            "Extension mismatch",
            "The server needs or refuses an extension of SIP",
            "",
        ),
        422 => (
            "Session too short",
            "The other side wants calls to be refreshed less often",
            "Ask whoever runs the server.",
        ),
        423 => (
            "Interval too short",
            "The server wants a longer time, and named none that helps",
            "Ask the provider.",
        ),
        481 => (
            "Server lost this call",
            "It does not know the call any more, often after a restart or a changed address",
            "Call again.",
        ),
        482 | 483 => (
            "Call is looping",
            "It was forwarded in a circle",
            "Look at the forwarding rules.",
        ),
        484 => (
            "Number incomplete",
            "The server needs more digits",
            "Check the number.",
        ),
        486 | 600 => ("Busy", "They are in another call", "Try again later."),
        487 => ("Cancelled", "The call was ended before it was answered", ""),
        491 => (
            "Both sides changed the call at once",
            "The other side is in the middle of a change of its own",
            "Try again in a moment.",
        ),
        500..=599 => (
            "Server problem",
            "The server could not handle the request",
            "Try again later, or use another server.",
        ),
        603 => ("Declined", "They do not want to take the call", ""),
        607 | 608 => ("Rejected", "The call was marked as unwanted", ""),
        _ => ("Refused", "The other side refused the request", ""),
    };
    Words {
        title,
        cause: format!("{cause} ({code} {phrase})."),
        next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, phrase: &str) -> Failure {
        Failure::new(FailureKind::Status {
            code,
            phrase: phrase.into(),
        })
    }

    #[test]
    fn a_code_stands_only_where_a_peer_sent_one() {
        let kinds = [
            FailureKind::NoAnswer { asked: None },
            FailureKind::NotPickedUp,
            FailureKind::PasswordRefused {
                realm: "pbx".to_owned(),
            },
            FailureKind::PasswordMissing {
                realm: "pbx".to_owned(),
            },
            FailureKind::Network {
                step: NetworkStep::Refused,
                detail: "connection refused".into(),
            },
            FailureKind::DescriptionMissing {
                owed: OwedDescription::Answer,
            },
            FailureKind::DescriptionMissing {
                owed: OwedDescription::Offer,
            },
            FailureKind::DescriptionMissing {
                owed: OwedDescription::AnswerInAck,
            },
            FailureKind::NotAcknowledged,
            FailureKind::SessionExpired,
            FailureKind::MediaSilent,
            FailureKind::Internal {
                detail: "dialog".into(),
            },
        ];
        for kind in kinds {
            let failure = Failure::new(kind);
            assert_eq!(failure.code(), None);
            let digits = failure
                .sentence()
                .into_revealed()
                .bytes()
                .filter(u8::is_ascii_digit)
                .count();
            assert_eq!(digits, 0, "{}", failure.sentence().into_revealed());
        }
    }

    #[test]
    fn a_way_that_was_not_made_in_time_is_told_by_its_step() {
        for (step, words) in [
            (WayStep::Connecting, "was still being opened"),
            (WayStep::Tls, "TLS was still being agreed on"),
            (WayStep::WebSocket, "WebSocket was still being agreed on"),
        ] {
            let asked = "192.0.2.1:5061".to_owned();
            let failure = Failure::new(FailureKind::NotReached { step, asked });
            assert_eq!(failure.code(), None);
            let sentence = failure.sentence().into_revealed();
            assert!(sentence.contains(words), "{sentence}");
            assert!(sentence.contains("192.0.2.1:5061"), "{sentence}");
        }
    }

    #[test]
    fn a_registrar_that_answers_as_a_callee_does_is_not_told_as_one() {
        for code in [410, 480, 486, 600, 603, 607] {
            let failure = status(code, "No").registering();
            let said = failure.sentence().into_revealed();
            assert!(said.contains("does not want this registration"), "{said}");
        }
    }

    #[test]
    fn whoever_said_no_is_named() {
        let failure = status(486, "Busy Here").said_by("udp:192.0.2.1:5060 (Example PBX 4)");
        assert_eq!(
            failure.sentence().into_revealed(),
            "Busy: They are in another call (486 Busy Here). Said by udp:192.0.2.1:5060 (Example PBX 4). Try again later."
        );
    }

    #[test]
    fn every_failure_status_has_words() {
        for code in 300..700 {
            let failure = status(code, "Phrase");
            assert!(!failure.title().is_empty());
            assert!(
                failure
                    .explanation()
                    .into_revealed()
                    .contains(&format!("({code} Phrase)"))
            );
            assert_eq!(failure.code(), Some(code));
        }
    }

    #[test]
    fn a_registration_that_is_refused_says_what_to_change() {
        for (code, phrase, title, word) in [
            (
                302,
                "Moved Temporarily",
                "Registrar has moved",
                "sign in elsewhere",
            ),
            (403, "Forbidden", "Server refuses this account", "said no"),
            (
                404,
                "Not Found",
                "Account unknown",
                "does not know this user",
            ),
            (
                405,
                "Method Not Allowed",
                "No registrar there",
                "registrations",
            ),
        ] {
            let failure = status(code, phrase).registering();
            assert_eq!(failure.title(), title);
            let sentence = failure.sentence().into_revealed();
            assert!(sentence.contains(word), "{sentence}");
            assert!(!failure.next_step().is_empty(), "{sentence}");
            // Nothing was dialled: words about calls would mislead.
            for wrong in ["call", "Call", "number", "dial", "raised by itself"] {
                assert!(!sentence.contains(wrong), "{wrong} in: {sentence}");
            }
        }
    }

    #[test]
    fn a_registrar_that_wants_longer_registrations_is_told_by_what_it_named() {
        for (least_s, words) in [
            (None, "does not say how long"),
            (Some(60), "although it names 60 s"),
            (
                Some(9_999_999),
                "9999999 s as the least (423), which is too long",
            ),
        ] {
            let asked_s = 300;
            let kind = FailureKind::IntervalTooBrief { asked_s, least_s };
            let failure = Failure::new(kind).registering();
            assert_eq!(failure.code(), Some(423), "a peer sent it");
            let sentence = failure.sentence().into_revealed();
            assert!(sentence.contains(words), "{sentence}");
            assert!(sentence.contains("the 300 s that were asked for"));
            assert!(sentence.contains("Enter a longer time"), "{sentence}");
        }
    }

    /// RFC 4028 §6: a 422 has a Min-SE; §7.3: who gets one may ask again, for no less than that.
    #[test]
    fn who_wants_rarer_refreshes_is_said_to_refuse_only_what_was_asked_for() {
        let refused_itself = "that it had named itself";
        for (asked_s, least_s, lengthened, words) in [
            (
                Some(3600),
                Some(3600),
                true,
                "also the 3600 s that it had named itself",
            ),
            (
                Some(3600),
                None,
                true,
                "also the 3600 s that it had named itself",
            ),
            (
                Some(3600),
                Some(7200),
                true,
                "wants 7200 s now that it was asked for the 3600 s it had named",
            ),
            (
                Some(1800),
                None,
                false,
                "than each 1800 s, and does not say how often",
            ),
            (
                Some(1800),
                Some(90),
                false,
                "names 90 s as the least, and was asked for 1800 s",
            ),
            (None, Some(3600), false, "we asked for no refreshing"),
            (None, None, false, "we asked for no refreshing"),
        ] {
            let failure = Failure::new(FailureKind::SessionTooShort {
                phrase: "Session Interval Too Small".into(),
                asked_s,
                least_s,
                lengthened,
            });
            assert_eq!(failure.code(), Some(422), "a peer sent it");
            assert_eq!(failure.title(), "Session too short");
            let sentence = failure.sentence().into_revealed();
            assert!(sentence.contains(words), "{sentence}");
            assert!(
                lengthened || !sentence.contains(refused_itself),
                "{sentence}"
            );
        }
        // Of a 422 to something else nothing more is known.
        let sentence = status(422, "Session Interval Too Small").sentence();
        assert!(!sentence.reveal().contains(refused_itself));
    }

    #[test]
    fn a_login_that_is_called_stale_blames_no_password() {
        let realm = "pbx".to_owned();
        let failure = Failure::new(FailureKind::LoginStale { realm });
        assert_eq!(failure.code(), None);
        let sentence = failure.sentence().into_revealed();
        assert!(sentence.contains("(stale)"), "{sentence}");
        assert!(sentence.contains("Another password does not help"));
        assert!(!failure.title().contains("assword"));
    }

    #[test]
    fn our_own_limit_does_not_claim_that_a_phone_rang() {
        let sentence = Failure::new(FailureKind::NotPickedUp)
            .sentence()
            .into_revealed();
        assert!(!sentence.contains("rang"), "{sentence}");
        assert!(sentence.contains("Nobody picked up"), "{sentence}");
    }

    #[test]
    fn a_local_address_that_cannot_be_used_is_no_matter_of_names() {
        for step in [NetworkStep::Bind, NetworkStep::NoTransport] {
            let sentence = Failure::new(FailureKind::Network {
                step,
                detail: "this machine has no such address".into(),
            })
            .sentence()
            .into_revealed();
            assert!(sentence.contains("local address"), "{sentence}");
            assert!(sentence.contains("has no such address"), "{sentence}");
            for wrong in ["Name", "spelling", "DNS"] {
                assert!(!sentence.contains(wrong), "{wrong} in: {sentence}");
            }
        }
    }

    #[test]
    fn the_same_status_reads_differently_for_a_registration() {
        assert_eq!(status(403, "Forbidden").title(), "Call not allowed");
        assert_eq!(
            status(403, "Forbidden").registering().title(),
            "Server refuses this account"
        );
    }

    #[test]
    fn what_is_told_of_an_event_names_nobody_where_it_is_logged() {
        use crate::{
            Notice, NoticeLevel, RegistrationMark, RegistrationState, Timestamp, TraceBody,
        };
        let told =
            || Sentence::from("\u{201c}quentin.t@acme.test\u{201d} said no to +4930555010099");
        let notice = Notice {
            time: Timestamp(0),
            level: NoticeLevel::Error,
            tenant: None,
            text: told(),
        };
        let mark = RegistrationMark {
            time: Timestamp(0),
            state: RegistrationState::Refused,
            text: Some(told()),
        };
        let note = TraceBody::Note {
            topic: "call".to_owned(),
            text: told(),
            sip_call_id: None,
        };
        let mut failure = Failure::new(FailureKind::BadTarget { detail: told() });
        failure.remark = Some("Quentin says no".into());
        for logged in [
            format!("{notice:?}"),
            format!("{mark:?}"),
            format!("{note:?}"),
            format!("{failure:?}"),
            format!("{:?}", told()),
        ] {
            assert!(logged.contains("acme.test"), "{logged}");
            assert!(
                !logged.to_lowercase().contains("quentin") && !logged.contains("55501"),
                "{logged}"
            );
        }
        // A person is told everything.
        assert!(failure.sentence().reveal().contains("quentin.t@acme.test"));
    }
}
