//! What the keys do.

use egui::Ui;
use model::{Command, Preferences};

use super::{Kit, call_card, dial};
use crate::shortcuts::{self, Deed};
use crate::strings;
use crate::view_state::{Data, is_ringing_here};
use crate::window::{FocusWish, Screen, Window};

/// Acts on the keys that were pressed.
pub(crate) fn act(ui: &Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let ctx = ui.ctx();
    if window.question.is_some() {
        return;
    }
    for deed in shortcuts::pressed(ctx) {
        act_on(deed, kit, data, window);
    }
    if let Some(index) = shortcuts::tenant(ctx) {
        if index == 0 {
            window.choose_tenant(data, None);
        } else if let Some(tenant) = data.tenants.get(index - 1) {
            window.choose_tenant(data, Some(tenant.id.clone()));
        }
    }
    if let Some(call) = shortcuts::call(ctx).and_then(|index| data.calls.get(index)) {
        window.call = Some(call.id);
        window.screen = Screen::Phone;
    }
    let nothing_focused = ctx.memory(|m| m.focused().is_none());
    if window.screen == Screen::Phone && nothing_focused && !window.sheet {
        let call = window.current_call(data).and_then(|id| data.call(id));
        dial::typed(ui, kit, call, window);
        let enter = ui.input(|i| i.key_pressed(egui::Key::Enter));
        if enter && !window.dial.trim().is_empty() {
            dial::place_call(kit, data, window, model::MediaDirection::Both);
        }
    }
}

/// A sound file that is dropped on the window is played into the call that is shown.
pub(crate) fn take_what_is_dropped(ui: &Ui, kit: &mut Kit<'_>, data: &Data, window: &Window) {
    let file = ui.input(|i| i.raw.dropped_files.first().map(|f| f.path().to_owned()));
    let current = window.current_call(data).and_then(|id| data.call(id));
    if let (Some(file), Some(call)) = (file, current.filter(|call| call.state.is_up())) {
        kit.send(Command::PlayFile {
            call: call.id,
            file: Some(file.display().to_string()),
        });
    }
}

fn act_on(deed: Deed, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let current = window.current_call(data).and_then(|id| data.call(id));
    let ringing = data.calls.iter().find(|c| is_ringing_here(c));
    let up = current.filter(|c| c.state.is_up());
    let mut show = |screen| {
        window.screen = screen;
        window.sheet = false;
    };
    match deed {
        Deed::FocusNumber => {
            show(Screen::Phone);
            window.focus = Some(FocusWish::Number);
        }
        Deed::Answer => {
            if let Some(call) = ringing {
                window.call = Some(call.id);
                kit.send(Command::AnswerCall { call: call.id });
            }
        }
        Deed::Reject => {
            if let Some(call) = ringing {
                kit.send(Command::RejectCall {
                    call: call.id,
                    code: None,
                });
            }
        }
        // A call that rings here is rejected with a key of its own, so that hanging up one call at the
        // moment when another comes in never rejects the new one.
        Deed::HangUp => {
            if let Some(call) = current.filter(|c| c.state.is_live() && !is_ringing_here(c)) {
                kit.send(Command::EndCall { call: call.id });
            }
        }
        Deed::Mute => {
            if let Some(call) = up {
                kit.send(Command::MuteCall {
                    call: call.id,
                    muted: !call.muted,
                });
            }
        }
        Deed::Hold => {
            if let Some(call) = up {
                kit.send(call_card::hold_command(call));
            }
        }
        Deed::Keypad => window.keypad = !window.keypad,
        Deed::Transfer => {
            if let Some(call) = up.filter(|c| call_card::transfer::is_possible(c)) {
                window.screen = Screen::Phone;
                call_card::transfer::toggle(window, call);
            }
        }
        Deed::Join => {
            if let Some(call) = up {
                window.screen = Screen::Phone;
                call_card::together::join(kit, data, window, call);
            }
        }
        Deed::Find => window.focus = Some(FocusWish::Filter),
        Deed::Redial => {
            show(Screen::Phone);
            dial::recall(data, window);
            window.focus = Some(FocusWish::Number);
        }
        Deed::CallOneWay => {
            show(Screen::Phone);
            // In a small window the pad stands where the number field is, and so where it is asked.
            window.keypad = false;
            window.asks_direction = window.dial_account.is_some();
        }
        Deed::Phone => show(Screen::Phone),
        Deed::History => show(Screen::History),
        Deed::Messages => show(Screen::Messages),
        Deed::Trace => show(Screen::Trace),
        Deed::Accounts => show(Screen::Accounts),
        Deed::Settings => show(Screen::Settings),
        Deed::Larger => step_text(kit, &data.preferences, 1),
        Deed::Smaller => step_text(kit, &data.preferences, -1),
        Deed::Normal => kit.send(Command::SetPreferences {
            preferences: Preferences {
                text_scale: 1.0,
                ..data.preferences
            },
        }),
        Deed::Sheet => window.sheet = !window.sheet,
    }
}

fn step_text(kit: &mut Kit<'_>, preferences: &Preferences, by: isize) {
    let sizes = strings::TEXT_SIZES;
    let at = sizes
        .iter()
        .position(|(_, size)| *size >= preferences.text_scale - 0.01)
        .unwrap_or(sizes.len() - 1);
    let next = at.saturating_add_signed(by).min(sizes.len() - 1);
    if let Some((_, text_scale)) = sizes.get(next)
        && next != at
    {
        kit.send(Command::SetPreferences {
            preferences: Preferences {
                text_scale: *text_scale,
                ..*preferences
            },
        });
    }
}
