//! Who else is in it: a peer that is the middle of a conference says so (`isfocus`, RFC 4579 §4.1), and is asked for
//! the roster as long as the call lasts (RFC 4575).

use std::time::{Duration, Instant};

use event_bodies::conference::{CONTENT_TYPE, ConferenceInfo, PACKAGE, Roster as Table, User};
use event_bodies::{Applied, BodyError};
use model::{Member, MemberState, Party};
use sip_core::events::{Subscription, SubscriptionConfig, SubscriptionEnd, SubscriptionEvent};
use sip_core::{Output, OwnerKey, ResolveId, dispatch};
use sip_message::{Event, Message, Method, Uri};

use super::{DialogState, Phase};
use crate::drive::Outlet;
use crate::subscriptions::with_gaps;
use crate::transport::{Delivery, TransportMsg};
use crate::wake::now;

/// Look-ups of the subscription count from here; those of the call from 0.
const LOOK_UPS: u64 = 1 << 62;
/// How many members are shown; the others are counted.
const MOST_MEMBERS: usize = 256;

/// What is known of the conference that the peer is the middle of.
pub(super) struct Focus {
    /// How the account subscribes.
    config: Box<SubscriptionConfig>,
    /// Where the conference is, while the peer says that it is its middle.
    focus: Option<Uri>,
    asks: Option<Box<Subscription>>,
    key: Option<OwnerKey>,
    roster: Table,
    /// Nothing is asked any more.
    left: bool,
}

impl Focus {
    pub(super) fn new(config: SubscriptionConfig) -> Self {
        Self {
            config: Box::new(SubscriptionConfig {
                event: Event::new(PACKAGE),
                accept: vec![CONTENT_TYPE.to_owned()],
                ..config
            }),
            focus: None,
            asks: None,
            key: None,
            roster: Table::default(),
            left: false,
        }
    }

    /// Whether the peer says that it is a focus: by the Contact of what makes or refreshes the dialog (RFC 4579 §4.1).
    pub(super) fn look_at(&mut self, message: &Message) {
        let tells = |method: &Method| matches!(method, Method::Invite | Method::Update);
        let headers = match message {
            Message::Request(request) if tells(&request.method) => &request.headers,
            Message::Response(response)
                if response.status.is_success()
                    && response
                        .headers
                        .cseq()
                        .is_ok_and(|cseq| tells(&cseq.method)) =>
            {
                &response.headers
            }
            _ => return,
        };
        if let Ok(contact) = headers.contact() {
            self.focus = contact.params.has("isfocus").then_some(contact.uri);
        }
    }

    /// What is not for the subscription comes back.
    pub(super) fn take(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(asks) = &mut self.asks else {
            return Some(delivery);
        };
        match delivery {
            Delivery::Message {
                message,
                inbound,
                at,
            } => {
                let key = match &*message {
                    Message::Response(response) => dispatch::response_owner(response),
                    Message::Request(request) => dispatch::request_owner(request),
                };
                if key.is_none() || key != self.key {
                    return Some(Delivery::Message {
                        message,
                        inbound,
                        at,
                    });
                }
                match *message {
                    Message::Response(response) => asks.handle_response(at, &response, &inbound),
                    Message::Request(request) => asks.handle_request(at, &request, &inbound),
                }
                None
            }
            Delivery::Resolved { id, result } => match id.0.checked_sub(LOOK_UPS) {
                // Those of the call itself are the last numbers there are.
                Some(own) if own < LOOK_UPS => {
                    asks.handle_resolved(now(), ResolveId(own), result);
                    None
                }
                _ => Some(Delivery::Resolved { id, result }),
            },
            Delivery::Unsent { branch, error } => {
                // One of the two knows it.
                asks.handle_transport_error(now(), &branch, error.clone());
                Some(Delivery::Unsent { branch, error })
            }
            other => Some(other),
        }
    }

    pub(super) fn handle_timeout(&mut self, at: Instant) {
        if let Some(asks) = &mut self.asks {
            asks.handle_timeout(at);
        }
    }

    /// The call is over.
    pub(super) fn leave(&mut self) {
        self.left = true;
        if let Some(asks) = &mut self.asks {
            asks.unsubscribe(now());
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.asks.as_ref().is_none_or(|asks| asks.is_drained())
    }

    /// Takes a document, and answers in how long all of it is asked for again, where one before it is missing and that
    /// does not happen at once (RFC 4575 §4.3).
    fn read(&mut self, body: &[u8]) -> Result<Option<Duration>, BodyError> {
        if body.is_empty() {
            return Ok(None);
        }
        let info = ConferenceInfo::parse(body)?;
        let wait = match (self.roster.apply(&info), &mut self.asks) {
            (Applied::Gap, Some(asks)) => asks.ask_anew(now()),
            _ => Duration::ZERO,
        };
        Ok((!wait.is_zero()).then_some(wait))
    }

    fn view(&self) -> model::Roster {
        let users = self.roster.users();
        model::Roster {
            subject: self.roster.subject().map(model::Private::from),
            members: users.iter().take(MOST_MEMBERS).map(member).collect(),
            count: u32::try_from(users.len()).unwrap_or(u32::MAX),
            over: self.roster.is_over(),
            sentence: None,
        }
    }
}

impl DialogState {
    /// Asks where there is somebody to ask, and shows what came of it. The next time it has to be looked at.
    pub(super) fn drive_focus(&mut self) -> Option<Instant> {
        self.settle_focus();
        loop {
            let (events, deadline) = self.drain_focus();
            if events.is_empty() {
                return deadline;
            }
            for event in events {
                self.on_roster(event);
            }
        }
    }

