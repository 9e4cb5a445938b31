//! The form of an account: what two fields are enough for, and what few need.

use std::collections::BTreeMap;

use egui::{Align, Frame, Margin, Rect, Response, Role, ScrollArea, Sense, Ui, Vec2, WidgetInfo};
use model::{DtmfMode, SrtpPolicy, Transport};

use super::super::{Bar, Kit, Room, part};
use super::codecs;
use crate::account_form::fields::{Item, ItemKind, SECTIONS, Section};
use crate::account_form::{AccountForm, Faults};
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, form_row, heading, icon_in, label, paragraph, segmented, segmented_width,
    select, switch, text_in,
};
use crate::window::{FocusWish, Window};
use crate::{icons, strings};

pub(super) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let Some(mut form) = window.form.take() else {
        return;
    };
    let focus = window.focus.take();
    let faults = form.settle();
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
        form.point_at(&faults);
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

/// What few need, in parts that are folded away.
pub(crate) fn advanced(ui: &mut Ui, t: &Theme, form: &mut AccountForm, faults: &Faults) {
    let new = model::AccountSettings::new("");
    ui.spacing_mut().item_spacing.y = 4.0;
    for section in &SECTIONS {
        let open = form.open.contains(section.name);
        let differs = |item: &&Item| item.differs(&form.settings, &new);
        let set = section.items.iter().filter(differs).count();
        if head(ui, t, section, open, set) {
            match open {
                true => form.open.remove(section.name),
                false => form.open.insert(section.name),
            };
        }
        if !open {
            continue;
        }
        Frame::NONE
            .inner_margin(Margin {
                left: 16,
                bottom: 16,
                ..Margin::ZERO
            })
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 16.0;
                paragraph(ui, section.about, t.body(), t.muted);
                for item in section.items {
                    if (item.applies)(&form.settings) {
                        setting(ui, t, form, item, &faults.settings);
                    }
                }
            });
    }
}

/// The heading of a part, which folds and unfolds it. Answers whether it was pressed.
fn head(ui: &mut Ui, t: &Theme, section: &Section, open: bool, set: usize) -> bool {
    let size = Vec2::new(ui.available_width(), t.px(32.0));
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let painter = ui.painter();
    if response.hovered() {
        painter.rect_filled(rect, 6.0, t.hover);
    }
    if response.has_focus() {
        painter.rect_stroke(rect, 6.0, t.focus(), egui::StrokeKind::Inside);
    }
    let mut bar = Bar::over(rect.shrink2(Vec2::new(8.0, 0.0)), 8.0);
    let caret = bar.left(t.px(12.0));
    let icon = if open {
        icons::CARET_DOWN
    } else {
        icons::CARET_RIGHT
    };
    icon_in(painter, caret, icon, t.icon(12.0), t.muted);
    let changed = strings::settings::changed(set);
    let place = bar.right(t.px(64.0));
    text_in(painter, place, &changed, t.small(), t.muted, Align::Max);
    let place = bar.rest();
    text_in(painter, place, section.name, t.strong(), t.text, Align::Min);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::Button, true, section.name);
        info.selected = Some(open);
        info.hint_text = Some(section.about.to_owned());
        info
    });
    response.clicked()
}

/// One setting with its explanation.
fn setting(
    ui: &mut Ui,
    t: &Theme,
    form: &mut AccountForm,
    item: &'static Item,
    faults: &BTreeMap<&'static str, &'static str>,
) {
    match &item.kind {
        ItemKind::Text(text) => {
            let tried = form.tried;
            let value = form.typed(item.name);
            let shown = |_: &&str| tried || !value.is_empty();
            let wrong = faults.get(item.name).copied().filter(shown);
            form_row(ui, t, item.name, Some(item.help), wrong, |ui| {
                let field = Field::new(value, item.name)
                    .height(32.0)
                    .wrong(wrong.is_some());
                if text.lines {
                    field.show_lines(ui, t)
                } else {
                    field.show(ui, t)
                }
            });
        }
        ItemKind::Switch(of) => {
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                switch(ui, t, item.name, of(&mut form.settings));
                help(ui, t, item);
            });
        }
        ItemKind::Choice(choice) => {
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 4.0;
                label(ui, item.name, t.small(), t.muted);
                let chosen = (choice.read)(&form.settings);
                if let Some(index) = one_of(ui, t, item.name, choice.options, chosen) {
                    (choice.write)(&mut form.settings, index);
                }
                help(ui, t, item);
            });
        }
        ItemKind::Codecs => {
            let wrong = faults.get(item.name).copied();
            codecs::show(ui, t, &mut form.settings.codecs, wrong);
        }
    }
}

fn help(ui: &mut Ui, t: &Theme, item: &Item) {
    paragraph(ui, item.help, t.small(), t.faint);
}

/// A row of choices where it fits, else a menu of them.
fn one_of(ui: &mut Ui, t: &Theme, name: &str, options: &[&str], chosen: usize) -> Option<usize> {
    if segmented_width(ui, t, options) <= ui.available_width() {
        return segmented(ui, t, name, options, chosen);
    }
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    select(ui, t, name, &options, chosen).1
}

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
    let [off, optional, two_lines, required] = strings::settings::ENCRYPTIONS;
    match policy {
        SrtpPolicy::Off => off,
        SrtpPolicy::Optional => optional,
        SrtpPolicy::OptionalTwoLines => two_lines,
        SrtpPolicy::Required => required,
    }
}

pub(super) fn dtmf_words(mode: DtmfMode) -> &'static str {
    let [rtp, info, audio, auto] = strings::settings::TONES;
    match mode {
        DtmfMode::Rfc4733 => rtp,
        DtmfMode::Info => info,
        DtmfMode::Inband => audio,
        DtmfMode::Auto => auto,
    }
}
