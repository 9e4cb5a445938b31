//! What an account does with calls that come in: rings, is busy, sends them elsewhere, or takes them by
//! itself.

use egui::{Align, Rect, Ui, Vec2};
use model::{AccountView, AutoAnswer, CallPolicies, Command, DoNotDisturb};

use super::super::{Bar, Kit, Room};
use super::heading;
use crate::strings;
use crate::theme::Theme;
use crate::widgets::{Button, Field, Kind, paragraph, segmented, text_in};
use crate::window::{ForwardForm, Window};

const DISTURB: [DoNotDisturb; 3] = [
    DoNotDisturb::Off,
    DoNotDisturb::Busy,
    DoNotDisturb::Unavailable,
];
const ANSWER: [AutoAnswer; 3] = [AutoAnswer::Never, AutoAnswer::WhenAsked, AutoAnswer::Always];

/// The command that changes what an account does with calls.
pub(crate) fn change(account: &AccountView, with: impl FnOnce(&mut CallPolicies)) -> Command {
    let mut settings = account.settings.clone();
    with(&mut settings.calls);
    Command::UpdateAccount {
        account: account.id.clone(),
        settings: Box::new(settings),
        password: None,
    }
}

pub(super) fn show(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    let t = kit.t.clone();
    let calls = &account.settings.calls;
    heading(ui, kit, strings::INCOMING_CALLS);
    let chosen = DISTURB.iter().position(|d| *d == calls.do_not_disturb);
    let picked = row(ui, kit, strings::CALLERS_HEAR, &strings::DISTURB, chosen);
    if let Some(choice) = picked.and_then(|i| DISTURB.get(i)) {
        kit.send(change(account, |c| c.do_not_disturb = *choice));
    }
    ui.add_space(6.0);
    let chosen = ANSWER.iter().position(|a| *a == calls.auto_answer);
    let picked = row(ui, kit, strings::ANSWERED, &strings::AUTO_ANSWER, chosen);
    if let Some(choice) = picked.and_then(|i| ANSWER.get(i)) {
        kit.send(change(account, |c| c.auto_answer = *choice));
    }
    ui.add_space(6.0);
    let mut form = match window.forward.take() {
        Some(form) if form.account == account.id => form.following(calls),
        _ => ForwardForm::of(account.id.clone(), calls),
    };
    for (name, at) in [
        (strings::FORWARD_ALWAYS, 0),
        (strings::FORWARD_BUSY, 1),
        (strings::FORWARD_NO_ANSWER, 2),
    ] {
        field(ui, kit, name, form.typed.get_mut(at));
        ui.add_space(6.0);
    }
    if !form.typed[2].trim().is_empty() {
        field(ui, kit, strings::FORWARD_AFTER, Some(&mut form.after_s));
        ui.add_space(6.0);
    }
    if let Some(wrong) = form.wrong() {
        paragraph(ui, wrong, t.small(), t.bad);
        ui.add_space(6.0);
    }
    if form.is_changed() {
        let mut bar = Bar::new(ui, t.px(32.0), 8.0);
        if kit.room != Room::Compact {
            bar.left(name_width(&t));
        }
        let save = Button::new(Kind::Primary, strings::SAVE)
            .name(strings::SAVE_FORWARDING)
            .height(32.0)
            .enabled(form.wrong().is_none());
        if bar.button_left(ui, &t, save).clicked() {
            kit.send(change(account, |c| form.put_into(c)));
        }
        let cancel = Button::new(Kind::Ghost, strings::CANCEL).height(32.0);
        if bar.button_left(ui, &t, cancel).clicked() {
            form = ForwardForm::of(account.id.clone(), calls);
        }
    }
    window.forward = Some(form);
}

fn name_width(t: &Theme) -> f32 {
    t.px(148.0)
}

/// The places of a name and of what is set by it: beside each other, or above each other in a narrow window.
fn places(ui: &mut Ui, kit: &Kit<'_>, name: &str, height: f32) -> Rect {
    let t = &kit.t;
    if kit.room == Room::Compact {
        let bar = Bar::new(ui, t.px(18.0), 0.0);
        text_in(
            ui.painter(),
            bar.rest(),
            name,
            t.small(),
            t.muted,
            Align::Min,
        );
        return Bar::new(ui, height, 0.0).rest();
    }
    let mut bar = Bar::new(ui, height, 8.0);
    let place = bar.left(name_width(t));
    text_in(ui.painter(), place, name, t.body(), t.muted, Align::Min);
    bar.rest()
}

fn row(
    ui: &mut Ui,
    kit: &Kit<'_>,
    name: &str,
    options: &[&str],
    chosen: Option<usize>,
) -> Option<usize> {
    let place = places(ui, kit, name, kit.t.control());
    let mut inner = ui.new_child(egui::UiBuilder::new().id_salt(name).max_rect(place));
    segmented(&mut inner, &kit.t, name, options, chosen.unwrap_or(0))
}

fn field(ui: &mut Ui, kit: &Kit<'_>, name: &str, value: Option<&mut String>) {
    let Some(value) = value else {
        return;
    };
    let t = &kit.t;
    let place = places(ui, kit, name, t.px(32.0));
    let width = place.width().min(t.px(320.0));
    Field::new(value, name)
        .hint(if name == strings::FORWARD_AFTER {
            ""
        } else {
            strings::FORWARD_NOWHERE
        })
        .height(32.0)
        .show_in(
            ui,
            t,
            Rect::from_min_size(place.min, Vec2::new(width, place.height())),
        );
}
