//! The protocol's reasons in the product's words.

use std::net::SocketAddr;
use std::time::SystemTime;

use model::{
    Cause, CertificateFault, CertificateView, EndedHow, Ending, Failure, FailureKind, NetworkStep,
    OwedDescription, Party, Timestamp, WayStep,
};
use sdp::SdpError;
use sip_core::auth::AuthError;
use sip_core::call::{EndKind, NetworkFault, Owed};
use sip_core::client::RequestFailure;
use sip_core::events::Fault;
use sip_core::registration::{Refusal, Trouble};
use sip_core::{ResolveError, TransportError};
use sip_message::{HeaderName, Headers, ParseErrorKind, StatusCode};

/// Names of a certificate that are shown.
const NAMES: usize = 8;

/// Why a call ended, when there is something to say; `None` for ends that went as wished.
pub(crate) fn call(kind: &EndKind) -> Option<Failure> {
    let failure = match kind {
        EndKind::WeHungUp
        | EndKind::PeerHungUp { .. }
        | EndKind::WeRejected { .. }
        | EndKind::Cancelled { .. } => {
            return None;
        }
        EndKind::Status {
            code,
            phrase,
            server,
            address,
            remark,
            interval,
        } => {
            let mut failure = Failure::new(match interval {
                Some(refused) => FailureKind::SessionTooShort {
                    phrase: phrase.clone(),
                    asked_s: refused.asked_s,
                    least_s: refused.least_s,
                    lengthened: refused.lengthened,
                },
                None => FailureKind::Status {
                    code: *code,
                    phrase: phrase.clone(),
                },
            });
            failure.said_by = said_by(address.as_ref(), server.as_deref());
            failure.remark = remark.clone();
            failure
        }
        EndKind::NoAnswer => Failure::new(FailureKind::NotPickedUp),
        EndKind::Silence { address } => Failure::new(FailureKind::NoAnswer {
            asked: address.map(|a| a.to_string()),
        }),
        EndKind::Network { fault } => network(fault),
        EndKind::PasswordRefused { realm } => Failure::new(FailureKind::PasswordRefused {
            realm: realm.clone(),
        }),
        EndKind::PasswordMissing { realm } => Failure::new(FailureKind::PasswordMissing {
            realm: realm.clone(),
        }),
        EndKind::LoginStale { realm } => Failure::new(FailureKind::LoginStale {
            realm: realm.clone(),
        }),
        EndKind::LoginWeaker { realm } => Failure::new(FailureKind::LoginWeaker {
            realm: realm.clone(),
        }),
        EndKind::LoginTooWeak { realm } => Failure::new(FailureKind::LoginTooWeak {
            realm: realm.clone(),
        }),
        EndKind::NotAcknowledged => Failure::new(FailureKind::NotAcknowledged),
        EndKind::AckLost { repeats } => Failure::new(FailureKind::AckLost { repeats: *repeats }),
        EndKind::SessionExpired => Failure::new(FailureKind::SessionExpired),
        EndKind::NoSessionDescription { owed } => Failure::new(FailureKind::DescriptionMissing {
            owed: match owed {
                Owed::Answer => OwedDescription::Answer,
                Owed::Offer => OwedDescription::Offer,
                Owed::AnswerInAck => OwedDescription::AnswerInAck,
            },
        }),
        EndKind::Unusable { detail } => Failure::new(FailureKind::NoCommonMedia {
            offered: "audio".to_owned(),
            wanted: detail.reveal().to_owned(),
        }),
    };
    Some(failure)
}

