//! What happened to a registration: each step with its time, and why it failed.

use egui::{Align, Role, Sense, Ui, WidgetInfo};
use model::{AccountView, RegistrationMark, RegistrationState, Sentence};

use super::super::{Bar, Kit};
use super::heading;
use crate::format;
use crate::strings;
use crate::widgets::{Button, Kind, registration_mark, registration_words, text_in};

/// Steps that are shown before a person asks for all of them.
const FIRST: usize = 6;

pub(super) fn show(ui: &mut Ui, kit: &Kit<'_>, account: &AccountView) {
    if account.marks.is_empty() {
        return;
    }
    let t = &kit.t;
    heading(ui, kit, &strings::log(&share(kit, account)));
    let open = ui.scope_id().with(("log", &account.id));
    let all = ui.data(|data| data.get_temp(open).unwrap_or(false));
    let count = if all { usize::MAX } else { FIRST };
    for mark in account.marks.iter().rev().take(count) {
        step(ui, kit, mark);
    }
    if account.marks.len() > FIRST {
        let words = if all {
            strings::FEWER.to_owned()
        } else {
            strings::all_steps(account.marks.len())
        };
        let mut bar = Bar::new(ui, t.px(26.0), 8.0);
        bar.outdent(8.0);
        let more = Button::new(Kind::Ghost, &words).small();
        if bar.button_left(ui, t, more).clicked() {
            ui.data_mut(|data| data.insert_temp(open, !all));
        }
    }
}

fn step(ui: &mut Ui, kit: &Kit<'_>, mark: &RegistrationMark) {
    let t = &kit.t;
    let mut bar = Bar::new(ui, t.px(26.0), 10.0);
    let whole = bar.rest();
    let (then, now) = (kit.local(mark.time), kit.local(kit.live.now));
    let time = if then.day() == now.day() {
        then.clock_seconds()
    } else {
        format!("{} {}", then.date(), then.clock())
    };
    let place = bar.left(t.px(124.0));
    text_in(ui.painter(), place, &time, t.mono(), t.muted, Align::Min);
    let shape = bar.left(t.px(8.0));
    registration_mark(ui.painter(), t, shape.center(), mark.state);
    let (ink, word) = registration_words(t, mark.state);
    let place = bar.left(t.px(84.0));
    text_in(ui.painter(), place, word, t.body(), ink, Align::Min);
    let text = mark.text.as_ref().map_or("", Sentence::reveal);
    let cut = text_in(ui.painter(), bar.rest(), text, t.body(), t.text, Align::Min);
    let id = ui.scope_id().with(("step", mark.time.0, word));
    let response = ui.interact(whole, id, Sense::hover());
    let spoken = format!("{time} {word} {text}").trim_end().to_owned();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    if cut {
        response.on_hover_text(text);
    }
}

/// How much of the time it was registered since it is watched, in words.
fn share(kit: &Kit<'_>, account: &AccountView) -> String {
    let now = kit.live.now;
    let watched = now.since(account.watched_since).as_millis() as f64;
    let mut up = account.up_ms as f64;
    if account.state == RegistrationState::Registered {
        up += now.since(account.since).as_millis() as f64;
    }
    // Before a minute has passed a share says nothing.
    if account.watched_since.0 == 0 || watched < 60_000.0 {
        return String::new();
    }
    let percent = (up / watched * 100.0).clamp(0.0, 100.0) as f32;
    let of = format::rough(now.since(account.watched_since));
    strings::up_share(&format::figure(percent), &of)
}
