//! Calls: the large card of the current one, the line of each other, and the strip above other screens.

mod acts;
mod details;
pub(crate) mod direction;
mod figures;
mod line;
mod sound;
pub(crate) mod together;
pub(crate) mod transfer;

use egui::{Align, Color32, Frame, Margin, Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2};
use model::{CallId, CallState, CallView, Direction};

pub(crate) use acts::{hold_command, open_ladder};
pub(crate) use line::{line, strip};

use super::{Bar, Kit, accounts};
use crate::format;
use crate::view_state::{Data, is_ringing_here, wanted_transfer};
use crate::widgets::{galley, icon_in, paragraph, tenant_mark, text_in};
use crate::window::Window;
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
                details::lines(ui, kit, call);
                if call.state.is_up() {
                    together::members(ui, kit, data, call);
                    ui.add_space(12.0);
                    sound::way(ui, kit, call);
                    ui.add_space(4.0);
                    figures::line(ui, kit, window, call);
                    if window.figures {
                        figures::all(ui, kit, call);
                    }
                }
                if !call.dtmf_sent.is_empty() || !call.dtmf_received.is_empty() {
                    ui.add_space(8.0);
                    figures::tones(ui, kit, call);
                }
                details::redirect(ui, kit, call);
                transfer::show(ui, kit, data, window, call);
                together::show(ui, kit, data, window, call);
                if over && let Some(failure) = &call.failure {
                    ui.add_space(12.0);
                    paragraph(ui, failure.explanation().reveal(), t.body(), t.text);
                    if !failure.next_step().is_empty() {
                        ui.add_space(4.0);
                        paragraph(ui, failure.next_step(), t.body(), t.muted);
                    }
                    accounts::certificate(ui, kit, window, &call.tenant, failure);
                }
                if over
                    && call.failure.is_none()
                    && let Some(why) = call.why_ended()
                {
                    ui.add_space(12.0);
                    paragraph(ui, why.reveal(), t.body(), t.text);
                }
                ui.add_space(14.0);
                if over {
                    acts::after(ui, kit, data, window, call);
                } else if is_ringing_here(call) {
                    acts::ringing(ui, kit, window, call);
                } else {
                    acts::live(ui, kit, data, window, call);
                }
                if call.state.is_up() {
                    // Below the buttons: what is noticed in the middle of a call moves none of them.
                    sound::reasons(ui, kit, &call.sound);
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
    if let Some((target, _)) = wanted_transfer(call) {
        return strings::wants_you_to_call(target.title());
    }
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
    let room = current.and_then(|id| data.call(id)?.conference);
    // A ringing call comes first: it is what cannot wait. Who is in a conference stands together.
    let mut order: Vec<&CallView> = data.calls.iter().collect();
    order.sort_by_key(|c| {
        (
            !is_ringing_here(c),
            Some(c.id) != current,
            room.is_none() || c.conference != room,
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
