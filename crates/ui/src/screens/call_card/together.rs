//! Calls that hear each other: which can be brought together, who is in the conference, and the way out of it.

use egui::{Key, Modifiers, Role, Ui, WidgetInfo};
use model::{CallId, CallView, Command};

use super::super::{Bar, Kit};
use super::announce;
use super::transfer::inset;
use crate::view_state::Data;
use crate::widgets::{Button, Kind, paragraph};
use crate::window::{Joining, Window};
use crate::{icons, strings};

/// The other calls that this one can be brought together with: those of its organisation that are up and not
/// with it yet.
pub(crate) fn candidates<'a>(data: &'a Data, call: &CallView) -> Vec<&'a CallView> {
    let apart = |c: &&CallView| {
        c.id != call.id
            && c.tenant == call.tenant
            && c.state.is_up()
            && (c.conference.is_none() || c.conference != call.conference)
    };
    if call.state.is_up() {
        data.calls.iter().filter(apart).collect()
    } else {
        Vec::new()
    }
}

/// The other calls of its conference.
pub(super) fn others<'a>(data: &'a Data, call: &CallView) -> Vec<&'a CallView> {
    let with = |c: &&CallView| {
        c.id != call.id && c.conference.is_some() && c.conference == call.conference
    };
    data.calls.iter().filter(with).collect()
}

/// Brings this call together with the only other one there is; with several, asks which.
pub(crate) fn join(kit: &mut Kit<'_>, data: &Data, window: &mut Window, call: &CallView) {
    match candidates(data, call)[..] {
        [] => window.joining = None,
        [other] => {
            window.joining = None;
            kit.send(together(call.id, &[other]));
        }
        _ => {
            let open = window.joining.is_some_and(|j| j.call == call.id);
            window.joining = (!open).then(|| Joining::of(call.id));
        }
    }
}

fn together(call: CallId, others: &[&CallView]) -> Command {
    let others = others.iter().map(|other| other.id);
    Command::JoinCalls {
        calls: std::iter::once(call).chain(others).collect(),
    }
}

/// Which of several calls to bring together.
pub(super) fn show(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    call: &CallView,
) {
    let Some(mut joining) = window.joining.filter(|j| j.call == call.id) else {
        return;
    };
    let others = candidates(data, call);
    if others.is_empty() {
        window.joining = None;
        return;
    }
    let t = kit.t.clone();
    let mut keep = true;
    ui.add_space(12.0);
    inset(ui, kit, |ui, kit| {
        let words = strings::join_whom(call.remote.title());
        let response = paragraph(ui, &words, t.strong(), t.text);
        response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &words));
        let everybody = strings::join_all(others.len() + 1);
        let mut choices: Vec<(String, Vec<&CallView>)> = Vec::new();
        if others.len() > 1 {
            choices.push((everybody, others.clone()));
        }
        for other in &others {
            choices.push((strings::join_with(other.remote.title()), vec![*other]));
        }
        for (words, with) in &choices {
            ui.add_space(6.0);
            let mut bar = Bar::new(ui, t.px(32.0), 8.0);
            let room = bar.rest().width();
            let button = Button::new(Kind::Quiet, words)
                .icon(icons::ARROWS_MERGE)
                .height(32.0);
            let width = button.measure(ui, &t).min(room);
            let response = bar.button_left(ui, &t, button.width(width));
            if std::mem::take(&mut joining.wants_focus) {
                response.request_focus();
            }
            if response.clicked() {
                kit.send(together(call.id, with));
                keep = false;
            }
        }
        ui.add_space(6.0);
        let mut bar = Bar::new(ui, t.px(28.0), 8.0);
        let cancel = Button::new(Kind::Ghost, strings::CANCEL);
        keep &= !bar.button_left(ui, &t, cancel).clicked();
        keep &= !ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Escape));
    });
    window.joining = keep.then_some(joining);
}

/// Who is in the conference with this call, and the button that takes it out.
pub(super) fn members(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, call: &CallView) {
    let others = others(data, call);
    if others.is_empty() {
        return;
    }
    let t = kit.t.clone();
    ui.add_space(10.0);
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    let out = Button::new(Kind::Quiet, strings::TAKE_OUT)
        .icon(icons::ARROW_BEND_UP_RIGHT)
        .tip(strings::TAKE_OUT_TIP);
    if bar.button_right(ui, &t, out).clicked() {
        kit.send(Command::LeaveConference { call: call.id });
    }
    let names: Vec<&str> = others.iter().map(|c| c.remote.title()).collect();
    let words = strings::in_conference_with(&names);
    let response = super::details::mark_line(ui, &t, bar.rest(), icons::ARROWS_MERGE, &words);
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, &words));
    announce(ui, response.id, false);
}
