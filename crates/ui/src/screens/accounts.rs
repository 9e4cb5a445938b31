//! One account: what its registration does, what it does with calls, whom it watches, what its server can
//! do; and the form.

mod around;
mod calls;
mod codecs;
mod form;
mod log;
mod logins;
mod persons;

use egui::{Align, Color32, Frame, Margin, Rect, Role, ScrollArea, Sense, Ui, Vec2, WidgetInfo};
use model::{AccountView, Command, RegistrationState, ServerUri};

pub(crate) use around::certificate;
pub(crate) use calls::change;
pub(crate) use form::{advanced, essential};
pub(crate) use persons::{pick_up, told};

use self::form::{dtmf_words, srtp_words, transport_words};
use super::{Bar, Kit, Room, account_list};
use crate::account_form::AccountForm;
use crate::format;
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{
    Button, Kind, caption, empty, galley, paragraph, registration_mark, registration_words,
    tenant_mark, text_in,
};
use crate::window::{FocusWish, Question, Screen, Window};
use crate::{icons, strings};

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    if window.form.is_some() {
        form::show(ui, rect, kit, data, window);
        return;
    }
    let Some(account) = window.account.as_ref().and_then(|id| data.account(id)) else {
        nothing(ui, rect, kit, data, window);
        return;
    };
    let t = kit.t.clone();
    ScrollArea::vertical()
        .id_salt("account")
        .auto_shrink(false)
        .show(ui, |ui| {
            let side = if kit.room == Room::Compact { 12 } else { 24 };
            Frame::NONE
                .inner_margin(Margin::symmetric(side, 16))
                .show(ui, |ui| {
                    ui.set_max_width(t.px(720.0).min(ui.available_width()));
                    ui.spacing_mut().item_spacing.y = 0.0;
                    details(ui, kit, data, window, account);
                });
        });
}

/// What stands there while no account is chosen: in a wide window the list is beside it, else it is here.
fn nothing(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    if kit.room < Room::Wide {
        account_list::show(ui, rect, kit, data, window);
        return;
    }
    empty(
        ui,
        &t,
        icons::USER_CIRCLE,
        strings::CHOOSE_ACCOUNT,
        strings::CHOOSE_ACCOUNT_TEXT,
        None,
    );
}

fn details(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    account: &AccountView,
) {
    let t = kit.t.clone();
    if kit.room < Room::Wide {
        let mut bar = Bar::new(ui, t.px(32.0), 8.0);
        let back = Button::new(Kind::Ghost, strings::ACCOUNTS)
            .icon(icons::ARROW_LEFT)
            .small();
        bar.outdent(8.0);
        if bar.button_left(ui, &t, back).clicked() {
            window.account = None;
            return;
        }
    }
    let tenant = data.tenant(&account.tenant);
    let mut bar = Bar::new(ui, t.px(48.0), 8.0);
    let place = bar.rest();
    let edge =
        Rect::from_min_size(place.min, Vec2::new(3.0, place.height())).shrink2(Vec2::new(0.0, 4.0));
    tenant_mark(ui.painter(), &t, edge, data.tenant_colour(&account.tenant));
    bar.left(4.0);
    if kit.room != Room::Compact {
        let edit = Button::new(Kind::Quiet, strings::EDIT).icon(icons::PENCIL_SIMPLE);
        if bar.button_right(ui, &t, edit).clicked() {
            window.form = Some(AccountForm::edit(account));
            window.focus = Some(FocusWish::Form);
        }
    }
    let (top, bottom) = lines(bar.rest(), &t);
    text_in(
        ui.painter(),
        top,
        account.title(),
        t.large_strong(),
        t.text,
        Align::Min,
    );
    let under = match tenant {
        Some(tenant) => format!("{}  ·  {}", tenant.name, account.settings.aor.reveal()),
        None => account.settings.aor.reveal().to_owned(),
    };
    let cut = text_in(ui.painter(), bottom, &under, t.body(), t.muted, Align::Min);
    let response = ui.interact(
        bar.rest(),
        ui.scope_id().with("account title"),
        Sense::hover(),
    );
    let spoken = format!("{}, {under}", account.title());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &spoken));
    if cut {
        response.on_hover_text(under);
    }
    ui.add_space(16.0);
    state_card(ui, kit, window, account);
    persons::show(ui, kit, window, account);
    calls::show(ui, kit, window, account);
    ui.add_space(24.0);

    let (left, right) = facts(kit, account);
    if kit.room == Room::Compact {
        group(ui, &t, strings::REGISTRATION, &left);
        ui.add_space(20.0);
        group(ui, &t, strings::CONFIGURATION, &right);
    } else {
        ui.columns(2, |columns| {
            if let [one, other] = columns {
                group(one, &t, strings::REGISTRATION, &left);
                group(other, &t, strings::CONFIGURATION, &right);
            }
        });
    }
    log::show(ui, kit, account);
    around::show(ui, kit, data, window, account);
    ui.add_space(24.0);
    server(ui, kit, data, window, account);
    logins::show(ui, kit, window, account);
    ui.add_space(32.0);
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    if kit.room == Room::Compact {
        let edit = Button::new(Kind::Quiet, strings::EDIT).icon(icons::PENCIL_SIMPLE);
        if bar.button_left(ui, &t, edit).clicked() {
            window.form = Some(AccountForm::edit(account));
            window.focus = Some(FocusWish::Form);
        }
    }
    let remove = Button::new(Kind::DangerGhost, strings::REMOVE).icon(icons::TRASH);
    if !t.outlined {
        bar.outdent(12.0);
    }
    if bar.button_left(ui, &t, remove).clicked() {
        window.question = Some(Question::RemoveAccount(account.id.clone()));
    }
}

