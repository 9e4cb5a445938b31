//! What can be done with a call: the buttons of the card.

use egui::Ui;
use model::{CallState, CallView, Command};

use super::super::dial::tip;
use super::super::{Bar, Kit, Room};
use super::{direction, together, transfer};
use crate::shortcuts::Deed;
use crate::view_state::Data;
use crate::widgets::{Button, Kind};
use crate::window::{FocusWish, Screen, Window};
use crate::{icons, strings};

pub(super) fn ringing(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, call: &CallView) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(36.0), 8.0);
    let half = ((bar.rest().width() - 8.0) / 2.0).floor().min(t.px(168.0));
    let answer = Button::new(Kind::Answer, strings::ANSWER)
        .icon(icons::PHONE)
        .filled()
        .height(36.0)
        .width(half)
        .tip(tip(ui, strings::ANSWER, Deed::Answer));
    let pressed = bar.button_left(ui, &t, answer);
    let way = direction::menu(&pressed, &t, false);
    if let Some(direction) = way {
        kit.send(Command::SetDirection {
            call: call.id,
            direction,
        });
    }
    if pressed.clicked() || way.is_some() {
        kit.send(Command::AnswerCall { call: call.id });
        window.call = Some(call.id);
    }
    let reject = Button::new(Kind::Danger, strings::REJECT)
        .icon(icons::PHONE_DISCONNECT)
        .filled()
        .height(36.0)
        .width(half.min(t.px(112.0)))
        .tip(tip(ui, strings::REJECT, Deed::Reject));
    if bar.button_right(ui, &t, reject).clicked() {
        kit.send(Command::RejectCall {
            call: call.id,
            code: None,
        });
    }
}

/// The buttons of a call that is under way. Where they do not all fit with their words, those at the end lose
/// theirs first: hanging up keeps its own.
pub(super) fn live(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    call: &CallView,
) {
    let t = kit.t.clone();
    let compact = kit.room == Room::Compact;
    let height = if compact { 36.0 } else { 32.0 };
    let mut bar = Bar::new(ui, t.px(height), 8.0);
    let up = call.state.is_up();
    let words = if up || call.state == CallState::Ending {
        strings::HANG_UP
    } else {
        strings::CANCEL_CALL
    };
    let end = Button::new(Kind::Danger, words)
        .icon(icons::PHONE_DISCONNECT)
        .filled()
        .height(height)
        .enabled(call.state != CallState::Ending)
        .tip(tip(ui, words, Deed::HangUp));

    let mut acts = Vec::new();
    if up {
        acts.push(match call.held_by_us {
            true => (Act::Hold, strings::RESUME, icons::PLAY, true),
            false => (Act::Hold, strings::HOLD, icons::PAUSE, false),
        });
        acts.push(match call.muted {
            true => (Act::Mute, strings::UNMUTE, icons::MICROPHONE_SLASH, true),
            false => (Act::Mute, strings::MUTE, icons::MICROPHONE, false),
        });
        if kit.room < Room::Wide {
            acts.push((
                Act::Keypad,
                strings::KEYPAD,
                icons::DOTS_NINE,
                window.keypad,
            ));
        }
        let open = window.transfer.as_ref().is_some_and(|f| f.call == call.id);
        acts.push((
            Act::Transfer,
            strings::TRANSFER,
            icons::PHONE_TRANSFER,
            open,
        ));
        if !together::candidates(data, call).is_empty() {
            let open = window.joining.is_some_and(|j| j.call == call.id);
            acts.push((Act::Join, strings::JOIN, icons::ARROWS_MERGE, open));
        }
        acts.push(match call.details.recording {
            Some(_) => (Act::Record, strings::STOP_RECORDING, icons::RECORD, true),
            None => (Act::Record, strings::RECORD_CALL, icons::RECORD, false),
        });
        if call.details.playing.is_some() {
            acts.push((Act::Play, strings::STOP_PLAYING, icons::X, true));
        }
    }
    acts.push((
        Act::Ladder,
        strings::LADDER,
        icons::ARROWS_LEFT_RIGHT,
        false,
    ));

    // In a narrow window the words of the last button go when the others would not fit beside them.
    let square = t.px(height) + 8.0;
    let end = if compact && end.measure(ui, &t) + acts.len() as f32 * square > bar.rest().width() {
        Button::icon_only(Kind::Danger, icons::PHONE_DISCONNECT, words)
            .filled()
            .height(height)
            .width(t.px(48.0))
            .enabled(call.state != CallState::Ending)
            .tip(tip(ui, words, Deed::HangUp))
    } else {
        end
    };
    let end_place = bar.right(end.measure(ui, &t));

    let with_words = |icon, words| Button::new(Kind::Quiet, words).icon(icon).height(height);
    let bare = |icon, words| Button::icon_only(Kind::Quiet, icon, words).height(height);
    let mut wordy = if compact { 0 } else { acts.len() };
    let width = |ui: &Ui, wordy: usize| -> f32 {
        let each = acts.iter().enumerate().map(|(index, (_, words, icon, _))| {
            let button = if index < wordy {
                with_words(icon, words)
            } else {
                bare(icon, words)
            };
            button.measure(ui, &t) + 8.0
        });
        each.sum()
    };
    while wordy > 0 && width(ui, wordy) > bar.rest().width() {
        wordy -= 1;
    }
    // They stand closer before the last of them goes to a line of its own.
    let gap = if width(ui, wordy) - 8.0 > bar.rest().width() {
        4.0
    } else {
        8.0
    };
    bar = Bar::over(bar.rest(), gap);
    for (index, (act, words, icon, on)) in acts.into_iter().enumerate() {
        let button = if index < wordy {
            with_words(icon, words)
        } else {
            bare(icon, words)
        };
        let button = match act.deed() {
            Some(deed) => button.tip(tip(ui, words, deed)),
            None if act == Act::Record => button.tip(strings::RECORD_TIP),
            None if act == Act::Play => {
                button.tip(call.details.playing.as_deref().unwrap_or_default())
            }
            None => button.tip(strings::SHOW_LADDER),
        };
        if button.measure(ui, &t) > bar.rest().width() {
            ui.add_space(gap);
            bar = Bar::new(ui, t.px(height), gap);
        }
        let possible = act != Act::Transfer || transfer::is_possible(call);
        if !bar
            .button_left(ui, &t, button.on(on).enabled(possible))
            .clicked()
        {
            continue;
        }
        match act {
            Act::Hold => kit.send(hold_command(call)),
            Act::Mute => kit.send(Command::MuteCall {
                call: call.id,
                muted: !call.muted,
            }),
            Act::Record => kit.send(Command::RecordCall {
                call: call.id,
                on: call.details.recording.is_none(),
            }),
            Act::Play => kit.send(Command::PlayFile {
                call: call.id,
                file: None,
            }),
            Act::Keypad => window.keypad = !window.keypad,
            Act::Transfer => transfer::toggle(window, call),
            Act::Join => together::join(kit, data, window, call),
            Act::Ladder => open_ladder(window, &call.sip_call_id),
        }
    }
    if end.show_in(ui, &t, end_place).clicked() {
        kit.send(Command::EndCall { call: call.id });
    }
}

