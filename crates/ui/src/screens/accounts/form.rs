//! The form of an account: what two fields are enough for, and what few need.

use egui::{Frame, Margin, Rect, Response, ScrollArea, Ui, Vec2};
use model::{DtmfMode, SrtpPolicy, Transport, WatchKind};

use super::super::{Bar, Kit, Room, part};
use super::codecs;
use crate::account_form::{AccountForm, Faults};
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{Button, Field, Kind, form_row, heading, label, segmented, select, switch};
use crate::window::{FocusWish, Window};
use crate::{icons, strings};

pub(super) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let Some(mut form) = window.form.take() else {
        return;
    };
    let focus = window.focus.take();
    let faults = form.faults();
    let foot = t.px(56.0);
    let (body, foot_rect) = rect.split_top_bottom_at_y(rect.bottom() - foot);
    let mut done = false;
    let mut inner = part(ui, body, "form");
    ScrollArea::vertical()
        .id_salt("account form")
        .auto_shrink(false)
        .show(&mut inner, |ui| {
            let side = if kit.room == Room::Compact { 12 } else { 24 };
            Frame::NONE
                .inner_margin(Margin::symmetric(side, 20))
                .show(ui, |ui| {
                    ui.set_max_width(t.px(480.0).min(ui.available_width()));
                    ui.spacing_mut().item_spacing.y = 16.0;
                    let title = if form.editing.is_some() {
                        strings::EDIT_ACCOUNT
                    } else {
                        strings::NEW_ACCOUNT
                    };
                    heading(ui, &t, title);
                    let last = essential(ui, &t, &mut form, &faults, focus);
                    done |= last.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
                    whose(ui, &t, data, &mut form);
                    fold(ui, &t, &mut form);
                    if form.advanced {
                        advanced(ui, &t, &mut form, &faults);
                    }
                });
        });
    let mut inner = part(ui, foot_rect, "form foot");
    inner.painter().hline(
        foot_rect.x_range(),
        foot_rect.top() + 0.5,
        egui::Stroke::new(1.0, t.line),
    );
    let side = if kit.room == Room::Compact {
        12.0
    } else {
        24.0
    };
    let mut bar = Bar::over(foot_rect.shrink2(Vec2::new(side, 0.0)), 8.0);
    let words = if form.editing.is_some() {
        strings::SAVE
    } else {
        strings::ADD
    };
    let save = Button::new(Kind::Primary, words).height(32.0);
    done |= bar.button_left(&mut inner, &t, save).clicked();
    let cancel = Button::new(Kind::Ghost, strings::CANCEL).height(32.0);
    let cancelled = bar.button_left(&mut inner, &t, cancel).clicked()
        || ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, egui::Key::Escape));
    if cancelled {
        return;
    }
    if done {
        form.tried = true;
        form.advanced |= faults.in_advanced();
        if let Some(command) = form.command() {
            window.awaits_account = form.editing.is_none();
            kit.send(command);
            return;
        }
    }
    window.form = Some(form);
}

fn fold(ui: &mut Ui, t: &Theme, form: &mut AccountForm) {
    let mut bar = Bar::new(ui, t.px(24.0), 0.0);
    let icon = if form.advanced {
        icons::CARET_DOWN
    } else {
        icons::CARET_RIGHT
    };
    let button = Button::new(Kind::Ghost, strings::ADVANCED)
        .icon(icon)
        .small();
    bar.outdent(8.0);
    if bar.button_left(ui, t, button).clicked() {
        form.advanced = !form.advanced;
    }
}

fn whose(ui: &mut Ui, t: &Theme, data: &Data, form: &mut AccountForm) {
    if form.editing.is_some() || data.tenants.len() < 2 {
        return;
    }
    let names: Vec<String> = data.tenants.iter().map(|t| t.name.clone()).collect();
    let chosen = data
        .tenants
        .iter()
        .position(|t| Some(&t.id) == form.tenant.as_ref())
        .unwrap_or(0);
    let mut picked = None;
    form_row(ui, t, strings::ORGANISATION, None, None, |ui| {
        let (response, index) = select(ui, t, strings::ORGANISATION, &names, chosen);
        picked = index;
        response
    });
    if let Some(tenant) = picked.and_then(|i| data.tenants.get(i)) {
        form.tenant = Some(tenant.id.clone());
    }
}

/// The two fields that are enough. Answers with the last one.
pub(crate) fn essential(
    ui: &mut Ui,
    t: &Theme,
    form: &mut AccountForm,
    faults: &Faults,
    focus: Option<FocusWish>,
) -> Response {
    let wrong = faults.address.filter(|_| form.tried);
    let field = form_row(
        ui,
        t,
        strings::ADDRESS,
        Some(strings::ADDRESS_HELP),
        wrong,
        |ui| {
            Field::new(&mut form.address, strings::ADDRESS)
                .hint(strings::ADDRESS_HINT)
                .height(32.0)
                .wrong(wrong.is_some())
                .show(ui, t)
        },
    );
    if focus == Some(FocusWish::Form) {
        field.request_focus();
    }
    let help = if form.editing.is_some() {
        strings::PASSWORD_KEEP
    } else {
        strings::PASSWORD_HELP
    };
    form_row(ui, t, strings::PASSWORD, Some(help), None, |ui| {
        let mut bar = Bar::new(ui, t.px(32.0), 4.0);
        let icon = if form.reveal {
            icons::EYE_SLASH
        } else {
            icons::EYE
        };
        let eye = bar.right(t.px(32.0));
        let mut field = Field::new(&mut form.password, strings::PASSWORD).height(32.0);
        if !form.reveal {
            field = field.password();
        }
        let response = field.show_in(ui, t, bar.rest());
        let reveal = Button::icon_only(Kind::Ghost, icon, strings::SHOW_PASSWORD).on(form.reveal);
        if reveal.show_in(ui, t, eye).clicked() {
            form.reveal = !form.reveal;
        }
        response
    })
}

