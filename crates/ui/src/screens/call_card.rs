//! Calls: the large card of the current one, the line of each other, and the strip above other screens.

use egui::{Align, Color32, Frame, Margin, Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2};
use model::{CallId, CallState, CallView, Command, Direction};

use super::dial::tip;
use super::{Bar, Kit, Room, snap};
use crate::format;
use crate::shortcuts::Deed;
use crate::view_state::{Data, is_ringing_here};
use crate::widgets::{
    Button, Kind, galley, icon_in, meter, paragraph, signal, tenant_mark, text_in,
};
use crate::window::{FocusWish, Screen, Window};
use crate::{icons, strings};

/// The large card.
pub(crate) fn card(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    data: &Data,
    window: &mut Window,
    call: &CallView,
) {
    let t = kit.t.clone();
    let over = call.state == CallState::Ended;
    let ground = match (over, call.failure.is_some()) {
        (false, _) => t.live_ground,
        (true, true) => t.bad_ground,
        (true, false) => t.raised,
    };
    let frame = Frame::NONE
        .fill(ground)
        .corner_radius(10)
        .inner_margin(Margin::symmetric(16, 14))
        .show(ui, |ui| {
            ui.push_id(("card", call.id), |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                head(ui, kit, data, call);
                if call.state.is_up() {
                    ui.add_space(12.0);
                    figures(ui, kit, call);
                }
                if !call.dtmf_sent.is_empty() || !call.dtmf_received.is_empty() {
                    ui.add_space(8.0);
                    tones(ui, kit, call);
                }
                if over && let Some(failure) = &call.failure {
                    ui.add_space(12.0);
                    paragraph(ui, &failure.explanation(), t.body(), t.text);
                    if !failure.next_step().is_empty() {
                        ui.add_space(4.0);
                        paragraph(ui, failure.next_step(), t.body(), t.muted);
                    }
                }
                ui.add_space(14.0);
                if over {
                    after(ui, kit, data, window, call);
                } else if is_ringing_here(call) {
                    ringing(ui, kit, window, call);
                } else {
                    live(ui, kit, window, call);
                }
            });
        });
    let edge = frame.response.rect.shrink2(Vec2::new(0.0, 12.0));
    tenant_mark(ui.painter(), &t, edge, data.tenant_colour(&call.tenant));
}

/// The colour and icon of what a call is doing.
fn look(kit: &Kit<'_>, call: &CallView) -> (Color32, Color32, &'static str) {
    let t = &kit.t;
    match call.state {
        CallState::Ended if call.failure.is_some() => (t.bad_fill, t.on_bad, icons::PHONE_X),
        CallState::Ended => (t.selected, t.muted, icons::PHONE_DISCONNECT),
        CallState::Ending => (t.selected, t.muted, icons::PHONE_DISCONNECT),
        CallState::Held => (t.selected, t.warn, icons::PAUSE),
        _ if is_ringing_here(call) => (t.good_fill, t.on_good, icons::PHONE_INCOMING),
        CallState::Connected => (t.good_fill, t.on_good, icons::PHONE_CALL),
        _ => (t.selected, t.accent, icons::PHONE_OUTGOING),
    }
}

/// What stands at the right of a call: how long, and what it is doing.
fn clock(kit: &Kit<'_>, call: &CallView) -> Option<String> {
    let connected = call.connected_at?;
    let until = call.ended_at.unwrap_or(kit.live.now);
    Some(format::talk(until.since(connected)))
}

fn state_ink(kit: &Kit<'_>, call: &CallView) -> Color32 {
    let t = &kit.t;
    match call.state {
        CallState::Connected => t.good,
        CallState::Held => t.warn,
        CallState::Ended if call.failure.is_some() => t.bad,
        CallState::Ended | CallState::Ending => t.muted,
        _ if is_ringing_here(call) => t.good,
        _ => t.accent,
    }
}

fn state_words(call: &CallView) -> String {
    match (&call.state, &call.failure) {
        (CallState::Ended, Some(failure)) => failure.title(),
        _ => strings::call_state(call).to_owned(),
    }
}

