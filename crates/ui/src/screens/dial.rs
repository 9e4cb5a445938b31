//! The number field with its account, and the pad of keys.

use egui::{
    Align, Key, Modifiers, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2,
};
use model::{CallView, Command, DoNotDisturb, MediaDirection};

use super::call_card::direction;
use super::{Bar, Kit, Room, account_list, accounts};
use crate::view_state::{Data, is_failing};
use crate::widgets::{Button, Field, Kind, icon_in, text_in};
use crate::window::{FocusWish, Screen, Window};
use crate::{icons, shortcuts, strings};

/// The number field.
pub(crate) fn number_id() -> egui::Id {
    egui::Id::unique("number field")
}

/// Account, number and the button that calls; in a narrow window the account stands above the number.
pub(crate) fn bar(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let height = t.px(40.0);
    let mut line = Bar::new(ui, height, 8.0);
    if kit.room == Room::Compact {
        let bell = line.right(height);
        let whole = line.rest();
        account_list::chooser(ui, whole, kit, data, window);
        quiet(ui, bell, kit, data, window);
        line = Bar::new(ui, height, 8.0);
    } else {
        let place = line.left(t.px(232.0));
        account_list::chooser(ui, place, kit, data, window);
        let bell = line.left(height);
        quiet(ui, bell, kit, data, window);
    }
    let button = Button::new(Kind::Primary, strings::CALL)
        .icon(icons::PHONE)
        .filled()
        .height(40.0)
        .enabled(window.dial_account.is_some())
        .tip(call_tip(ui));
    let button = if kit.room == Room::Compact {
        Button::icon_only(Kind::Primary, icons::PHONE, strings::CALL)
            .filled()
            .height(40.0)
            .enabled(window.dial_account.is_some())
    } else {
        let width = t.px(96.0);
        button.width(width)
    };
    let width = button.measure(ui, &t);
    let place = line.right(width);
    let field = Field::new(&mut window.dial, strings::NUMBER)
        .id(number_id())
        .hint(strings::NUMBER_HINT)
        .large()
        .show_in(ui, &t, line.rest());
    if window.focus == Some(FocusWish::Number) {
        window.focus = None;
        field.request_focus();
    }
    let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
    let pressed = button.show_in(ui, &t, place);
    let asked = std::mem::take(&mut window.asks_direction);
    let way = direction::menu(&pressed, &t, asked);
    if entered || pressed.clicked() || way.is_some() {
        let recalls = window.dial.trim().is_empty();
        place_call(kit, data, window, way.unwrap_or_default());
        // Once it calls, the keyboard is free: digits typed next are tones for the call.
        if entered && recalls {
            field.request_focus();
        }
    }
}

/// How to call, and how to call with sound one way.
fn call_tip(ui: &Ui) -> String {
    let one_way = tip(ui, strings::CALL_ONE_WAY, shortcuts::Deed::CallOneWay);
    format!("{}  Enter\n{one_way}", strings::CALL)
}

/// The bell of the chosen account: whether its calls ring.
fn quiet(ui: &mut Ui, place: Rect, kit: &mut Kit<'_>, data: &Data, window: &Window) {
    let t = kit.t.clone();
    let Some(account) = window.dial_account.as_ref().and_then(|id| data.account(id)) else {
        return;
    };
    let on = account.settings.calls.do_not_disturb != DoNotDisturb::Off;
    let (icon, tip) = if on {
        (icons::BELL_SLASH, strings::DO_NOT_DISTURB_ON)
    } else {
        (icons::BELL, strings::DO_NOT_DISTURB_OFF)
    };
    let bell = Button::icon_only(Kind::Quiet, icon, strings::DO_NOT_DISTURB)
        .height(40.0)
        .on(on)
        .tip(tip);
    if bell.show_in(ui, &t, place).clicked() {
        let next = if on {
            DoNotDisturb::Off
        } else {
            DoNotDisturb::Busy
        };
        kit.send(accounts::change(account, |c| c.do_not_disturb = next));
    }
}

