//! What is known around an account: its servers and flows, what else is registered under its address, and
//! the certificate that is not trusted yet.

use egui::{Color32, Ui};
use model::{AccountView, Command, Failure, ServerUri, TargetState, TargetView, TenantId};

use super::super::{Bar, Kit};
use super::{heading, line};
use crate::view_state::Data;
use crate::widgets::{Button, Kind, paragraph, registration_words};
use crate::window::{Question, Window};
use crate::{format, icons, strings};

/// The certificate that ended the way to the server, with its fingerprint, and the way to trust it.
pub(crate) fn certificate(
    ui: &mut Ui,
    kit: &Kit<'_>,
    window: &mut Window,
    tenant: &TenantId,
    failure: &Failure,
) {
    let t = &kit.t;
    let Some(shown) = &failure.certificate else {
        return;
    };
    ui.add_space(8.0);
    for (what, value) in [
        (strings::CERTIFICATE_OF, &shown.subject),
        (strings::SIGNED_BY, &shown.issuer),
        (strings::FINGERPRINT, &shown.fingerprint),
    ] {
        line(ui, kit, what, value, t.text);
    }
    ui.add_space(8.0);
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    let trust = Button::new(Kind::Quiet, strings::TRUST).icon(icons::SHIELD_WARNING);
    if bar.button_left(ui, t, trust).clicked() {
        window.question = Some(Question::TrustCertificate {
            tenant: tenant.clone(),
            host: shown.host.clone(),
            fingerprint: shown.fingerprint.clone(),
        });
    }
}

/// Everything that stands below registration and configuration.
pub(crate) fn show(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    account: &AccountView,
) {
    servers(ui, kit, account);
    flows(ui, kit, account);
    bindings(ui, kit, window, account);
    traffic(ui, kit, data, account);
}

fn servers(ui: &mut Ui, kit: &Kit<'_>, account: &AccountView) {
    if account.targets.is_empty() {
        return;
    }
    heading(ui, kit, strings::SERVERS);
    for target in &account.targets {
        let (ink, mut words) = target_words(kit, target);
        if let Some(until) = target.until {
            let rest = format::rough(until.since(kit.live.now));
            words.push_str(&format!(", tried again in {rest}"));
        }
        if let Some(reason) = &target.reason {
            words.push_str(&format!("  ·  {}", reason.reveal()));
        }
        line(ui, kit, &target.address, &words, ink);
    }
}

fn target_words(kit: &Kit<'_>, target: &TargetView) -> (Color32, String) {
    let t = &kit.t;
    let (ink, word) = match target.state {
        TargetState::Untried => (t.muted, strings::SERVER_UNTRIED),
        TargetState::InUse => (t.good, strings::SERVER_IN_USE),
        TargetState::Working => (t.text, strings::SERVER_WORKING),
        TargetState::Resting => (t.warn, strings::SERVER_RESTING),
    };
    (ink, word.to_owned())
}

fn flows(ui: &mut Ui, kit: &Kit<'_>, account: &AccountView) {
    // One flow says nothing that the registration does not say.
    if account.flows.len() < 2 {
        return;
    }
    heading(ui, kit, strings::FLOWS);
    for flow in &account.flows {
        let (ink, word) = registration_words(&kit.t, flow.state);
        let to = flow
            .target
            .as_deref()
            .or(flow.proxy.as_ref().map(ServerUri::reveal));
        let mut words = word.to_owned();
        if let Some(failure) = &flow.failure {
            words.push_str(&format!("  ·  {}", failure.title()));
        }
        let name = format!("{}  {}", flow.reg_id, to.unwrap_or(strings::NOTHING));
        line(ui, kit, &name, &words, ink);
    }
}

fn bindings(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    let t = kit.t.clone();
    heading(ui, kit, strings::BINDINGS);
    for binding in &account.bindings {
        let (ink, mut words) = match binding.own {
            true => (t.good, strings::BINDING_OWN.to_owned()),
            false => (t.text, strings::BINDING_OTHER.to_owned()),
        };
        if let Some(at) = binding.expires_at {
            let left = format::rough(at.since(kit.live.now));
            words.push_str(&format!(", for {left}"));
        }
        line(ui, kit, binding.uri.reveal(), &words, ink);
    }
    if account.bindings.is_empty() {
        paragraph(ui, strings::BINDINGS_TEXT, t.body(), t.muted);
    }
    ui.add_space(6.0);
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    let list = Button::new(Kind::Quiet, strings::LIST_BINDINGS);
    if bar.button_left(ui, &t, list).clicked() {
        kit.send(Command::ListBindings {
            account: account.id.clone(),
        });
    }
    let clear =
        Button::new(Kind::DangerGhost, strings::CLEAR_BINDINGS).tip(strings::CLEAR_BINDINGS_TIP);
    if account.bindings.iter().any(|b| !b.own) && bar.button_left(ui, &t, clear).clicked() {
        window.question = Some(Question::ClearBindings(account.id.clone()));
    }
}

/// What the organisation's transport passed over, in one quiet line.
fn traffic(ui: &mut Ui, kit: &Kit<'_>, data: &Data, account: &AccountView) {
    let Some(tenant) = data
        .tenant(&account.tenant)
        .filter(|t| !t.traffic.is_quiet())
    else {
        return;
    };
    heading(ui, kit, strings::PASSED_OVER);
    let words: Vec<String> = tenant
        .traffic
        .worth_telling()
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    paragraph(ui, &words.join("  ·  "), kit.t.small(), kit.t.muted);
}