fn head(ui: &mut Ui, kit: &Kit<'_>, data: &Data, call: &CallView) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(44.0), 12.0);
    let disc = bar.left(t.px(40.0));
    let (fill, ink, icon) = look(kit, call);
    ui.painter().circle_filled(disc.center(), t.px(20.0), fill);
    icon_in(ui.painter(), disc, icon, t.icon_fill(20.0), ink);

    let words = state_words(call);
    let clock = clock(kit, call);
    let state_font = if clock.is_some() {
        t.small()
    } else {
        t.strong()
    };
    let state = galley(ui.painter(), &words, state_font, t.muted, t.px(180.0));
    let time = clock
        .as_ref()
        .map(|c| galley(ui.painter(), c, t.large(), t.text, t.px(180.0)));
    let width = state
        .size()
        .x
        .max(time.as_ref().map_or(0.0, |g| g.size().x))
        .ceil();
    let right = bar.right(width);
    let (top, bottom) = title_lines(right, &t);
    if let Some(clock) = &clock {
        text_in(ui.painter(), top, clock, t.large(), t.text, Align::Max);
        text_in(
            ui.painter(),
            bottom,
            &words,
            t.small(),
            state_ink(kit, call),
            Align::Max,
        );
    } else {
        text_in(
            ui.painter(),
            top,
            &words,
            t.strong(),
            state_ink(kit, call),
            Align::Max,
        );
    }
    let response = ui.interact(right, ui.scope_id().with("state"), Sense::hover());
    // Without the clock, or it would be said anew each second.
    let spoken = format!("{}, {words}", call.remote.title());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, &spoken));
    announce(ui, response.id, is_ringing_here(call));

    let place = bar.rest();
    let (top, bottom) = title_lines(place, &t);
    let title = call.remote.title();
    let mut cut = text_in(
        ui.painter(),
        top,
        title,
        t.large_strong(),
        t.text,
        Align::Min,
    );
    let under = under_title(data, call);
    cut |= text_in(ui.painter(), bottom, &under, t.small(), t.muted, Align::Min);
    let response = ui.interact(place, ui.scope_id().with("party"), Sense::hover());
    let spoken = format!("{title}, {under}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    if cut {
        response.on_hover_text(format!("{title}\n{under}"));
    }
}

/// Lets a screen reader say what stands here whenever it changes: at once, or when it has a moment.
fn announce(ui: &Ui, id: egui::Id, at_once: bool) {
    let live = if at_once {
        egui::accesskit::Live::Assertive
    } else {
        egui::accesskit::Live::Polite
    };
    ui.ctx()
        .accesskit_node_builder(id, |node| node.set_live(live));
}

/// The address and the account of a call in one line.
fn under_title(data: &Data, call: &CallView) -> String {
    let mut parts = Vec::new();
    let address = super::dial::short_target(call.remote.uri.reveal());
    if address != call.remote.title() {
        parts.push(address.to_owned());
    }
    let account = data.account(&call.account).map(model::AccountView::title);
    let tenant = data.tenant(&call.tenant).map(|t| t.name.as_str());
    match (account, tenant) {
        (Some(account), Some(tenant)) => {
            parts.push(format!("{} {account}, {tenant}", strings::WITH));
        }
        (Some(account), None) => parts.push(format!("{} {account}", strings::WITH)),
        (None, _) => {}
    }
    parts.join("  ·  ")
}

fn title_lines(rect: Rect, t: &crate::theme::Theme) -> (Rect, Rect) {
    let (upper, lower) = (t.px(26.0), t.px(16.0));
    let top = (rect.center().y - (upper + lower) / 2.0).round();
    (
        Rect::from_min_max(pos2(rect.left(), top), pos2(rect.right(), top + upper)),
        Rect::from_min_max(
            pos2(rect.left(), top + upper),
            pos2(rect.right(), top + upper + lower),
        ),
    )
}

/// Levels, quality and codec.
fn figures(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = kit.t.clone();
    let levels = (kit.live.levels)(call.id);
    let width = if kit.room == Room::Compact {
        // Two icons, the gaps between four things, and the space behind each meter.
        ((ui.available_width() - 2.0 * t.px(16.0) - 6.0 * 6.0 - 2.0 * 8.0) / 2.0).max(40.0)
    } else {
        t.px(84.0)
    };
    ui.horizontal(|ui| {
        ui.set_height(t.px(16.0));
        ui.spacing_mut().item_spacing.x = 6.0;
        let microphone = if call.muted {
            icons::MICROPHONE_SLASH
        } else {
            icons::MICROPHONE
        };
        for (icon, name, level, ink) in [
            (
                microphone,
                strings::MICROPHONE_LEVEL,
                if call.muted { 0.0 } else { levels.capture },
                if call.muted { t.warn } else { t.muted },
            ),
            (
                icons::SPEAKER_HIGH,
                strings::SPEAKER_LEVEL,
                levels.playout,
                t.muted,
            ),
        ] {
            let (place, _) = ui.allocate_exact_size(Vec2::splat(t.px(16.0)), Sense::hover());
            icon_in(ui.painter(), place, icon, t.icon(16.0), ink);
            meter(ui, &t, name, level, width);
            ui.add_space(8.0);
        }
        if kit.room != Room::Compact {
            quality(ui, kit, call);
        }
    });
    if kit.room == Room::Compact {
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            ui.set_height(t.px(16.0));
            ui.spacing_mut().item_spacing.x = 6.0;
            quality(ui, kit, call);
        });
    }
}