    /// The subscription begins with the call, when the peer is a focus, and ends when it is none any more.
    fn settle_focus(&mut self) {
        let up = matches!(self.phase, Phase::Calling(_)) && self.view.state.is_up();
        let asked = &mut self.focus;
        match (&asked.focus, &mut asked.asks) {
            (Some(focus), None) if up && !asked.left => {
                let config = SubscriptionConfig {
                    target: focus.clone(),
                    ..(*asked.config).clone()
                };
                let mut asks = Subscription::new(config, &self.shared.seed());
                asked.key = Some(asks.owner_key());
                asks.subscribe(now());
                asked.asks = Some(Box::new(asks));
                self.view.details.roster = Some(model::Roster::default());
                self.claim_focus();
                self.publish();
            }
            (None, Some(asks)) if up && !asked.left => {
                asked.left = true;
                asks.unsubscribe(now());
                self.view.details.roster = None;
                self.publish();
            }
            _ => {}
        }
    }

    pub(super) fn claim_focus(&self) {
        if let Some(key) = self.focus.key.clone() {
            self.claim_key(key, None);
        }
    }

    fn drain_focus(&mut self) -> (Vec<SubscriptionEvent>, Option<Instant>) {
        let mut events = Vec::new();
        let Some(asks) = &mut self.focus.asks else {
            return (events, None);
        };
        let outlet = Outlet::of(&self.owner, &self.transport, &self.identity);
        let mut queue = std::collections::VecDeque::new();
        let poll = || {
            let mut output = asks.poll_output();
            if let Output::Resolve { id, .. } = &mut output {
                *id = ResolveId(id.0.wrapping_add(LOOK_UPS));
            }
            output
        };
        let deadline = crate::drive::drain(poll, &outlet, &mut self.questions, &mut queue);
        events.extend(queue);
        (events, deadline)
    }

    fn on_roster(&mut self, event: SubscriptionEvent) {
        match event {
            SubscriptionEvent::NewKey(key) => {
                if let Some(old) = self.focus.key.replace(key) {
                    let _ = self.transport.cast(TransportMsg::Disclaim(old));
                }
                self.claim_focus();
            }
            // It counts its documents anew.
            SubscriptionEvent::Trying => self.focus.roster = Table::default(),
            SubscriptionEvent::Notified(notified) => match self.focus.read(&notified.body) {
                Ok(wait) => self.show_roster(wait.map(with_gaps)),
                Err(error) => self.note("conference", format!("its roster: {error}")),
            },
            SubscriptionEvent::Failed { what, .. }
            | SubscriptionEvent::Ended(SubscriptionEnd::Refused(what)) => {
                let text = format!(
                    "Nothing is known of who is in the conference: {}.",
                    what.sentence().reveal()
                );
                self.note("conference", text.clone());
                self.show_roster(Some(text));
            }
            SubscriptionEvent::Notice(text) => self.note("conference", text),
            SubscriptionEvent::State { .. } | SubscriptionEvent::Ended(_) => {}
        }
    }

    /// Who was in it stays to be seen when the call is over.
    fn show_roster(&mut self, sentence: Option<String>) {
        if self.focus.left {
            return;
        }
        let view = model::Roster {
            sentence: sentence.map(Into::into),
            ..self.focus.view()
        };
        if self.view.details.roster.as_ref() != Some(&view) {
            self.view.details.roster = Some(view);
            self.publish();
        }
    }
}

fn member(user: &User) -> Member {
    let mut states = user.endpoints.iter().map(|endpoint| {
        // RFC 4575 §5.7.2.
        match endpoint.status.as_deref() {
            None | Some("connected" | "muted-via-focus") => MemberState::Present,
            Some("on-hold") => MemberState::Held,
            Some("disconnected" | "disconnecting") => MemberState::Gone,
            Some(_) => MemberState::Coming,
        }
    });
    let best = states.clone().find(|state| *state == MemberState::Present);
    Member {
        who: Party {
            display: user.display.clone(),
            uri: user.entity.clone(),
        },
        state: best.or_else(|| states.next()).unwrap_or_default(),
    }
}