fn lines(rect: Rect, t: &Theme) -> (Rect, Rect) {
    let (upper, lower) = (t.px(26.0), t.px(18.0));
    let top = (rect.center().y - (upper + lower) / 2.0).round();
    (
        Rect::from_min_size(egui::pos2(rect.left(), top), Vec2::new(rect.width(), upper)),
        Rect::from_min_size(
            egui::pos2(rect.left(), top + upper),
            Vec2::new(rect.width(), lower),
        ),
    )
}

/// State, since when, what failed, and what can be done about it.
fn state_card(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    let t = kit.t.clone();
    let fill = if account.failure.is_some() {
        t.bad_ground
    } else {
        t.raised
    };
    Frame::NONE
        .fill(fill)
        .corner_radius(10)
        .inner_margin(Margin::symmetric(16, 12))
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            let mut bar = Bar::new(ui, t.px(28.0), 10.0);
            let mark = bar.left(t.px(8.0));
            registration_mark(ui.painter(), &t, mark.center(), account.state);
            actions(ui, kit, &mut bar, window, account);
            let (ink, word) = registration_words(&t, account.state);
            let word_galley = galley(ui.painter(), word, t.strong(), ink, bar.rest().width());
            let place = bar.left(word_galley.size().x);
            text_in(ui.painter(), place, word, t.strong(), ink, Align::Min);
            let since = since(kit, account);
            let place = bar.rest();
            text_in(ui.painter(), place, &since, t.body(), t.muted, Align::Min);
            let response = ui.interact(place, ui.scope_id().with("state words"), Sense::hover());
            let spoken = format!("{word}, {since}");
            response.widget_info(|| WidgetInfo::labeled(Role::Status, true, &spoken));
            if let Some(failure) = &account.failure {
                ui.add_space(10.0);
                let mut bar = Bar::new(ui, t.px(20.0), 8.0);
                let copy =
                    Button::icon_only(Kind::Ghost, icons::COPY, strings::COPY_FAILURE).height(24.0);
                if bar.button_right(ui, &t, copy).clicked() {
                    ui.ctx().copy_text(failure.sentence().into_revealed());
                }
                let title = failure.title();
                let place = bar.rest();
                text_in(ui.painter(), place, &title, t.strong(), t.text, Align::Min);
                let response = ui.interact(place, ui.scope_id().with("failure"), Sense::hover());
                response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &title));
                ui.add_space(4.0);
                paragraph(ui, failure.explanation().reveal(), t.body(), t.text);
                if !failure.next_step().is_empty() {
                    ui.add_space(4.0);
                    paragraph(ui, failure.next_step(), t.body(), t.muted);
                }
                around::certificate(ui, kit, window, &account.tenant, failure);
                ui.add_space(4.0);
            }
        });
}