fn quality(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = &kit.t;
    let mos = call.stats.and_then(|s| s.mos);
    let (bars, response) = ui.allocate_exact_size(Vec2::new(17.0, t.px(12.0)), Sense::hover());
    signal(ui, t, bars, mos);
    let mut words = match mos {
        Some(mos) => format!("{} {}", strings::quality(mos), format::figure(mos)),
        None => strings::WAITING_FOR_SOUND.to_owned(),
    };
    let spoken = words.clone();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    let mut details = Vec::new();
    if let Some(codec) = &call.codec {
        words.push_str(" · ");
        words.push_str(codec.split('/').next().unwrap_or(codec));
    }
    if let Some(stats) = call.stats {
        let share = stats.lost as f32 * 100.0 / (stats.lost + stats.received).max(1) as f32;
        if kit.room == Room::Wide {
            words.push_str(&format!(" · {} % lost", format::figure(share)));
        }
        details.push(format!(
            "Sent {} packets, received {}, lost {} ({} %), late {}",
            format::count(usize::try_from(stats.sent).unwrap_or(usize::MAX)),
            format::count(usize::try_from(stats.received).unwrap_or(usize::MAX)),
            stats.lost,
            format::figure(share),
            stats.late,
        ));
        details.push(format!(
            "Jitter {} ms, buffer {} ms, concealed {} %",
            format::figure(stats.jitter_ms),
            format::figure(stats.buffer_ms),
            format::figure(stats.concealed * 100.0),
        ));
        if let Some(rtt) = stats.rtt_ms {
            details.push(format!("Round trip {} ms", format::figure(rtt)));
        }
    }
    if let Some(codec) = &call.codec {
        details.push(codec.clone());
    }
    if let Some(peer) = &call.media_peer {
        details.push(format!("Media from and to {peer}"));
    }
    let (icon, said, ink) = if call.secured {
        (icons::LOCK_SIMPLE, strings::ENCRYPTED, t.good)
    } else {
        (icons::LOCK_SIMPLE_OPEN, strings::NOT_ENCRYPTED, t.faint)
    };
    let room = ui.available_width() - t.px(16.0) - 6.0;
    let galley = galley(ui.painter(), &words, t.small(), t.muted, room);
    let (place, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
    ui.painter().galley(place.min.round(), galley, t.muted);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
    response.on_hover_text(details.join("\n"));
    let (place, response) = ui.allocate_exact_size(Vec2::splat(t.px(16.0)), Sense::hover());
    icon_in(ui.painter(), place, icon, t.icon(14.0), ink);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, said));
    response.on_hover_text(said);
}

fn tones(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = &kit.t;
    for (name, digits) in [
        (strings::SENT_TONES, call.dtmf_sent.reveal()),
        (strings::RECEIVED_TONES, call.dtmf_received.reveal()),
    ] {
        if digits.is_empty() {
            continue;
        }
        let mut bar = Bar::new(ui, t.px(18.0), 8.0);
        let place = bar.left(t.px(60.0));
        text_in(ui.painter(), place, name, t.small(), t.muted, Align::Min);
        // The newest digits are the ones to see.
        let skip = digits.chars().count().saturating_sub(32);
        let shown: String = digits.chars().skip(skip).collect();
        let place = bar.rest();
        text_in(ui.painter(), place, &shown, t.mono(), t.text, Align::Min);
        let response = ui.interact(place, ui.scope_id().with(name), Sense::hover());
        let spoken = format!("{name} {digits}");
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    }
}

