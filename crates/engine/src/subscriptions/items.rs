//! The things of one account that last: each a subscription, or the publication of its presence.

use std::time::Instant;

use event_bodies::dialog_info::DialogTable;
use event_bodies::{dialog_info, message_summary, presence, reg_info};
use model::{AccountSettings, LampView};
use sip_core::events::{
    Publication, PublicationConfig, PublicationEvent, Subscription, SubscriptionConfig,
    SubscriptionEvent,
};
use sip_core::{Inbound, Output, OwnerKey, Path, ResolveError, ResolveId, TransportError};
use sip_message::{Event, NameAddr, Request, Response};

use super::{AccountFacts, Outlet, SubscriptionsState};
use crate::identity::Identity;
use crate::passwords::Passwords;
use crate::shared::Shared;
use crate::transport::TransportMsg;
use crate::wall;

/// Lamps of one account at most.
const MOST_LAMPS: usize = 256;

/// What a thing is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Our own waiting messages.
    Mailbox,
    /// What is registered under our address.
    Bindings,
    /// The calls of the lamp with this place.
    Calls(usize),
    /// The presence of the lamp with this place.
    Presence(usize),
    /// Our own presence.
    Own,
}

/// One of them.
pub(super) struct Item {
    /// Names it; never used again.
    pub(super) number: u64,
    pub(super) what: What,
    pub(super) object: Object,
    /// Under which the transport brings what is for it.
    pub(super) key: OwnerKey,
    /// The calls of a lamp.
    pub(super) table: DialogTable,
}

/// Its protocol object.
pub(super) enum Object {
    Asks(Box<Subscription>),
    Tells(Box<Publication>),
}

/// What happened to it.
pub(super) enum Notable {
    Asked(SubscriptionEvent),
    Told(PublicationEvent),
}

/// How an account subscribes; to its own waiting messages, unless that is changed.
pub(crate) fn config(
    shared: &Shared,
    identity: &Identity,
    facts: &AccountFacts,
    passwords: &Passwords,
) -> SubscriptionConfig {
    let from = identity.from.clone();
    let (target, contact_user) = (from.uri.clone(), identity.contact_user.clone());
    SubscriptionConfig {
        contact: facts.contact.clone(),
        route: identity.route(facts),
        transport: identity.transport,
        credentials: passwords.credentials(identity),
        home: identity.home(facts),
        user_agent: shared.capabilities.user_agent.clone(),
        ..SubscriptionConfig::new(
            target,
            from,
            contact_user,
            Event::new(message_summary::PACKAGE),
        )
    }
}

/// The lamps of the settings, with nothing known yet.
pub(super) fn dark_lamps(settings: &AccountSettings) -> Vec<LampView> {
    let since = wall();
    let watched = settings.watched.iter().take(MOST_LAMPS);
    watched
        .map(|watched| LampView {
            watched: watched.clone(),
            since,
            ..LampView::default()
        })
        .collect()
}

impl Object {
    /// Asks, or tells this.
    pub(super) fn begin(&mut self, at: Instant, body: Vec<u8>) {
        match self {
            Self::Asks(subscription) => subscription.subscribe(at),
            Self::Tells(publication) => publication.publish(at, presence::CONTENT_TYPE, body),
        }
    }

    /// Asks again at once, where it was asked before.
    pub(super) fn renew(&mut self, at: Instant) {
        if let Self::Asks(subscription) = self {
            subscription.refresh(at);
        }
    }

    pub(super) fn end(&mut self, at: Instant) {
        match self {
            Self::Asks(subscription) => subscription.unsubscribe(at),
            Self::Tells(publication) => publication.remove(at),
        }
    }

    pub(super) fn handle_resolved(
        &mut self,
        at: Instant,
        id: ResolveId,
        result: Result<Vec<Path>, ResolveError>,
    ) {
        match self {
            Self::Asks(subscription) => subscription.handle_resolved(at, id, result),
            Self::Tells(publication) => publication.handle_resolved(at, id, result),
        }
    }

    pub(super) fn handle_response(&mut self, at: Instant, response: &Response, inbound: &Inbound) {
        match self {
            Self::Asks(subscription) => subscription.handle_response(at, response, inbound),
            Self::Tells(publication) => publication.handle_response(at, response, inbound),
        }
    }

    pub(super) fn handle_request(&mut self, at: Instant, request: &Request, inbound: &Inbound) {
        match self {
            Self::Asks(subscription) => subscription.handle_request(at, request, inbound),
            // Nobody has a dialog with a publication.
            Self::Tells(_) => {}
        }
    }

    pub(super) fn handle_transport_error(
        &mut self,
        at: Instant,
        branch: &str,
        error: TransportError,
    ) {
        match self {
            Self::Asks(subscription) => subscription.handle_transport_error(at, branch, error),
            Self::Tells(publication) => publication.handle_transport_error(at, branch, error),
        }
    }

    pub(super) fn handle_timeout(&mut self, at: Instant) {
        match self {
            Self::Asks(subscription) => subscription.handle_timeout(at),
            Self::Tells(publication) => publication.handle_timeout(at),
        }
    }