fn since(kit: &Kit<'_>, account: &AccountView) -> String {
    let now = kit.live.now;
    let mut words = format!("for {}", format::rough(now.since(account.since)));
    if let Some(retry) = account.retry_at {
        words.push_str(&format!(
            "  ·  next try in {}",
            format::rough(retry.since(now))
        ));
    }
    words
}

fn actions(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    bar: &mut Bar,
    window: &mut Window,
    account: &AccountView,
) {
    let t = kit.t.clone();
    let register = Command::Register {
        account: account.id.clone(),
    };
    match account.state {
        RegistrationState::Registered | RegistrationState::Trying => {
            let out = Button::new(Kind::Quiet, strings::SIGN_OUT);
            if bar.button_right(ui, &t, out).clicked() {
                kit.send(Command::Unregister {
                    account: account.id.clone(),
                });
            }
        }
        RegistrationState::Off | RegistrationState::Leaving => {
            let sign_in = Button::new(Kind::Primary, strings::SIGN_IN);
            if bar.button_right(ui, &t, sign_in).clicked() {
                kit.send(register);
            }
        }
        RegistrationState::Refused | RegistrationState::Silent | RegistrationState::Degraded => {
            let retry = Button::new(Kind::Primary, strings::RETRY).icon(icons::ARROW_CLOCKWISE);
            if bar.button_right(ui, &t, retry).clicked() {
                kit.send(register);
            }
        }
    }
    let trace = if kit.room == Room::Compact {
        Button::icon_only(Kind::Quiet, icons::ARROWS_LEFT_RIGHT, strings::SHOW_TRACE)
    } else {
        Button::new(Kind::Quiet, strings::SHOW_TRACE).icon(icons::ARROWS_LEFT_RIGHT)
    };
    if bar.button_right(ui, &t, trace).clicked() {
        window.trace.look_at_account(&account.id);
        window.screen = Screen::Trace;
    }
}

