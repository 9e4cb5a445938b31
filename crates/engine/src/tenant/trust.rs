//! Certificates that a person trusts beside those that the roots vouch for: asked about once, then
//! remembered by this tenant alone. Another one in their place is an alarm.

use model::{AccountId, CertificateView, Event, Notice, NoticeLevel, TrustedCertificate};
use wire::{Fingerprint, Remembered};

use super::TenantState;
use crate::account::AccountMsg;
use crate::wall;

/// What was trusted before the program started.
pub(super) fn remember_all(remembered: &Remembered, trusted: &[TrustedCertificate]) {
    for trusted in trusted {
        // A fingerprint that was broken in the settings trusts nobody.
        if let Ok(fingerprint) = trusted.fingerprint.parse() {
            remembered.remember(&trusted.host, fingerprint);
        }
    }
}

impl TenantState {
    /// Those who failed because of it try again.
    pub(super) fn trust(&mut self, host: &str, fingerprint: Option<Fingerprint>) {
        let accounts = self.accounts.values();
        let own = accounts.filter_map(|account| account.spec.identity.tls.as_ref());
        for remembered in own.map(|tls| tls.remembered()).chain([&self.remembered]) {
            match fingerprint {
                Some(fingerprint) => remembered.remember(host, fingerprint),
                None => remembered.forget(host),
            }
        }
        self.view.trusted.retain(|trusted| trusted.host != host);
        if let Some(fingerprint) = fingerprint {
            self.view.trusted.push(TrustedCertificate {
                host: host.to_owned(),
                fingerprint: fingerprint.to_string(),
            });
        }
        self.alarmed = None;
        self.shared.hub.publish(Event::Tenant {
            tenant: self.view.clone(),
        });
        for account in self.waiting_for(host) {
            if let Some(actor) = self.account_actor(&account) {
                let _ = actor.cast(AccountMsg::Register);
            }
        }
    }

    /// Accounts that cannot sign in because of a certificate of this host.
    fn waiting_for(&self, host: &str) -> Vec<AccountId> {
        self.shared.hub.read(|state| {
            let ours = state.accounts.iter().filter(|a| a.tenant == self.view.id);
            let waits = |account: &&model::AccountView| {
                let failure = account.failure.as_ref();
                let shown = failure.and_then(|failure| failure.certificate.as_ref());
                shown.is_some_and(|shown| shown.host == host)
            };
            ours.filter(waits)
                .map(|account| account.id.clone())
                .collect()
        })
    }

    /// Either the server got a new certificate, or somebody else answers in its place.
    pub(super) fn raise_alarm(&mut self, shown: &CertificateView) {
        let about = (shown.host.clone(), shown.fingerprint.clone());
        if self.alarmed.as_ref() == Some(&about) {
            return;
        }
        self.alarmed = Some(about);
        let text = format!(
            "The server {} shows another certificate than the one you trusted, and nothing is sent to \
             it. Its fingerprint is SHA-256 {} now, and was {}. Ask whoever runs it before you trust it.",
            shown.host,
            shown.fingerprint,
            shown.remembered.as_deref().unwrap_or("another"),
        );
        self.note("transport", text.clone());
        self.shared.hub.publish(Event::Notice {
            notice: Notice {
                time: wall(),
                level: NoticeLevel::Error,
                tenant: Some(self.view.id.clone()),
                text: text.into(),
            },
        });
    }
}