/// The fields that few need.
pub(crate) fn advanced(ui: &mut Ui, t: &Theme, form: &mut AccountForm, faults: &Faults) {
    let tried = form.tried;
    let text = |ui: &mut Ui,
                name: &'static str,
                value: &mut String,
                help: Option<&str>,
                wrong: Option<&'static str>| {
        let wrong = wrong.filter(|_| tried || !value.is_empty());
        form_row(ui, t, name, help, wrong, |ui| {
            Field::new(value, name)
                .height(32.0)
                .wrong(wrong.is_some())
                .show(ui, t)
        });
    };
    text(ui, strings::LABEL, &mut form.label, None, None);
    text(
        ui,
        strings::DISPLAY_NAME,
        &mut form.display_name,
        None,
        None,
    );
    text(
        ui,
        strings::AUTH_USER,
        &mut form.auth_user,
        Some(strings::AUTH_USER_HELP),
        None,
    );
    text(
        ui,
        strings::REGISTRAR,
        &mut form.registrar,
        Some(strings::REGISTRAR_HELP),
        faults.registrar,
    );
    text(ui, strings::PROXY, &mut form.proxy, None, faults.proxy);
    let names: Vec<&str> = std::iter::once(strings::AUTOMATIC)
        .chain(TRANSPORTS.iter().map(|t| transport_words(*t)))
        .collect();
    let chosen = form
        .transport
        .and_then(|t| TRANSPORTS.iter().position(|o| *o == t))
        .map_or(0, |i| i + 1);
    if let Some(index) = choice(ui, t, strings::TRANSPORT, &names, chosen) {
        form.transport = index
            .checked_sub(1)
            .and_then(|i| TRANSPORTS.get(i))
            .copied();
    }
    text(
        ui,
        strings::BIND,
        &mut form.bind,
        Some(strings::BIND_HELP),
        faults.bind,
    );
    text(
        ui,
        strings::EXPIRES,
        &mut form.expires,
        None,
        faults.expires,
    );
    let mut options = vec![SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required];
    // For gateways that need it; whoever has set it in the file keeps it.
    if form.srtp == SrtpPolicy::OptionalTwoLines {
        options.insert(2, SrtpPolicy::OptionalTwoLines);
    }
    let names: Vec<&str> = options.iter().map(|o| srtp_words(*o)).collect();
    let chosen = options.iter().position(|o| *o == form.srtp).unwrap_or(0);
    if let Some(policy) =
        choice(ui, t, strings::ENCRYPTION, &names, chosen).and_then(|i| options.get(i))
    {
        form.srtp = *policy;
    }
    let options = [
        DtmfMode::Rfc4733,
        DtmfMode::Info,
        DtmfMode::Inband,
        DtmfMode::Auto,
    ];
    let names = options.map(dtmf_words);
    let chosen = options.iter().position(|o| *o == form.dtmf).unwrap_or(0);
    if let Some(mode) = choice(ui, t, strings::DTMF, &names, chosen).and_then(|i| options.get(i)) {
        form.dtmf = *mode;
    }
    codecs::show(ui, t, &mut form.codecs, faults.codecs);
    text(
        ui,
        strings::HEADERS,
        &mut form.headers,
        Some(strings::HEADERS_HELP),
        faults.headers,
    );
    switch(ui, t, strings::REGISTER, &mut form.register);
    switch(ui, t, strings::MWI, &mut form.mwi);
    text(
        ui,
        strings::WATCH_WHOM,
        &mut form.watched,
        Some(strings::WATCH_WHOM_HELP),
        faults.watched,
    );
    if !form.watched.trim().is_empty() {
        let options = [WatchKind::Calls, WatchKind::Presence, WatchKind::Both];
        let names = options.map(watch_words);
        let chosen = options.iter().position(|o| *o == form.watch).unwrap_or(0);
        if let Some(kind) =
            choice(ui, t, strings::WATCH, &names, chosen).and_then(|i| options.get(i))
        {
            form.watch = *kind;
        }
    }
    switch(ui, t, strings::PUBLISH, &mut form.publish_presence);
}

/// A named row of choices.
fn choice(ui: &mut Ui, t: &Theme, name: &str, options: &[&str], chosen: usize) -> Option<usize> {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        label(ui, name, t.small(), t.muted);
        segmented(ui, t, name, options, chosen)
    })
    .inner
}

const TRANSPORTS: [Transport; 5] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];

pub(crate) fn transport_words(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::Ws => "WS",
        Transport::Wss => "WSS",
    }
}

pub(super) fn srtp_words(policy: SrtpPolicy) -> &'static str {
    match policy {
        SrtpPolicy::Off => "Off",
        SrtpPolicy::Optional => "When possible",
        SrtpPolicy::OptionalTwoLines => "When possible, two lines",
        SrtpPolicy::Required => "Required",
    }
}

pub(super) fn dtmf_words(mode: DtmfMode) -> &'static str {
    match mode {
        DtmfMode::Rfc4733 => "In RTP",
        DtmfMode::Info => "INFO",
        DtmfMode::Inband => "In the audio",
        DtmfMode::Auto => "As the peer can",
    }
}

fn watch_words(kind: WatchKind) -> &'static str {
    match kind {
        WatchKind::Calls => "Their calls",
        WatchKind::Presence => "Their presence",
        WatchKind::Both => "Both",
    }
}
