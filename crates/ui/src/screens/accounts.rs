//! One account: what its registration does, what is set, what its server can do; and the form.

use egui::{Align, Frame, Margin, Rect, Response, Role, ScrollArea, Sense, Ui, Vec2, WidgetInfo};
use model::{AccountView, Command, DtmfMode, RegistrationState, SrtpPolicy, Transport};

use super::{Bar, Kit, Room, account_list, account_more, part};
use crate::account_form::{AccountForm, Faults};
use crate::format;
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, caption, empty, form_row, galley, heading, label, paragraph,
    registration_mark, registration_words, segmented, select, switch, tenant_mark, text_in,
};
use crate::window::{FocusWish, Question, Screen, Window};
use crate::{icons, strings};

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    if window.form.is_some() {
        form_screen(ui, rect, kit, data, window);
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
    account_more::show(ui, kit, data, window, account);
    ui.add_space(24.0);
    server(ui, kit, data, window, account);
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
    bar.outdent(12.0);
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
                    ui.ctx().copy_text(failure.sentence());
                }
                let title = failure.title();
                let place = bar.rest();
                text_in(ui.painter(), place, &title, t.strong(), t.text, Align::Min);
                let response = ui.interact(place, ui.scope_id().with("failure"), Sense::hover());
                response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &title));
                ui.add_space(4.0);
                paragraph(ui, &failure.explanation(), t.body(), t.text);
                if !failure.next_step().is_empty() {
                    ui.add_space(4.0);
                    paragraph(ui, failure.next_step(), t.body(), t.muted);
                }
                account_more::certificate(ui, kit, window, account, failure);
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
            strings::TRANSPORT,
            s.transport
                .map_or(strings::AUTOMATIC, transport_words)
                .to_owned(),
            false,
        ),
        (strings::PROXY, or(&s.proxy, strings::NOTHING), true),
        (strings::ENCRYPTION, srtp_words(s.srtp).to_owned(), false),
        ("Codecs", s.codecs.join(", "), false),
        (strings::DTMF, dtmf_words(s.dtmf).to_owned(), false),
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
        paragraph(ui, &failure.sentence(), t.body(), t.bad);
        return;
    }
    if let Some((code, phrase)) = &answer.status {
        fact(ui, &t, "Answer", &format!("{code} {phrase}"), false);
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

fn form_screen(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
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
    text(ui, strings::CODECS, &mut form.codecs, None, faults.codecs);
    text(
        ui,
        strings::HEADERS,
        &mut form.headers,
        Some(strings::HEADERS_HELP),
        faults.headers,
    );
    switch(ui, t, strings::REGISTER, &mut form.register);
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

fn srtp_words(policy: SrtpPolicy) -> &'static str {
    match policy {
        SrtpPolicy::Off => "Off",
        SrtpPolicy::Optional => "When possible",
        SrtpPolicy::OptionalTwoLines => "When possible, two lines",
        SrtpPolicy::Required => "Required",
    }
}

fn dtmf_words(mode: DtmfMode) -> &'static str {
    match mode {
        DtmfMode::Rfc4733 => "In RTP",
        DtmfMode::Info => "INFO",
        DtmfMode::Inband => "In the audio",
        DtmfMode::Auto => "As the peer can",
    }
}