/// What is missing for a call, in a sentence: an account, its registration, or something to speak into.
pub(crate) fn missing(data: &Data, window: &Window) -> Option<String> {
    let Some(account) = window.dial_account.as_ref().and_then(|id| data.account(id)) else {
        return Some(strings::MISSING_ACCOUNT.to_owned());
    };
    if account.settings.register && is_failing(account.state) {
        let (title, state) = (account.title(), strings::registration(account.state));
        return Some(strings::missing_registration(title, state));
    }
    let devices = &data.devices;
    devices.warning.as_ref()?;
    match (devices.capture.is_empty(), devices.playout.is_empty()) {
        (true, true) => Some(strings::MISSING_SOUND.to_owned()),
        (true, false) => Some(strings::MISSING_MICROPHONE.to_owned()),
        (false, true) => Some(strings::MISSING_SPEAKER.to_owned()),
        (false, false) => None,
    }
}

/// Says what is missing, where something is.
pub(crate) fn missing_line(
    ui: &mut Ui,
    rect: Rect,
    kit: &Kit<'_>,
    data: &Data,
    window: &mut Window,
) {
    let Some(words) = missing(data, window) else {
        return;
    };
    let t = &kit.t;
    let mut bar = Bar::over(rect, 6.0);
    let place = bar.left(t.px(14.0));
    icon_in(
        ui.painter(),
        place,
        icons::WARNING,
        t.icon_fill(14.0),
        t.warn,
    );
    let place = bar.rest();
    let cut = text_in(ui.painter(), place, &words, t.small(), t.text, Align::Min);
    let response = ui.interact(rect, ui.scope_id().with("missing"), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &words));
    if response.clicked() {
        window.account.clone_from(&window.dial_account);
        window.form = None;
        window.screen = match window.dial_account.as_ref().and_then(|id| data.account(id)) {
            Some(account) if !is_failing(account.state) => Screen::Settings,
            _ => Screen::Accounts,
        };
    }
    if cut {
        response.on_hover_text(words);
    }
}

/// Calls what stands in the field. When nothing does, the last number comes back into it; a second press
/// calls it.
pub(crate) fn place_call(
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    direction: MediaDirection,
) {
    let target = window.dial.trim().to_owned();
    if target.is_empty() {
        recall(data, window);
        return;
    }
    if place_with(kit, window, &target, direction) {
        window.dial.clear();
    }
}

/// Calls somebody with the chosen account; answers whether there is one.
pub(crate) fn place(kit: &mut Kit<'_>, window: &Window, target: &str) -> bool {
    place_with(kit, window, target, MediaDirection::Both)
}

fn place_with(kit: &mut Kit<'_>, window: &Window, target: &str, direction: MediaDirection) -> bool {
    let Some(account) = window.dial_account.clone() else {
        return false;
    };
    kit.send(Command::PlaceCall {
        account,
        target: target.into(),
        headers: Vec::new(),
        direction,
    });
    true
}

/// Puts the last number that was called into the field.
pub(crate) fn recall(data: &Data, window: &mut Window) {
    let last = data
        .history
        .iter()
        .find(|h| h.direction == model::Direction::Outgoing);
    if let Some(last) = last {
        window.dial = short_target(last.remote.uri.reveal()).to_owned();
        if data.account(&last.account).is_some() {
            window.dial_account = Some(last.account.clone());
        }
    }
}

/// An address without its scheme where that changes nothing.
pub(crate) fn short_target(uri: &str) -> &str {
    uri.strip_prefix("sip:")
        .or_else(|| uri.strip_prefix("tel:"))
        .unwrap_or(uri)
}

const KEYS: [[(char, &str); 3]; 4] = [
    [('1', ""), ('2', "ABC"), ('3', "DEF")],
    [('4', "GHI"), ('5', "JKL"), ('6', "MNO")],
    [('7', "PQRS"), ('8', "TUV"), ('9', "WXYZ")],
    [('*', ""), ('0', "+"), ('#', "")],
];