type Facts = Vec<(&'static str, String, bool)>;

/// What is known of the registration, and what is set. The third of each says whether it is an address,
/// which is set in the monospaced face.
fn facts(kit: &Kit<'_>, account: &AccountView) -> (Facts, Facts) {
    let s = &account.settings;
    let now = kit.live.now;
    let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
    let left = vec![
        (
            "Expires in",
            account.expires_at.map_or_else(
                || strings::NOTHING.to_owned(),
                |at| format::rough(at.since(now)),
            ),
            false,
        ),
        ("Server", or(&account.target, strings::NOTHING), true),
        (
            "Seen by it as",
            or(&account.mapped, strings::NOT_TOLD),
            true,
        ),
        (
            "Round trip",
            account.round_trip_ms.map_or_else(
                || strings::NOTHING.to_owned(),
                |ms| format!("{} ms", format::figure(ms)),
            ),
            false,
        ),
        (
            "Since",
            {
                let local = kit.local(account.since);
                format!("{} {}", local.date(), local.clock_seconds())
            },
            false,
        ),
    ];
    let right = vec![
        (
            strings::settings::TRANSPORT,
            s.transport
                .map_or(strings::AUTOMATIC, transport_words)
                .to_owned(),
            false,
        ),
        (
            strings::settings::PROXY,
            s.proxy
                .as_ref()
                .map_or(strings::NOTHING, ServerUri::reveal)
                .to_owned(),
            true,
        ),
        (
            strings::settings::ENCRYPTION,
            srtp_words(s.srtp).to_owned(),
            false,
        ),
        ("Codecs", s.codecs.join(", "), false),
        (
            strings::settings::DTMF,
            dtmf_words(s.dtmf).to_owned(),
            false,
        ),
    ];
    (left, right)
}

fn group(ui: &mut Ui, t: &Theme, name: &str, facts: &Facts) {
    ui.spacing_mut().item_spacing.y = 0.0;
    caption(ui, t, name);
    ui.add_space(6.0);
    for (what, value, address) in facts {
        fact(ui, t, what, value, *address && value.contains([':', '.']));
    }
}

fn fact(ui: &mut Ui, t: &Theme, what: &str, value: &str, address: bool) {
    let mut bar = Bar::new(ui, t.px(26.0), 8.0);
    let whole = bar.rest();
    let place = bar.left(t.px(112.0));
    text_in(ui.painter(), place, what, t.body(), t.muted, Align::Min);
    let font = if address { t.mono() } else { t.body() };
    let told = value != strings::NOTHING && value != strings::NOT_TOLD;
    let ink = if told { t.text } else { t.faint };
    let cut = text_in(ui.painter(), bar.rest(), value, font, ink, Align::Min);
    let response = ui.interact(whole, ui.scope_id().with(("fact", what)), Sense::hover());
    let spoken = format!("{what} {value}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    if cut {
        response.on_hover_text(value);
    }
}

/// What the server says it can do.
fn server(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window, account: &AccountView) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    let ask = Button::new(Kind::Quiet, strings::ASK_SERVER).tip(strings::ASK_SERVER_TIP);
    if bar.button_right(ui, &t, ask).clicked() {
        let aor = account.settings.aor.reveal();
        let domain = aor.rsplit_once('@').map_or(aor, |(_, host)| host);
        kit.send(Command::SendOptions {
            account: account.id.clone(),
            target: format!("sip:{domain}").into(),
        });
        window.options_asked = Some((account.id.clone(), kit.live.now));
    }
    text_in(
        ui.painter(),
        bar.rest(),
        strings::SERVER,
        t.small_strong(),
        t.faint,
        Align::Min,
    );
    ui.add_space(4.0);
    let Some(answer) = data.options.get(&account.id) else {
        paragraph(ui, strings::ASK_SERVER_TEXT, t.body(), t.muted);
        return;
    };
    if let Some(failure) = &answer.failure {
        paragraph(ui, failure.sentence().reveal(), t.body(), t.bad);
        return;
    }
    if let Some((code, phrase)) = &answer.status {
        fact(
            ui,
            &t,
            "Answer",
            &format!("{code} {}", phrase.reveal()),
            false,
        );
    }
    if let Some(ms) = answer.round_trip_ms {
        fact(
            ui,
            &t,
            "Round trip",
            &format!("{} ms", format::figure(ms)),
            false,
        );
    }
    if let Some(server) = &answer.server {
        fact(ui, &t, "Software", server, false);
    }
    if !answer.allow.is_empty() {
        fact(ui, &t, "Allows", &answer.allow.join(", "), false);
    }
}

/// The name of a part of the page.
fn heading(ui: &mut Ui, kit: &Kit<'_>, words: &str) {
    ui.add_space(24.0);
    caption(ui, &kit.t, words);
    ui.add_space(6.0);
}

/// A name and what is said of it, cut where it does not fit and whole under the pointer.
fn line(ui: &mut Ui, kit: &Kit<'_>, name: &str, value: &str, ink: Color32) {
    let t = &kit.t;
    let mut bar = Bar::new(ui, t.px(26.0), 12.0);
    let whole = bar.rest();
    let place = bar.left((whole.width() * 0.4).min(t.px(280.0)).round());
    let font = if name.contains([':', '@']) {
        t.mono()
    } else {
        t.body()
    };
    let mut cut = text_in(ui.painter(), place, name, font, t.muted, Align::Min);
    let font = if value.len() > 60 && value.matches(':').count() > 20 {
        t.mono()
    } else {
        t.body()
    };
    cut |= text_in(ui.painter(), bar.rest(), value, font, ink, Align::Min);
    let response = ui.interact(
        whole,
        ui.scope_id().with(("more", name, value)),
        Sense::hover(),
    );
    let spoken = format!("{name} {value}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    if cut {
        response.on_hover_text(format!("{name}\n{value}"));
    }
}
