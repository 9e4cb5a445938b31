//! Further logins of an account, and the password for its relay: what is kept in the keystore beside its own.

use egui::{Align, Role, Sense, Ui, Vec2, WidgetInfo};
use model::{AccountView, Command, Login, Password};

use super::super::{Bar, Kit};
use super::heading;
use crate::widgets::{Button, Field, Kind, paragraph, text_in};
use crate::window::{LoginDraft, Window};
use crate::{icons, strings};

pub(super) fn show(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    let t = kit.t.clone();
    heading(ui, kit, strings::FURTHER_LOGINS);
    for login in &account.settings.logins {
        ui.push_id((&login.realm, &login.server), |ui| {
            one(ui, kit, account, login);
        });
    }
    if account.settings.turn_user.is_some() {
        relay(ui, kit, window, account);
    }
    let draft = window.new_login.take();
    match draft.filter(|draft| draft.account == account.id) {
        Some(draft) => window.new_login = new_login(ui, kit, draft),
        None => {
            let mut bar = Bar::new(ui, t.px(28.0), 8.0);
            let add = Button::new(Kind::Quiet, strings::ADD_LOGIN).icon(icons::PLUS);
            if bar.button_left(ui, &t, add).clicked() {
                window.new_login = Some(LoginDraft::new(account.id.clone()));
            }
        }
    }
}

/// One that there is.
fn one(ui: &mut Ui, kit: &mut Kit<'_>, account: &AccountView, login: &Login) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    let words = strings::further_login(login);
    let spoken = strings::remove_login(&words);
    let remove = Button::icon_only(Kind::Ghost, icons::TRASH, &spoken);
    if bar.button_right(ui, &t, remove).clicked() {
        kit.send(Command::RemoveLogin {
            account: account.id.clone(),
            realm: login.realm.clone(),
            server: login.server.clone(),
        });
    }
    let place = bar.rest();
    let cut = text_in(ui.painter(), place, &words, t.body(), t.text, Align::Min);
    let response = ui.interact(place, ui.scope_id().with("login"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::ListItem, true, &words));
    if cut {
        response.on_hover_text(words);
    }
}

/// One that is typed; what stays of it when this frame is over.
fn new_login(ui: &mut Ui, kit: &mut Kit<'_>, mut draft: LoginDraft) -> Option<LoginDraft> {
    let t = kit.t.clone();
    let width = t.px(320.0).min(ui.available_width());
    ui.spacing_mut().item_spacing.y = 6.0;
    for (value, name) in [
        (&mut draft.user, strings::LOGIN_USER),
        (&mut draft.realm, strings::LOGIN_REALM),
        (&mut draft.server, strings::LOGIN_SERVER),
    ] {
        let place = ui.allocate_space(Vec2::new(width, t.px(32.0))).1;
        Field::new(value, name)
            .hint(name)
            .height(32.0)
            .show_in(ui, &t, place);
    }
    let place = ui.allocate_space(Vec2::new(width, t.px(32.0))).1;
    Field::new(&mut draft.password, strings::PASSWORD)
        .hint(strings::PASSWORD)
        .height(32.0)
        .password()
        .show_in(ui, &t, place);
    paragraph(ui, strings::LOGIN_IS_FOR, t.small(), t.faint);
    let mut bar = Bar::new(ui, t.px(32.0), 8.0);
    let ready = draft.login().filter(|_| !draft.password.is_empty());
    let save = Button::new(Kind::Primary, strings::SAVE)
        .name(strings::SAVE_LOGIN)
        .height(32.0)
        .enabled(ready.is_some());
    if bar.button_left(ui, &t, save).clicked()
        && let Some(login) = ready
    {
        kit.send(Command::SetLogin {
            account: draft.account,
            login,
            password: Some(Password(draft.password)),
        });
        return None;
    }
    let cancel = Button::new(Kind::Ghost, strings::CANCEL).height(32.0);
    (!bar.button_left(ui, &t, cancel).clicked()).then_some(draft)
}

/// The relay has a user of its own, and this is where its password is given.
fn relay(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    let t = kit.t.clone();
    let mut draft = match window.relay_password.take() {
        Some((id, typed)) if id == account.id => typed,
        _ => String::new(),
    };
    let mut bar = Bar::new(ui, t.px(32.0), 8.0);
    let place = bar.left(t.px(320.0).min(bar.rest().width() - t.px(96.0)));
    Field::new(&mut draft, strings::RELAY_PASSWORD)
        .hint(strings::RELAY_PASSWORD)
        .height(32.0)
        .password()
        .show_in(ui, &t, place);
    let save = Button::new(Kind::Quiet, strings::SAVE)
        .name(strings::SAVE_RELAY_PASSWORD)
        .height(32.0)
        .enabled(!draft.is_empty());
    if bar.button_left(ui, &t, save).clicked() {
        kit.send(Command::SetRelayPassword {
            account: account.id.clone(),
            password: Password(std::mem::take(&mut draft)),
        });
    }
    ui.add_space(6.0);
    window.relay_password = Some((account.id.clone(), draft));
}