/// The peer's answer cannot be used.
pub(crate) fn description(error: &SdpError) -> Failure {
    Failure::new(match error {
        SdpError::NoCommonMedia { offered, wanted } => FailureKind::NoCommonMedia {
            offered: wanted.clone(),
            wanted: offered.clone(),
        },
        SdpError::NotEncrypted { offered, wanted } => FailureKind::NoCommonMedia {
            offered: wanted.clone(),
            wanted: format!("{offered} without encryption"),
        },
        SdpError::AudioRefused { offered } => FailureKind::NoCommonMedia {
            offered: offered.clone(),
            wanted: "no audio".to_owned(),
        },
        SdpError::StrangeCrypto | SdpError::StrangeHandshake => FailureKind::NotSecured {
            detail: error.to_string().into(),
        },
        SdpError::Malformed(_)
        | SdpError::TooLarge(_)
        | SdpError::UnusableAddress(_)
        | SdpError::UnexpectedAnswer
        | SdpError::OfferPending => FailureKind::BadAnswer {
            detail: error.to_string().into(),
        },
    })
}

/// The peer's offer cannot be used.
pub(crate) fn offer(error: &SdpError) -> Failure {
    let mut failure = description(error);
    if let FailureKind::BadAnswer { detail } = failure.what {
        failure.what = FailureKind::BadOffer { detail };
    }
    failure
}

/// A call was not made where it was sent to: the user is told where that would have been.
pub(crate) fn tell_places(failure: &mut Failure, places: &[Party]) {
    if places.is_empty() {
        return;
    }
    let places: Vec<&str> = places.iter().map(|place| place.uri.reveal()).collect();
    let places = format!("Contact: {}", places.join(", "));
    let remark = match failure.remark.take() {
        Some(remark) => format!("{}; {places}", remark.reveal()),
        None => places,
    };
    failure.remark = Some(remark.into());
}

/// Who ended a call that did not fail, and what was said of why.
pub(crate) fn ending(kind: &EndKind) -> Option<Ending> {
    let (how, reason) = match kind {
        EndKind::WeHungUp | EndKind::WeRejected { .. } => (EndedHow::ByUs, None),
        EndKind::PeerHungUp { reason } => (EndedHow::ByThem, reason.as_ref()),
        EndKind::Cancelled { reason } => (EndedHow::CallerGaveUp, reason.as_ref()),
        _ => return None,
    };
    Some(Ending::new(
        how,
        reason.map_or_else(Vec::new, |reason| causes(reason.reveal())),
    ))
}

/// The causes of a Reason header; one that cannot be read is shown as it came.
fn causes(reason: &str) -> Vec<Cause> {
    let mut headers = Headers::new();
    headers.push(HeaderName::Reason, reason);
    match headers.reasons() {
        Ok(reasons) => reasons
            .iter()
            .map(|reason| Cause::new(&reason.protocol, reason.cause(), reason.text()))
            .collect(),
        Err(_) => vec![Cause::new("", None, Some(reason))],
    }
}

/// Our time to ring ran out before anything was heard of the peer.
pub(crate) fn never_heard(to: SocketAddr, step: Option<WayStep>) -> Failure {
    let asked = to.to_string();
    Failure::new(match step {
        Some(step) => FailureKind::NotReached { step, asked },
        None => FailureKind::NoAnswer { asked: Some(asked) },
    })
}

/// Who answered, as a person can find it.
pub(crate) fn said_by(
    address: Option<&SocketAddr>,
    server: Option<&str>,
) -> Option<model::Sentence> {
    match (address, server) {
        (Some(address), Some(server)) => Some(format!("{address} ({server})").into()),
        (Some(address), None) => Some(address.to_string().into()),
        (None, Some(server)) => Some(server.into()),
        (None, None) => None,
    }
}

/// A no for good from a registrar.
pub(crate) fn refusal(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::Status {
            status,
            phrase,
            path,
        } => Failure::new(FailureKind::Status {
            code: status.code(),
            phrase: phrase.clone(),
        })
        .said_by(path.to_string()),
        Refusal::IntervalTooBrief { asked, least, path } => {
            Failure::new(FailureKind::IntervalTooBrief {
                asked_s: asked.as_secs(),
                least_s: least.map(|least| least.as_secs()),
            })
            .said_by(path.to_string())
        }
        Refusal::Auth { error, path, .. } => auth(error).said_by(path.to_string()),
    }
    .registering()
}