    fn poll_output(&mut self) -> Output<Notable> {
        match self {
            Self::Asks(subscription) => subscription.poll_output().map(Notable::Asked),
            Self::Tells(publication) => publication.poll_output().map(Notable::Told),
        }
    }

    pub(super) fn owner_key(&self) -> OwnerKey {
        match self {
            Self::Asks(subscription) => subscription.owner_key(),
            Self::Tells(publication) => publication.owner_key(),
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        match self {
            Self::Asks(subscription) => subscription.is_drained(),
            Self::Tells(publication) => publication.is_drained(),
        }
    }
}

impl SubscriptionsState {
    /// Everything that the settings ask for, what matters most first.
    pub(super) fn wanted(&self) -> Vec<What> {
        let settings = &self.args.settings;
        let mut wanted = Vec::new();
        // Who signs in nowhere has no server that keeps a mailbox; one that tells by itself is heard.
        if settings.mwi && settings.register {
            wanted.push(What::Mailbox);
        }
        if settings.reg_event && settings.register {
            wanted.push(What::Bindings);
        }
        if settings.publish_presence {
            wanted.push(What::Own);
        }
        for place in 0..self.seen.lamps.len() {
            if settings.watch.calls() {
                wanted.push(What::Calls(place));
            }
            if settings.watch.presence() {
                wanted.push(What::Presence(place));
            }
        }
        wanted
    }

    /// The thing that this asks for, once it is known how others are reached.
    pub(super) fn item(&self, number: u64, what: What) -> Option<Item> {
        let facts = self.facts.as_ref()?;
        let seed = self.args.shared.seed();
        let object = match what {
            What::Own => {
                let config = self.publication(facts);
                Object::Tells(Box::new(Publication::new(config, &seed)))
            }
            What::Mailbox | What::Bindings | What::Calls(_) | What::Presence(_) => {
                let config = self.subscription(facts, what)?;
                Object::Asks(Box::new(Subscription::new(config, &seed)))
            }
        };
        Some(Item {
            number,
            what,
            key: object.owner_key(),
            object,
            table: DialogTable::default(),
        })
    }

    fn subscription(&self, facts: &AccountFacts, what: What) -> Option<SubscriptionConfig> {
        let identity = &self.args.identity;
        let lamp = |place: usize| {
            let lamp = self.seen.lamps.get(place)?;
            identity.target(lamp.watched.reveal()).ok()
        };
        let (target, package, kind) = match what {
            What::Mailbox => (
                identity.from.uri.clone(),
                message_summary::PACKAGE,
                message_summary::CONTENT_TYPE,
            ),
            What::Bindings => (
                identity.from.uri.clone(),
                reg_info::PACKAGE,
                reg_info::CONTENT_TYPE,
            ),
            What::Calls(place) => (
                lamp(place)?,
                dialog_info::PACKAGE,
                dialog_info::CONTENT_TYPE,
            ),
            What::Presence(place) => (lamp(place)?, presence::PACKAGE, presence::CONTENT_TYPE),
            What::Own => return None,
        };
        let args = &self.args;
        let config = config(&args.shared, identity, facts, &args.passwords);
        Some(SubscriptionConfig {
            target,
            event: Event::new(package),
            accept: vec![kind.to_owned()],
            ..config
        })
    }

    fn publication(&self, facts: &AccountFacts) -> PublicationConfig {
        let identity = &self.args.identity;
        let entity = NameAddr::new(identity.from.uri.clone());
        PublicationConfig {
            route: self.args.identity.route(facts),
            transport: identity.transport,
            credentials: self.credentials(),
            user_agent: self.args.shared.capabilities.user_agent.clone(),
            ..PublicationConfig::new(entity, Event::new(presence::PACKAGE))
        }
    }

    fn credentials(&self) -> Vec<sip_core::auth::Credentials> {
        self.args.passwords.credentials(&self.args.identity)
    }

    /// Polls everything until it answers with its deadline; what happened is left to be handled.
    pub(super) fn drain(&mut self, events: &mut Vec<(u64, What, Notable)>) -> Option<Instant> {
        let Self {
            items,
            left,
            args,
            owner,
            asked,
            numbers,
            questions,
            ..
        } = self;
        let outlet = Outlet::of(owner, &args.transport, &args.identity);
        let mut earliest = None;
        for item in items.iter_mut().chain(left) {
            loop {
                match item.object.poll_output() {
                    Output::Transmit(transmit) => {
                        let _ = args.transport.cast(TransportMsg::Send {
                            from: owner.clone(),
                            transmit,
                        });
                    }
                    Output::Resolve {
                        id, uri, transport, ..
                    } => {
                        *numbers += 1;
                        asked.insert(*numbers, (item.number, id));
                        questions.ask(&outlet, ResolveId(*numbers), *uri, transport);
                    }
                    Output::Event(event) => events.push((item.number, item.what, event)),
                    Output::Deadline(deadline) => {
                        earliest = [earliest, deadline].into_iter().flatten().min();
                        break;
                    }
                }
            }
        }
        earliest
    }
}
