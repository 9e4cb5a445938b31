//! The keys of sngrep, while no field has the keyboard.

use egui::{Key, Modifiers, Ui};

use crate::view_state::Data;
use crate::window::{FocusWish, Window};

/// Rows that a page key moves by.
const PAGE: isize = 12;

/// Where the selection goes.
#[derive(Clone, Copy)]
enum Step {
    By(isize),
    First,
    Last,
}

/// Names the filter field.
pub(super) fn filter_id() -> egui::Id {
    egui::Id::unique("trace filter")
}

/// Stands the display still, or lets it go on.
pub(super) fn toggle_pause(data: &Data, window: &mut Window) {
    window.trace.paused = match window.trace.paused {
        Some(_) => None,
        None => Some(data.trace.end()),
    };
}

/// Does what the keys ask for.
pub(super) fn act(ui: &mut Ui, data: &Data, window: &mut Window) {
    if window.sheet || window.question.is_some() {
        return;
    }
    let focused = ui.memory(egui::Memory::focused);
    if focused == Some(filter_id()) {
        let leave = ui.input(|i| i.key_pressed(Key::Escape) || i.key_pressed(Key::Enter));
        if leave {
            ui.memory_mut(|m| m.surrender_focus(filter_id()));
        }
        return;
    }
    let listed = window.trace.shown();
    let at = window
        .trace
        .selected
        .and_then(|n| listed.binary_search(&n).ok());
    let last = listed.len().saturating_sub(1);
    let step = ui.input(|i| {
        let pressed = |keys: &[Key]| keys.iter().any(|k| i.key_pressed(*k));
        if i.modifiers.command {
            None
        } else if pressed(&[Key::ArrowDown, Key::J]) {
            Some(Step::By(1))
        } else if pressed(&[Key::ArrowUp, Key::K]) {
            Some(Step::By(-1))
        } else if pressed(&[Key::PageDown]) {
            Some(Step::By(PAGE))
        } else if pressed(&[Key::PageUp]) {
            Some(Step::By(-PAGE))
        } else if pressed(&[Key::Home]) {
            Some(Step::First)
        } else if pressed(&[Key::End]) {
            Some(Step::Last)
        } else {
            None
        }
    });
    if let Some(step) = step {
        let next = match (step, at) {
            (Step::First, _) => 0,
            (Step::Last, _) => last,
            (Step::By(rows), Some(at)) => at.saturating_add_signed(rows).min(last),
            // From nowhere, down begins at the top and up at the end.
            (Step::By(rows), None) => {
                if rows > 0 {
                    0
                } else {
                    last
                }
            }
        };
        window.trace.selected = listed.get(next).copied();
        window.trace.reveal = true;
        window.trace.reveal_step = true;
    }
    let hit = |key| ui.input_mut(|i| i.consume_key(Modifiers::NONE, key));
    if focused.is_none() && hit(Key::Enter) {
        follow_call(data, window);
    }
    if hit(Key::Escape) || hit(Key::Q) {
        if window.trace.call.is_some() || window.trace.account.is_some() {
            window.trace.call = None;
            window.trace.account = None;
        } else if window.trace.selected.is_some() {
            window.trace.selected = None;
        } else {
            window.trace.filter.clear();
        }
    }
    if hit(Key::P) {
        toggle_pause(data, window);
    }
    if hit(Key::Slash) || hit(Key::F3) || hit(Key::F) {
        window.focus = Some(FocusWish::Filter);
        // The key itself is not meant for the field.
        ui.input_mut(|i| i.events.retain(|e| !matches!(e, egui::Event::Text(_))));
    }
    if hit(Key::T) || hit(Key::R) {
        window.trace.message_hidden = !window.trace.message_hidden;
    }
}

/// Lists only the call of the selected record.
pub(super) fn follow_call(data: &Data, window: &mut Window) {
    let summary = window.trace.selected.and_then(|n| data.trace.summary(n));
    if let Some(call_id) = summary.and_then(|s| s.call_id.as_deref()) {
        window.trace.call = Some(call_id.to_owned());
    }
}