fn ringing(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, call: &CallView) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(36.0), 8.0);
    let half = ((bar.rest().width() - 8.0) / 2.0).floor().min(t.px(168.0));
    let answer = Button::new(Kind::Answer, strings::ANSWER)
        .icon(icons::PHONE)
        .filled()
        .height(36.0)
        .width(half)
        .tip(tip(ui, strings::ANSWER, Deed::Answer));
    if bar.button_left(ui, &t, answer).clicked() {
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

fn live(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, call: &CallView) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(32.0), 8.0);
    let compact = kit.room == Room::Compact;
    let make = |icon, words| {
        if compact {
            Button::icon_only(Kind::Quiet, icon, words).height(36.0)
        } else {
            Button::new(Kind::Quiet, words).icon(icon).height(32.0)
        }
    };
    if call.state.is_up() {
        let (words, icon) = if call.held_by_us {
            (strings::RESUME, icons::PLAY)
        } else {
            (strings::HOLD, icons::PAUSE)
        };
        let hold = make(icon, words).on(call.held_by_us);
        let hold = hold.tip(tip(ui, words, Deed::Hold));
        if bar.button_left(ui, &t, hold).clicked() {
            kit.send(hold_command(call));
        }
        let (words, icon) = if call.muted {
            (strings::UNMUTE, icons::MICROPHONE_SLASH)
        } else {
            (strings::MUTE, icons::MICROPHONE)
        };
        let mute = make(icon, words).on(call.muted);
        let mute = mute.tip(tip(ui, words, Deed::Mute));
        if bar.button_left(ui, &t, mute).clicked() {
            kit.send(Command::MuteCall {
                call: call.id,
                muted: !call.muted,
            });
        }
        if kit.room < Room::Wide {
            let keypad = make(icons::DOTS_NINE, strings::KEYPAD).on(window.keypad);
            let keypad = keypad.tip(tip(ui, strings::KEYPAD, Deed::Keypad));
            if bar.button_left(ui, &t, keypad).clicked() {
                window.keypad = !window.keypad;
            }
        }
    }
    let ladder = make(icons::ARROWS_LEFT_RIGHT, strings::LADDER).tip(strings::SHOW_LADDER);
    if bar.button_left(ui, &t, ladder).clicked() {
        open_ladder(window, &call.sip_call_id);
    }
    let words = if call.state.is_up() || call.state == CallState::Ending {
        strings::HANG_UP
    } else {
        strings::CANCEL_CALL
    };
    let end = Button::new(Kind::Danger, words)
        .icon(icons::PHONE_DISCONNECT)
        .filled()
        .height(if compact { 36.0 } else { 32.0 })
        .enabled(call.state != CallState::Ending)
        .tip(tip(ui, words, Deed::HangUp));
    if bar.button_right(ui, &t, end).clicked() {
        kit.send(Command::EndCall { call: call.id });
    }
}

fn after(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window, call: &CallView) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(28.0), 8.0);
    let again = Button::new(Kind::Quiet, strings::CALL_AGAIN).icon(icons::PHONE);
    if bar.button_left(ui, &t, again).clicked() && data.account(&call.account).is_some() {
        kit.send(Command::PlaceCall {
            account: call.account.clone(),
            target: call.remote.uri.clone(),
            headers: Vec::new(),
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
            ui.ctx().copy_text(failure.sentence());
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
    ui.push_id(("line", call.id), |ui| {
        let ground = if is_ringing_here(call) {
            t.live_ground
        } else if response.hovered() {
            t.hover
        } else {
            t.raised
        };
        ui.painter().rect_filled(rect, 8.0, ground);
        if response.has_focus() {
            ui.painter()
                .rect_stroke(rect, 8.0, t.focus(), egui::StrokeKind::Inside);
        }
        let edge = rect.shrink2(Vec2::new(0.0, 10.0));
        tenant_mark(ui.painter(), &t, edge, data.tenant_colour(&call.tenant));
        inside(ui, rect, kit, data, window, call);
    });
    let spoken = format!("{}, {}", call.remote.title(), state_words(call));
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
    let (top, bottom) = super::account_list::two_lines(bar.rest(), &t);
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

/// The icon that says who called whom and what came of it.
pub(crate) fn direction_icon(direction: Direction, failed: bool) -> &'static str {
    match (direction, failed) {
        (_, true) => icons::PHONE_X,
        (Direction::Incoming, false) => icons::PHONE_INCOMING,
        (Direction::Outgoing, false) => icons::PHONE_OUTGOING,
    }
}

/// All calls of the phone screen, the current one large.
pub(crate) fn all(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let current: Option<CallId> = window.current_call(data);
    // A ringing call comes first: it is what cannot wait.
    let mut order: Vec<&CallView> = data.calls.iter().collect();
    order.sort_by_key(|c| {
        (
            !is_ringing_here(c),
            Some(c.id) != current,
            !c.state.is_live(),
            c.id.0,
        )
    });
    for call in order {
        if Some(call.id) == current {
            card(ui, kit, data, window, call);
        } else {
            line(ui, kit, data, window, call);
        }
    }
}
