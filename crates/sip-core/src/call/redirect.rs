//! Going where a 3xx points, with the user's consent (RFC 3261 §8.1.3.4).

use std::time::{Duration, Instant};

use sip_message::{HeaderName, NameAddr, Request, Scheme, Uri};

use super::task::Purpose;
use super::{Call, CallEvent, CallTimer, EndKind, Phase, WrongState};

/// How long the user may think; then the call has ended with the 3xx.
const THINKING: Duration = Duration::from_secs(60);

/// Where the call was sent to, and where it has been.
#[derive(Clone, Debug, Default)]
pub(super) struct Redirection {
    waiting: Option<Box<Choice>>,
    tried: Vec<Uri>,
}

#[derive(Clone, Debug)]
struct Choice {
    contacts: Vec<NameAddr>,
    /// The INVITE that was redirected.
    request: Request,
    /// How the call ends when nobody chooses.
    end: EndKind,
}

impl Call {
    /// Calls the contact with this place in [`CallEvent::Redirected`]: the same call by its Call-ID, with a new
    /// INVITE. Possible within 60 s, and as often as [`super::CallConfig::redirections`] says. To end the call instead
    /// there is [`Call::decline_redirection`].
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] when no such choice is to be made, [`WrongState::Choice`] for a contact that was
    /// called before, is not there, or would take a `sips` call to where it is not protected.
    pub fn follow(&mut self, now: Instant, choice: usize) -> Result<(), WrongState> {
        let waiting = self.redirection.waiting.as_ref();
        let waiting = waiting.ok_or(WrongState::NothingDue)?;
        let contact = waiting.contacts.get(choice).ok_or(WrongState::Choice)?;
        let uri = contact.uri.clone();
        if !self.may_follow(&waiting.request.uri, &uri) {
            return Err(WrongState::Choice);
        }
        let Some(waiting) = self.redirection.waiting.take() else {
            return Err(WrongState::NothingDue);
        };
        self.out.begin_input();
        self.deadlines.clear(CallTimer::Redirected);
        self.redirection.tried.push(waiting.request.uri.clone());
        let number = waiting.request.headers.cseq().map_or(0, |cseq| cseq.number);
        let offer = Some(waiting.request.body.clone());
        let mut request =
            self.invite_request(&NameAddr::new(uri.clone()), number.saturating_add(1), offer);
        // The call stays what it was: To, From and Call-ID are the same.
        if let Some(to) = waiting.request.headers.get(HeaderName::To) {
            request.headers.set(HeaderName::To, to);
        }
        self.early.clear();
        self.early_answers.clear();
        self.early_offers.clear();
        self.taken.clear();
        self.told = None;
        // Who sent the call on is not asked again where the new place cannot be reached.
        self.source = None;
        let hop = self.config.route.first().unwrap_or(&uri).clone();
        self.send(now, Purpose::Invite, request, &hop);
        if let Some(limit) = self.config.ring_limit {
            self.deadlines.set(CallTimer::RingLimit, now + limit);
        }
        self.settle(now);
        Ok(())
    }

    /// A 3xx: the user is asked where that is wished, else the call has ended.
    pub(super) fn on_redirected(
        &mut self,
        now: Instant,
        request: Request,
        mut contacts: Vec<NameAddr>,
        end: EndKind,
    ) {
        for contact in &mut contacts {
            self.call_at_home(contact);
        }
        let bound = usize::from(self.config.redirections);
        let any = contacts
            .iter()
            .any(|contact| self.may_follow(&request.uri, &contact.uri));
        self.event(CallEvent::Redirected {
            contacts: contacts.clone(),
        });
        if !any || self.redirection.tried.len() >= bound {
            return self.end(now, end);
        }
        self.deadlines.clear(CallTimer::RingLimit);
        self.deadlines.set(CallTimer::Redirected, now + THINKING);
        self.redirection.waiting = Some(Box::new(Choice {
            contacts,
            request,
            end,
        }));
    }

    /// The user wants to go to none of the places: the call ends with the 3xx.
    ///
    /// # Errors
    /// [`WrongState::NothingDue`] when no such choice is to be made.
    pub fn decline_redirection(&mut self, now: Instant) -> Result<(), WrongState> {
        if self.redirection.waiting.is_none() {
            return Err(WrongState::NothingDue);
        }
        self.out.begin_input();
        self.deadlines.clear(CallTimer::Redirected);
        self.redirection_over(now);
        self.settle(now);
        Ok(())
    }

    /// Nobody chose.
    pub(super) fn redirection_over(&mut self, now: Instant) {
        if let Some(waiting) = self.redirection.waiting.take()
            && self.phase == Phase::Calling
        {
            self.end(now, waiting.end);
        }
    }

    /// A number is called where our own numbers are; everything else as it is.
    pub(super) fn call_at_home(&self, target: &mut NameAddr) {
        if let Some(uri) = target.uri.number_at(&self.config.local.uri) {
            target.uri = uri;
        }
    }

    fn may_follow(&self, from: &Uri, to: &Uri) -> bool {
        let protected = from.scheme != Scheme::Sips || to.scheme == Scheme::Sips;
        // RFC 3261 §8.1.3.4: never twice to the same URI, or it would go round.
        let new = !from.equivalent(to)
            && !self
                .redirection
                .tried
                .iter()
                .any(|tried| tried.equivalent(to));
        to.scheme.is_sip() && protected && new
    }
}