/// Something with a registration that may pass by itself.
pub(crate) fn trouble(trouble: &Trouble) -> Failure {
    match trouble {
        Trouble::Resolve(error) => resolve(error),
        Trouble::Request(error) => request(error),
        Trouble::Status {
            status,
            phrase,
            path,
        } => Failure::new(FailureKind::Status {
            code: status.code(),
            phrase: phrase.clone(),
        })
        .said_by(path.to_string()),
        Trouble::NothingGranted { path } => Failure::new(FailureKind::BadAnswer {
            detail: "the registrar said yes and granted no time".into(),
        })
        .said_by(path.to_string()),
        Trouble::FlowLost => transport(&TransportError::Closed),
    }
    .registering()
}

/// A request that got no answer it could use.
pub(crate) fn request(failure: &RequestFailure) -> Failure {
    match failure {
        RequestFailure::NoPath => resolve(&ResolveError::NoAnswer),
        RequestFailure::Silent { path } => Failure::new(FailureKind::NoAnswer {
            asked: Some(path.to_string()),
        }),
        RequestFailure::Transport { error, path } => {
            let mut failure = transport(error);
            if let FailureKind::Network { detail, .. } = &mut failure.what {
                *detail = format!("{}: {path}", detail.reveal()).into();
            }
            failure
        }
        RequestFailure::Auth { error, path, .. } => auth(error).said_by(path.to_string()),
    }
}

/// Why a subscription, a publication or a message did not come about or did not last.
pub(crate) fn fault(fault: &Fault) -> Failure {
    let said = |detail: model::Sentence| Failure::new(FailureKind::BadAnswer { detail });
    match fault {
        Fault::Status {
            status,
            phrase,
            path,
            ..
        } => Failure::new(FailureKind::Status {
            code: status.code(),
            phrase: phrase.clone(),
        })
        .said_by(path.to_string()),
        Fault::NothingGranted { path } => {
            said("the server said yes and granted no time".into()).said_by(path.to_string())
        }
        Fault::Incomplete { missing, path } => {
            said(format!("the answer has no {missing}").into()).said_by(path.to_string())
        }
        Fault::Terminated { .. } | Fault::NoNotify | Fault::Expired => said(fault.sentence()),
        Fault::Request(failure) => request(failure),
        Fault::Unresolved(error) => resolve(error),
    }
}

fn auth(error: &AuthError) -> Failure {
    Failure::new(match error {
        AuthError::NoCredentials { realm } => FailureKind::PasswordMissing {
            realm: realm.clone(),
        },
        AuthError::Refused { realm } => FailureKind::PasswordRefused {
            realm: realm.clone(),
        },
        AuthError::Stale { realm } => FailureKind::LoginStale {
            realm: realm.clone(),
        },
        AuthError::TooOften { realm } => FailureKind::BadAnswer {
            detail: format!(
                "it asks for one login after the other, the last one for \u{201c}{realm}\u{201d}"
            )
            .into(),
        },
        AuthError::Weaker { realm } => FailureKind::LoginWeaker {
            realm: realm.clone(),
        },
        AuthError::TooWeak { realm, .. } => FailureKind::LoginTooWeak {
            realm: realm.clone(),
        },
        AuthError::NothingKnown { offered } => FailureKind::BadAnswer {
            detail: format!(
                "it wants a login in a way that is not known here, or asks for it in a broken way ({offered})"
            )
            .into(),
        },
    })
}

fn network(fault: &NetworkFault) -> Failure {
    match fault {
        NetworkFault::Unresolved(error) => resolve(error),
        NetworkFault::Transport(error) => transport(error),
    }
}

/// A next hop that could not be found.
pub(crate) fn resolve(error: &ResolveError) -> Failure {
    let step = match error {
        ResolveError::Unusable(_) => NetworkStep::NoTransport,
        _ => NetworkStep::Dns,
    };
    Failure::new(FailureKind::Network {
        step,
        detail: error.to_string().into(),
    })
}

