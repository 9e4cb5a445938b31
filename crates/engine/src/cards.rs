//! What it takes to end the calls of a tenant, kept where neither the call's own actor nor the
//! tenant's can take it along when it fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{AccountId, CallId};
use sip_core::call::ByeCard;

/// The cards of one tenant's calls. The root holds them, the tenant plays them, and the calls draw
/// them anew.
#[derive(Clone, Default)]
pub(crate) struct Cards(Arc<Mutex<HashMap<CallId, Card>>>);

/// How to say goodbye in one call.
pub(crate) struct Card {
    /// Whose call it is.
    pub(crate) account: AccountId,
    /// What to say.
    pub(crate) bye: Box<ByeCard>,
}

impl Cards {
    /// Puts a card in place of the last one of this call; without one there is nothing to say.
    pub(crate) fn put(&self, call: CallId, card: Option<Card>) {
        let mut cards = self.lock();
        match card {
            Some(card) => drop(cards.insert(call, card)),
            None => drop(cards.remove(&call)),
        }
    }

    /// Takes the card of a call.
    pub(crate) fn take(&self, call: CallId) -> Option<Card> {
        self.lock().remove(&call)
    }

    /// Takes all: their calls have gone down with their tenant.
    pub(crate) fn take_all(&self) -> Vec<(CallId, Card)> {
        self.lock().drain().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, Card>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
