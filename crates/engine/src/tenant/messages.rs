//! Text messages (RFC 3428), out and in.

use std::sync::atomic::Ordering;

use event_bodies::voice_quality::SessionReport;
use model::{
    AccountId, Direction, Event, Failure, FailureKind, MessageState, MessageView, Party, Private,
};
use ractor::ActorRef;
use sip_core::Inbound;
use sip_core::events::{MessageRefusal, ReceivedMessage, read_message};
use sip_core::stateless::StatusLine;
use sip_message::{MediaType, Method, Request, StatusCode};

use super::{TenantMsg, TenantState};
use crate::account::AccountMsg;
use crate::oneshot::Task;
use crate::transport::TransportMsg;
use crate::wall;

/// Requests of one tenant that may be on their way at a time.
const ON_THEIR_WAY: usize = 256;
/// The largest message that is taken.
const LARGEST: usize = 16 * 1024;
/// The largest that is sent: what fits into one request everywhere.
const LARGEST_SENT: usize = 32 * 1024;

impl TenantState {
    pub(super) async fn say(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        account: AccountId,
        to: model::Identity,
        text: Private,
    ) {
        let Some(entry) = self.accounts.get(&account) else {
            return;
        };
        let target = entry.spec.identity.target(to.reveal());
        let uri = target
            .as_ref()
            .map_or_else(|_| to.clone(), |uri| model::Identity::from(uri.to_string()));
        let too_much = if self.one_shots.len() >= ON_THEIR_WAY {
            Some("as many messages are on their way as this phone sends at a time".to_owned())
        } else if text.reveal().len() > LARGEST_SENT {
            Some(format!(
                "the text has {} bytes; a message holds at most {LARGEST_SENT}",
                text.reveal().len()
            ))
        } else {
            None
        };
        let mut view = MessageView {
            id: self.shared.messages.fetch_add(1, Ordering::Relaxed) + 1,
            tenant: self.view.id.clone(),
            account: account.clone(),
            direction: Direction::Outgoing,
            remote: Party { display: None, uri },
            text,
            subject: None,
            time: wall(),
            state: MessageState::Sending,
            failure: None,
            round_trip_ms: None,
        };
        let why = match (&target, too_much) {
            (Err(detail), _) => Some(FailureKind::BadTarget {
                detail: detail.clone(),
            }),
            (Ok(_), Some(detail)) => Some(FailureKind::NotPossible {
                detail: detail.into(),
            }),
            (Ok(_), None) => None,
        };
        if let Some(what) = why {
            view.state = MessageState::Failed;
            view.failure = Some(Failure::new(what));
        }
        self.shared.hub.publish(Event::Message {
            message: Box::new(view.clone()),
        });
        if let (Ok(target), MessageState::Sending) = (target, view.state) {
            let view = Box::new(view);
            let args = self.one_shot_args(&account, Task::Say { target, view });
            self.start_one_shot(myself, args).await;
        }
    }

    /// Tells whom the account wants told how a call sounded (RFC 6035), once: nothing is kept up.
    pub(super) async fn report_quality(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        account: AccountId,
        report: &SessionReport,
    ) {
        let Some(entry) = self.accounts.get(&account) else {
            return;
        };
        let Some(collector) = &entry.spec.settings.quality_report else {
            return;
        };
        let target = match entry.spec.identity.collector(collector.reveal()) {
            Ok(_) if self.one_shots.len() >= ON_THEIR_WAY => {
                return self.note(
                    "quality",
                    "how a call sounded is told nobody: too much is on its way".to_owned(),
                );
            }
            Ok(target) => target,
            Err(why) => {
                let text = format!("how a call sounded can be told nobody: {}", why.reveal());
                return self.note("quality", text);
            }
        };
        let body = report.to_bytes();
        let args = self.one_shot_args(&account, Task::Report { target, body });
        self.start_one_shot(myself, args).await;
    }

    /// Takes what reached an account and begins nothing. It is answered once it is shown.
    pub(super) fn take_word(
        &mut self,
        account: AccountId,
        request: Box<Request>,
        inbound: Inbound,
    ) {
        if request.method != Method::Message {
            let told = AccountMsg::Told { request, inbound };
            return self.tell_account(&account, told);
        }
        let line = self.take_message(account, &request);
        let _ = self.transport.cast(TransportMsg::TurnAway {
            request,
            inbound,
            line,
        });
    }

    fn take_message(&self, account: AccountId, request: &Request) -> StatusLine {
        // RFC 3994: that somebody types is no message, and nothing is shown for it.
        if is_composing(request) {
            return StatusCode::OK.into();
        }
        match read_message(request, LARGEST) {
            Ok(message) => {
                self.show_message(account, message);
                StatusCode::OK.into()
            }
            Err(refusal) => {
                let line = refusal.status();
                let text = match refusal {
                    MessageRefusal::Broken(_) => "a message that cannot be read was refused",
                    MessageRefusal::TooLarge => "a message that is too large was refused",
                    MessageRefusal::UnknownKind => "a message that is no text was refused",
                };
                let why = line
                    .phrase
                    .as_deref()
                    .map_or_else(String::new, |why| format!(" ({why})"));
                self.note("message", format!("{text}{why}"));
                line
            }
        }
    }

    fn show_message(&self, account: AccountId, message: ReceivedMessage) {
        let view = MessageView {
            id: self.shared.messages.fetch_add(1, Ordering::Relaxed) + 1,
            tenant: self.view.id.clone(),
            account,
            direction: Direction::Incoming,
            remote: Party {
                display: message.from.display.map(Private::from),
                uri: message.from.uri.to_string().into(),
            },
            text: message.text.into(),
            subject: message.subject.map(Private::from),
            time: wall(),
            state: MessageState::Received,
            failure: None,
            round_trip_ms: None,
        };
        self.shared.hub.publish(Event::Message {
            message: Box::new(view),
        });
    }
}

fn is_composing(request: &Request) -> bool {
    request
        .headers
        .get(sip_message::HeaderName::ContentType)
        .and_then(|kind| MediaType::parse(kind).ok())
        .is_some_and(|kind| kind.is("application", "im-iscomposing+xml"))
}