/// What a button of a call that is under way does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Hold,
    Mute,
    Keypad,
    Transfer,
    Join,
    Record,
    Play,
    Ladder,
}

impl Act {
    fn deed(self) -> Option<Deed> {
        match self {
            Self::Hold => Some(Deed::Hold),
            Self::Mute => Some(Deed::Mute),
            Self::Keypad => Some(Deed::Keypad),
            Self::Transfer => Some(Deed::Transfer),
            Self::Join => Some(Deed::Join),
            Self::Record | Self::Play | Self::Ladder => None,
        }
    }
}

pub(super) fn after(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    call: &CallView,
) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    let again = Button::new(Kind::Quiet, strings::CALL_AGAIN).icon(icons::PHONE);
    if bar.button_left(ui, &t, again).clicked() && data.account(&call.account).is_some() {
        kit.send(Command::PlaceCall {
            account: call.account.clone(),
            target: call.remote.uri.clone(),
            headers: Vec::new(),
            direction: model::MediaDirection::Both,
        });
        kit.send(Command::DismissCall { call: call.id });
    }
    let ladder = Button::new(Kind::Quiet, strings::LADDER)
        .icon(icons::ARROWS_LEFT_RIGHT)
        .tip(strings::SHOW_LADDER);
    if bar.button_left(ui, &t, ladder).clicked() {
        open_ladder(window, &call.sip_call_id);
    }
    if let Some(failure) = &call.failure {
        let copy = Button::icon_only(Kind::Quiet, icons::COPY, strings::COPY_FAILURE);
        if bar.button_left(ui, &t, copy).clicked() {
            ui.ctx().copy_text(failure.sentence().into_revealed());
        }
    }
    let dismiss = Button::new(Kind::Ghost, strings::DISMISS);
    if bar.button_right(ui, &t, dismiss).clicked() {
        kit.send(Command::DismissCall { call: call.id });
        window.focus = Some(FocusWish::Number);
    }
}

/// Holds a call or takes it off hold.
pub(crate) fn hold_command(call: &CallView) -> Command {
    if call.held_by_us {
        Command::ResumeCall { call: call.id }
    } else {
        Command::HoldCall { call: call.id }
    }
}

/// Shows the trace of one dialog.
pub(crate) fn open_ladder(window: &mut Window, sip_call_id: &str) {
    window.trace.look_at_call(sip_call_id);
    window.screen = Screen::Trace;
}
