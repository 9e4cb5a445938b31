//! The registrar ends our binding by itself, and says so (RFC 3680 §5.2).

use model::NoticeLevel;

use super::*;

/// A registrar that ends what it has just granted is not registered with again and again at once.
const APART: Duration = Duration::from_secs(60);

/// What the end of our binding asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unbound {
    /// Registering anew at once.
    Deactivated,
    /// Registering anew after this time.
    Probation(Duration),
    /// Staying away.
    Rejected,
}

impl AccountState {
    pub(super) fn on_unbound(&mut self, myself: &ActorRef<AccountMsg>, unbound: Unbound) {
        if self.view.state != RegistrationState::Registered || self.leaving {
            return;
        }
        let at = now();
        let recent = |before: Instant| at.saturating_duration_since(before) < APART;
        let again = self.unbound_at.replace(at).is_some_and(recent);
        match unbound {
            Unbound::Deactivated if !again => {
                self.note("the registrar has ended the registration; signs in anew".to_owned());
                self.registration.register(at);
            }
            Unbound::Deactivated => self.wait_to_register(myself, APART),
            Unbound::Probation(wait) if again => self.wait_to_register(myself, wait.max(APART)),
            Unbound::Probation(wait) => self.wait_to_register(myself, wait),
            Unbound::Rejected => {
                let text = format!(
                    "The registrar has ended the registration of {} and wants no other; sign in by hand to try again.",
                    self.args.settings.aor.reveal()
                );
                let shared = &self.args.shared;
                shared.notice(NoticeLevel::Error, Some(&self.args.tenant_id), text);
                self.note("the registrar has ended the registration for good".to_owned());
                self.sign_out();
            }
        }
    }

    /// However often the registrar says it, one wait goes on at a time.
    fn wait_to_register(&mut self, myself: &ActorRef<AccountMsg>, wait: Duration) {
        if std::mem::replace(&mut self.registers_again, true) {
            return;
        }
        self.note(format!(
            "the registrar has ended the registration; signs in anew in {} s",
            wait.as_secs()
        ));
        myself.send_after(wait, || AccountMsg::RegisterAgain);
    }

    /// Whoever signed out meanwhile stays out.
    pub(super) fn register_again(&mut self) {
        self.registers_again = false;
        if self.view.state == RegistrationState::Registered && !self.leaving {
            self.registration.register(now());
        }
    }
}