/// The pad: tones for the current call when one is up, else the keys of the number field.
pub(crate) fn pad(
    ui: &mut Ui,
    rect: Rect,
    kit: &mut Kit<'_>,
    call: Option<&CallView>,
    window: &mut Window,
) {
    let t = kit.t.clone();
    let gap = 8.0;
    let width = ((rect.width() - 2.0 * gap) / 3.0).floor();
    let height = ((rect.height() - 3.0 * gap) / 4.0).floor();
    for (row, keys) in KEYS.iter().enumerate() {
        for (column, (digit, letters)) in keys.iter().enumerate() {
            let place = Rect::from_min_size(
                pos2(
                    rect.left() + column as f32 * (width + gap),
                    rect.top() + row as f32 * (height + gap),
                ),
                Vec2::new(width, height),
            );
            if key(ui, &t, place, *digit, letters) {
                press(kit, call, window, *digit);
            }
        }
    }
}

/// What a pressed digit does.
pub(crate) fn press(kit: &mut Kit<'_>, call: Option<&CallView>, window: &mut Window, digit: char) {
    match call.filter(|c| c.state.is_up()) {
        Some(call) => kit.send(Command::SendDtmf {
            call: call.id,
            digits: digit.to_string().into(),
        }),
        None => window.dial.push(digit),
    }
}

fn key(ui: &mut Ui, t: &crate::theme::Theme, rect: Rect, digit: char, letters: &str) -> bool {
    let response = ui.interact(rect, ui.scope_id().with(("key", digit)), Sense::click());
    let fill = if response.is_pointer_button_down_on() {
        t.selected
    } else if response.hovered() {
        t.hover
    } else {
        t.raised
    };
    let painter = ui.painter();
    painter.rect_filled(rect, 8.0, fill);
    if t.outlined {
        painter.rect_stroke(rect, 8.0, Stroke::new(1.0, t.outline), StrokeKind::Inside);
    }
    if response.has_focus() {
        painter.rect_stroke(rect, 8.0, t.focus(), StrokeKind::Outside);
    }
    let (upper, lower) = (t.px(22.0), t.px(13.0));
    let digits = digit.to_string();
    let show_letters = rect.height() >= upper + lower + 4.0;
    let block = if show_letters { upper + lower } else { upper };
    let top = (rect.center().y - block / 2.0).round();
    let line = |top: f32, height: f32| {
        Rect::from_min_size(pos2(rect.left(), top), Vec2::new(rect.width(), height))
    };
    text_in(
        painter,
        line(top, upper),
        &digits,
        t.large(),
        t.text,
        Align::Center,
    );
    if show_letters {
        let place = line(top + upper, lower);
        text_in(painter, place, letters, t.small(), t.faint, Align::Center);
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &digits));
    response.clicked()
}

/// Digits that are typed while no field has the keyboard: tones when a call is up, else the number.
pub(crate) fn typed(ui: &Ui, kit: &mut Kit<'_>, call: Option<&CallView>, window: &mut Window) {
    let typed: Vec<char> = ui.input(|i| {
        i.events
            .iter()
            .filter_map(|e| match e {
                egui::Event::Text(text) => Some(text.chars()),
                _ => None,
            })
            .flatten()
            .filter(|c| c.is_ascii_digit() || matches!(c, '*' | '#' | '+'))
            .collect()
    });
    for digit in typed {
        if digit != '+' || call.is_none() {
            press(kit, call, window, digit);
        }
    }
    let erase = ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Backspace));
    if erase && call.is_none() {
        window.dial.pop();
    }
}

/// The key that erases, for the pad's heading.
pub(crate) fn erase_button<'a>() -> Button<'a> {
    Button::icon_only(Kind::Ghost, icons::BACKSPACE, strings::ERASE).height(24.0)
}

/// The tooltip of a control with its key.
pub(crate) fn tip(ui: &Ui, words: &str, deed: shortcuts::Deed) -> String {
    format!("{words}  {}", shortcuts::written(ui.ctx(), deed))
}