/// A message that could not be sent.
pub(crate) fn transport(error: &TransportError) -> Failure {
    let step = match error {
        TransportError::Refused => NetworkStep::Refused,
        TransportError::Unreachable => NetworkStep::Unreachable,
        TransportError::TimedOut | TransportError::NoTcp => NetworkStep::ConnectTimeout,
        TransportError::Tls(_) => NetworkStep::Tls,
        TransportError::WebSocket(_) => NetworkStep::WebSocket,
        TransportError::Closed | TransportError::TooLarge | TransportError::Other(_) => {
            NetworkStep::Closed
        }
    };
    Failure::new(FailureKind::Network {
        step,
        detail: error.to_string().into(),
    })
}

/// A certificate that was not trusted, as a person is shown it.
pub(crate) fn certificate(
    host: String,
    fault: &wire::CertificateFault,
    shown: &wire::Certificate,
) -> CertificateView {
    use wire::CertificateFault as Of;
    let remembered = match fault {
        Of::Changed { remembered } => Some(remembered.to_string()),
        _ => None,
    };
    CertificateView {
        host,
        fingerprint: shown.fingerprint.to_string(),
        fault: match fault {
            Of::Expired => CertificateFault::Expired,
            Of::NotYetValid => CertificateFault::NotYetValid,
            Of::OtherName { .. } => CertificateFault::OtherName,
            Of::UnknownIssuer => CertificateFault::UnknownIssuer,
            Of::SelfSigned => CertificateFault::SelfSigned,
            Of::Revoked => CertificateFault::Revoked,
            Of::Changed { .. } => CertificateFault::Changed,
            Of::Invalid(_) => CertificateFault::Invalid,
        },
        subject: shown.subject.clone(),
        issuer: shown.issuer.clone(),
        names: shown
            .names
            .iter()
            .take(NAMES)
            .map(ToString::to_string)
            .collect(),
        not_before: timestamp(shown.not_before),
        not_after: timestamp(shown.not_after),
        remembered,
    }
}

/// Names the certificate in a failure of TLS that is because of it.
pub(crate) fn blame(failure: &mut Failure, untrusted: &mut Option<Box<CertificateView>>) {
    let is_its = |shown: &CertificateView| {
        matches!(&failure.what,
        FailureKind::Network { step: NetworkStep::Tls, detail } if detail.reveal().contains(&shown.fingerprint))
    };
    if untrusted.as_deref().is_some_and(is_its) {
        failure.certificate = untrusted.take();
    }
}

/// An answer that came and could not be read.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    /// Who sent it.
    pub(crate) from: SocketAddr,
    /// Why it cannot be read.
    pub(crate) why: ParseErrorKind,
    /// The branch of the request that it answers.
    pub(crate) branch: String,
    /// Its status, where that can be read.
    pub(crate) status: Option<StatusCode>,
}

/// Whoever seemed silent, or not to pick up, has said something that could not be read.
pub(crate) fn blame_answer(failure: &mut Failure, unreadable: &mut Option<Unreadable>) {
    let Some(Unreadable { from, why, .. }) = unreadable.take() else {
        return;
    };
    let fits = match &failure.what {
        FailureKind::NoAnswer { asked: Some(asked) } => {
            let from = from.to_string();
            // With the transport in front or without it.
            let rest = asked.strip_suffix(&from);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(':'))
        }
        FailureKind::NotPickedUp => true,
        _ => false,
    };
    if fits {
        failure.what = FailureKind::BadAnswer {
            detail: format!("it cannot be read: {why}").into(),
        };
        failure.said_by = Some(from.to_string().into());
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A local address that cannot be used.
pub(crate) fn bind(error: &TransportError) -> Failure {
    Failure::new(FailureKind::Network {
        step: NetworkStep::Bind,
        detail: error.to_string().into(),
    })
}
