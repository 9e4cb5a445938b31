//! A call in one line: one that is not the current one, and the current one above other screens.

use egui::{Align, Rect, Role, Sense, Ui, Vec2, WidgetInfo};
use model::{CallState, CallView, Command};

use super::super::dial::tip;
use super::super::{Bar, Kit, Room, account_list, part, snap};
use super::acts::hold_command;
use super::{clock, look, state_words, under_title};
use crate::shortcuts::Deed;
use crate::view_state::{Data, is_ringing_here};
use crate::widgets::{Button, Kind, icon_in, tenant_mark, text_in};
use crate::window::{Screen, Window};
use crate::{icons, strings};

/// One line for a call that is not the current one.
pub(crate) fn line(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    call: &CallView,
) {
    let t = kit.t.clone();
    let (rect, response) =
        ui.allocate_exact_size(Vec2::new(ui.available_width(), t.px(52.0)), Sense::click());
    // A place of its own, which takes no more room than the line.
    let mut place = part(ui, rect.expand(2.0), ("line", call.id));
    let ground = if is_ringing_here(call) {
        t.live_ground
    } else if response.hovered() {
        t.hover
    } else {
        t.raised
    };
    place.painter().rect_filled(rect, 8.0, ground);
    if response.has_focus() {
        place
            .painter()
            .rect_stroke(rect, 8.0, t.focus(), egui::StrokeKind::Inside);
    }
    let edge = rect.shrink2(Vec2::new(0.0, 10.0));
    let colour = data.tenant_colour(&call.tenant);
    tenant_mark(place.painter(), &t, edge, colour);
    inside(&mut place, rect, kit, data, window, call);
    let (state, under) = (state_words(call), under_title(data, call));
    let spoken = format!("{}, {state}, {under}", call.remote.title());
    response.widget_info(|| WidgetInfo::labeled(Role::ListItem, true, &spoken));
    if response.clicked() {
        window.call = Some(call.id);
    }
}

/// The current call above a screen that is not the phone.
pub(crate) fn strip(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let ringing = data.calls.iter().find(|c| is_ringing_here(c));
    let current = window.current_call(data).and_then(|id| data.call(id));
    let Some(call) = ringing.or(current) else {
        return;
    };
    ui.painter().rect_filled(rect, 0.0, t.live_ground);
    ui.painter().hline(
        rect.x_range(),
        rect.bottom() - 0.5,
        egui::Stroke::new(1.0, t.line),
    );
    let response = ui.interact(rect, ui.scope_id().with("strip"), Sense::click());
    let edge = Rect::from_min_size(rect.min, Vec2::new(3.0, rect.height()));
    tenant_mark(ui.painter(), &t, edge, data.tenant_colour(&call.tenant));
    inside(ui, rect, kit, data, window, call);
    let spoken = format!("{}, {}", call.remote.title(), state_words(call));
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
    if response.clicked() {
        window.call = Some(call.id);
        window.screen = Screen::Phone;
    }
}

fn inside(
    ui: &mut Ui,
    rect: Rect,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    call: &CallView,
) {
    let t = kit.t.clone();
    let mut bar = Bar::over(snap(rect.shrink2(Vec2::new(14.0, 0.0))), 8.0);
    let disc = bar.left(t.px(28.0));
    let (fill, ink, icon) = look(kit, call);
    ui.painter().circle_filled(disc.center(), t.px(14.0), fill);
    icon_in(ui.painter(), disc, icon, t.icon_fill(15.0), ink);
    bar.left(0.0);

    if call.state == CallState::Ended {
        let dismiss = Button::icon_only(Kind::Ghost, icons::X, strings::DISMISS);
        if bar.button_right(ui, &t, dismiss).clicked() {
            kit.send(Command::DismissCall { call: call.id });
        }
    } else if is_ringing_here(call) {
        let reject = Button::icon_only(Kind::Danger, icons::PHONE_DISCONNECT, strings::REJECT)
            .filled()
            .height(32.0)
            .tip(tip(ui, strings::REJECT, Deed::Reject));
        let answer = Button::new(Kind::Answer, strings::ANSWER)
            .icon(icons::PHONE)
            .filled()
            .height(32.0)
            .tip(tip(ui, strings::ANSWER, Deed::Answer));
        if bar.button_right(ui, &t, reject).clicked() {
            kit.send(Command::RejectCall {
                call: call.id,
                code: None,
            });
        }
        bar.right(0.0);
        if bar.button_right(ui, &t, answer).clicked() {
            kit.send(Command::AnswerCall { call: call.id });
            window.call = Some(call.id);
        }
    } else {
        let end = Button::icon_only(Kind::Danger, icons::PHONE_DISCONNECT, strings::HANG_UP)
            .filled()
            .height(32.0);
        if bar.button_right(ui, &t, end).clicked() {
            kit.send(Command::EndCall { call: call.id });
        }
        bar.right(0.0);
        if call.state.is_up() {
            let (words, icon) = if call.held_by_us {
                (strings::RESUME, icons::PLAY)
            } else {
                (strings::HOLD, icons::PAUSE)
            };
            let hold = Button::icon_only(Kind::Quiet, icon, words).height(32.0);
            if bar.button_right(ui, &t, hold).clicked() {
                kit.send(hold_command(call));
            }
            let (words, icon) = if call.muted {
                (strings::UNMUTE, icons::MICROPHONE_SLASH)
            } else {
                (strings::MUTE, icons::MICROPHONE)
            };
            let mute = Button::icon_only(Kind::Quiet, icon, words)
                .height(32.0)
                .on(call.muted);
            if call.conference.is_some() && kit.room != Room::Compact {
                let out =
                    Button::icon_only(Kind::Quiet, icons::ARROW_BEND_UP_RIGHT, strings::TAKE_OUT)
                        .height(32.0)
                        .tip(strings::TAKE_OUT_TIP);
                if bar.button_right(ui, &t, out).clicked() {
                    kit.send(Command::LeaveConference { call: call.id });
                }
            }
            // In a narrow window the name needs the room more.
            if kit.room != Room::Compact && bar.button_right(ui, &t, mute).clicked() {
                kit.send(Command::MuteCall {
                    call: call.id,
                    muted: !call.muted,
                });
            }
        }
    }
    if let Some(clock) = clock(kit, call) {
        let place = bar.right(t.px(52.0));
        text_in(ui.painter(), place, &clock, t.body(), t.text, Align::Max);
    }
    let (top, bottom) = account_list::two_lines(bar.rest(), &t);
    text_in(
        ui.painter(),
        top,
        call.remote.title(),
        t.strong(),
        t.text,
        Align::Min,
    );
    let words = format!("{}  ·  {}", state_words(call), under_title(data, call));
    text_in(ui.painter(), bottom, &words, t.small(), t.muted, Align::Min);
}
