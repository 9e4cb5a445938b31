//! One thread: what was said, what became of it, and the field for more.

use egui::text::{LayoutJob, TextFormat};
use egui::{
    Align, Color32, FontId, Key, Rect, Role, ScrollArea, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2,
};
use model::{AccountView, Command, Direction, MessageState, MessageView, Party};

use super::super::{Bar, Kit, Room, account_list, part};
use super::Thread;
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, empty, galley, icon_in, paragraph, tenant_mark, text_in,
};
use crate::window::{FocusWish, Screen, Window};
use crate::{icons, strings};

fn text_id() -> egui::Id {
    egui::Id::unique("message text")
}

pub(super) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    if !window.messages.writing && window.messages.with.is_none() {
        let (icon, words) = (icons::CHATS, strings::CHOOSE_THREAD);
        empty(ui, &t, icon, words, strings::CHOOSE_THREAD_TEXT, None);
        return;
    }
    let foot_height = t.px(60.0);
    let (above, foot_rect) = rect.split_top_bottom_at_y(rect.bottom() - foot_height);
    let head_height = match (window.messages.writing, kit.room) {
        (true, Room::Compact) => 148.0,
        (true, _) => 112.0,
        (false, _) => 56.0,
    };
    let (head_rect, body) = above.split_top_bottom_at_y(above.top() + t.px(head_height));
    let mut head_ui = part(ui, head_rect, "head");
    if window.messages.writing {
        whom(&mut head_ui, head_rect, kit, data, window);
    } else {
        head(&mut head_ui, head_rect, kit, data, window);
    }
    ui.painter().hline(
        head_rect.x_range(),
        head_rect.bottom() - 0.5,
        Stroke::new(1.0, t.line),
    );
    if let Some(with) = window
        .messages
        .with
        .clone()
        .filter(|_| !window.messages.writing)
    {
        said(&mut part(ui, body, "said"), kit, data, window, &with);
        mark_read(kit, data, window, &with);
    }
    ui.painter().hline(
        foot_rect.x_range(),
        foot_rect.top() + 0.5,
        Stroke::new(1.0, t.line),
    );
    foot(
        &mut part(ui, foot_rect, "foot"),
        foot_rect,
        kit,
        data,
        window,
    );
}

fn side(kit: &Kit<'_>) -> f32 {
    match kit.room {
        Room::Compact => 12.0,
        _ => 20.0,
    }
}

/// With whom, and by which account.
fn head(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let Some(with) = window.messages.with.clone() else {
        return;
    };
    let mut bar = Bar::over(rect.shrink2(Vec2::new(side(kit), 0.0)), 8.0);
    if kit.room == Room::Compact {
        let back = Button::icon_only(Kind::Ghost, icons::ARROW_LEFT, strings::ALL_MESSAGES);
        if bar.button_left(ui, &t, back).clicked() {
            window.messages.with = None;
            return;
        }
    }
    let account = data.account(&with.account);
    let forget = Button::icon_only(Kind::Ghost, icons::TRASH, strings::FORGET_MESSAGES)
        .tip(strings::FORGET_MESSAGES_TIP);
    if bar.button_right(ui, &t, forget).clicked() {
        window.question = Some(crate::window::Question::ClearMessages(with.account.clone()));
    }
    let call = if kit.room == Room::Compact {
        Button::icon_only(Kind::Quiet, icons::PHONE, strings::CALL)
    } else {
        Button::new(Kind::Quiet, strings::CALL).icon(icons::PHONE)
    };
    if bar.button_right(ui, &t, call).clicked() {
        kit.send(Command::PlaceCall {
            account: with.account.clone(),
            target: with.address.as_str().into(),
            headers: Vec::new(),
            direction: model::MediaDirection::Both,
        });
        window.screen = Screen::Phone;
    }
    let party = party(data, &with);
    let edge = Rect::from_min_size(bar.rest().min, Vec2::new(3.0, rect.height()))
        .shrink2(Vec2::new(0.0, 12.0));
    if let Some(account) = account {
        let colour = data.tenant_colour(&account.tenant);
        tenant_mark(ui.painter(), &t, edge, colour);
        bar.left(3.0);
    }
    let (top, bottom) = account_list::two_lines(bar.rest(), &t);
    text_in(
        ui.painter(),
        top,
        party.title(),
        t.strong(),
        t.text,
        Align::Min,
    );
    let address = super::super::dial::short_target(&with.address);
    let under = format!("{address}  ·  {}", by(account));
    text_in(ui.painter(), bottom, &under, t.small(), t.muted, Align::Min);
    let response = ui.interact(bar.rest(), ui.scope_id().with("with"), Sense::hover());
    let spoken = format!("{}, {under}", party.title());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &spoken));
}

fn by(account: Option<&AccountView>) -> String {
    let title = account.map_or(strings::NO_ACCOUNT, |a| a.title());
    format!("{} {title}", strings::WITH)
}

/// The other end by the best name it was ever told by.
fn party(data: &Data, with: &Thread) -> Party {
    let of_thread = || data.messages.iter().rev().filter(|m| with.has(m));
    of_thread()
        .find(|m| m.remote.display.is_some())
        .or_else(|| of_thread().next())
        .map_or_else(
            || Party {
                display: None,
                uri: with.address.as_str().into(),
            },
            |m| m.remote.clone(),
        )
}

/// Whom a new message goes to, and with which account.
fn whom(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let inner = rect.shrink2(Vec2::new(side(kit), 0.0));
    let mut line = Bar::over(
        Rect::from_min_size(inner.min, Vec2::new(inner.width(), t.px(52.0))),
        8.0,
    );
    let close = Button::icon_only(Kind::Ghost, icons::X, strings::CANCEL);
    if bar_close(ui, &t, &mut line, close) {
        window.messages.writing = false;
        window.messages.draft.clear();
        return;
    }
    text_in(
        ui.painter(),
        line.rest(),
        strings::NEW_MESSAGE,
        t.strong(),
        t.text,
        Align::Min,
    );
    let top = inner.top() + t.px(52.0);
    let row = |at: f32| {
        Rect::from_min_size(
            pos2(inner.left(), top + at),
            Vec2::new(inner.width(), t.px(40.0)),
        )
    };
    let mut line = Bar::over(row(0.0), 8.0);
    let (chooser, field) = if kit.room == Room::Compact {
        let chooser = line.rest();
        (chooser, row(t.px(48.0)))
    } else {
        (line.left(t.px(232.0)), line.rest())
    };
    account_list::chooser(ui, chooser, kit, data, window);
    let field = Field::new(&mut window.messages.to, strings::MESSAGE_TO)
        .hint(strings::NUMBER_HINT)
        .height(40.0)
        .show_in(ui, &t, field);
    if window.focus == Some(FocusWish::Form) {
        window.focus = None;
        field.request_focus();
    }
    if field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter)) {
        ui.memory_mut(|m| m.request_focus(text_id()));
    }
}

fn bar_close(ui: &mut Ui, t: &Theme, bar: &mut Bar, button: Button<'_>) -> bool {
    bar.button_right(ui, t, button).clicked()
        || ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, Key::Escape))
}

/// All messages of the thread, the newest at the bottom.
fn said(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window, with: &Thread) {
    let side = side(kit) as i8;
    ScrollArea::vertical()
        .id_salt(("said", &with.account, &with.address))
        .auto_shrink(false)
        .stick_to_bottom(true)
        .show(ui, |ui| {
            egui::Frame::NONE
                .inner_margin(egui::Margin::symmetric(side, 12))
                .show(ui, |ui| {
                    ui.spacing_mut().item_spacing = Vec2::ZERO;
                    let mut day = None;
                    for message in data.messages.iter().filter(|m| with.has(m)) {
                        let local = kit.local(message.time);
                        if day != Some(local.day()) {
                            day = Some(local.day());
                            new_day(ui, kit, message);
                        }
                        bubble(ui, kit, window, message);
                    }
                });
        });
}

fn new_day(ui: &mut Ui, kit: &Kit<'_>, message: &MessageView) {
    let t = &kit.t;
    let (then, now) = (kit.local(message.time), kit.local(kit.live.now));
    let words = match now.day() - then.day() {
        0 => strings::TODAY.to_owned(),
        1 => strings::YESTERDAY.to_owned(),
        _ => then.date(),
    };
    let bar = Bar::new(ui, t.px(28.0), 0.0);
    text_in(
        ui.painter(),
        bar.rest(),
        &words,
        t.small_strong(),
        t.faint,
        Align::Center,
    );
}

/// One message: ours at the right, theirs at the left; below ours, what became of it.
fn bubble(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, message: &MessageView) {
    let t = kit.t.clone();
    let ours = message.direction == Direction::Outgoing;
    let padding = Vec2::new(12.0, 8.0);
    let whole = ui.available_width();
    let most = (whole * 0.78).min(t.px(520.0));
    let ink = t.text;
    let text = wrapped(
        ui,
        message.text.reveal(),
        t.body(),
        ink,
        most - 2.0 * padding.x,
    );
    let subject = message
        .subject
        .as_ref()
        .map(|s| wrapped(ui, s.reveal(), t.strong(), ink, most - 2.0 * padding.x));
    let above = subject.as_ref().map_or(0.0, |s| s.size().y + 4.0);
    let width = subject
        .as_ref()
        .map_or(0.0, |s| s.size().x)
        .max(text.size().x);
    let size = Vec2::new(width, text.size().y + above) + 2.0 * padding;
    let (row, _) = ui.allocate_exact_size(Vec2::new(whole, size.y), Sense::hover());
    let left = if ours {
        row.right() - size.x
    } else {
        row.left()
    };
    let place = Rect::from_min_size(pos2(left.round(), row.top()), size.round());
    let fill = match (ours, message.state) {
        (_, MessageState::Failed) => t.bad_ground,
        (true, _) => t.selected,
        (false, _) => t.raised,
    };
    ui.painter().rect_filled(place, 10.0, fill);
    if t.outlined {
        ui.painter().rect_stroke(
            place,
            10.0,
            Stroke::new(1.0, t.outline),
            egui::StrokeKind::Inside,
        );
    }
    let at = place.min + padding;
    if let Some(subject) = subject {
        ui.painter().galley(at, subject, ink);
    }
    ui.painter().galley(at + Vec2::new(0.0, above), text, ink);
    let response = ui.interact(
        place,
        ui.scope_id().with(("message", message.id)),
        Sense::click(),
    );
    let (state_ink, icon, state) = state_words(&t, message);
    let spoken = match state {
        "" => message.text.reveal().to_owned(),
        state => format!("{}, {state}", message.text.reveal()),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::ListItem, true, &spoken));
    response.context_menu(|ui| {
        let copy = Button::new(Kind::Ghost, strings::COPY_TEXT).icon(icons::COPY);
        if copy.show(ui, &t).clicked() {
            ui.ctx().copy_text(message.text.reveal().to_owned());
            ui.close();
        }
    });
    under(ui, kit, message, state_ink, icon, state);
    if let Some(failure) = &message.failure {
        failed(ui, kit, window, message, failure);
    }
    ui.add_space(8.0);
}

/// The time, and for ours what became of it.
fn under(
    ui: &mut Ui,
    kit: &Kit<'_>,
    message: &MessageView,
    ink: Color32,
    icon: Option<&str>,
    state: &str,
) {
    let t = &kit.t;
    let ours = message.direction == Direction::Outgoing;
    let mut bar = Bar::new(ui, t.px(20.0), 5.0);
    let clock = kit.local(message.time).clock();
    let mut words = vec![(clock.as_str(), t.faint)];
    if !state.is_empty() {
        words.push((state, ink));
    }
    if ours {
        for (words, ink) in words.iter().rev() {
            let shown = galley(ui.painter(), words, t.small(), *ink, bar.rest().width());
            let place = bar.right(shown.size().x);
            text_in(ui.painter(), place, words, t.small(), *ink, Align::Max);
            if *words == state
                && let Some(icon) = icon
            {
                let place = bar.right(t.px(12.0));
                icon_in(ui.painter(), place, icon, t.icon(12.0), *ink);
            }
            bar.right(0.0);
        }
    } else {
        text_in(
            ui.painter(),
            bar.rest(),
            &clock,
            t.small(),
            t.faint,
            Align::Min,
        );
    }
}

/// Why a message did not arrive, and the way to try again.
fn failed(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    window: &mut Window,
    message: &MessageView,
    failure: &model::Failure,
) {
    let t = kit.t.clone();
    egui::Frame::NONE
        .fill(t.bad_ground)
        .corner_radius(10)
        .inner_margin(egui::Margin::symmetric(12, 8))
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            paragraph(ui, &failure.title(), t.strong(), t.text);
            paragraph(ui, failure.explanation().reveal(), t.body(), t.text);
            if !failure.next_step().is_empty() {
                paragraph(ui, failure.next_step(), t.body(), t.muted);
            }
            let mut bar = Bar::new(ui, t.px(28.0), 8.0);
            let again = Button::new(Kind::Quiet, strings::SEND_AGAIN).icon(icons::ARROW_CLOCKWISE);
            if bar.button_left(ui, &t, again).clicked() {
                kit.send(Command::SendMessage {
                    account: message.account.clone(),
                    to: message.remote.uri.clone(),
                    text: message.text.clone(),
                });
            }
            let trace = Button::new(Kind::Ghost, strings::SHOW_TRACE);
            if bar.button_left(ui, &t, trace).clicked() {
                window.trace.look_at_account(&message.account);
                window.screen = Screen::Trace;
            }
        });
}

/// What became of a message; nothing is said of one that came.
fn state_words(t: &Theme, message: &MessageView) -> (Color32, Option<&'static str>, &'static str) {
    match message.state {
        MessageState::Received | MessageState::Read => (t.faint, None, ""),
        MessageState::Sending => (t.muted, Some(icons::HOURGLASS), strings::MESSAGE_SENDING),
        MessageState::Delivered => (t.good, Some(icons::CHECK), strings::MESSAGE_DELIVERED),
        MessageState::Accepted => (t.muted, Some(icons::CHECK), strings::MESSAGE_ACCEPTED),
        MessageState::Failed => (t.bad, Some(icons::X), strings::MESSAGE_FAILED),
    }
}

fn wrapped(
    ui: &Ui,
    text: &str,
    font: FontId,
    ink: Color32,
    width: f32,
) -> std::sync::Arc<egui::Galley> {
    let mut job = LayoutJob::single_section(
        text.to_owned(),
        TextFormat {
            line_height: Some((font.size * 1.45).round()),
            ..TextFormat::simple(font, ink)
        },
    );
    job.wrap.max_width = width;
    ui.painter().layout_job(job)
}

/// The field, and the button that sends.
fn foot(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let mut bar = Bar::over(rect.shrink2(Vec2::new(side(kit), 0.0)), 8.0);
    let (account, to) = match &window.messages.with {
        Some(with) if !window.messages.writing => {
            (Some(with.account.clone()), with.address.clone())
        }
        _ => (
            window.dial_account.clone(),
            window.messages.to.trim().to_owned(),
        ),
    };
    let account = account.filter(|id| data.account(id).is_some());
    let text = window.messages.draft.trim().to_owned();
    let ready = account.is_some() && !to.is_empty() && !text.is_empty();
    let send = if kit.room == Room::Compact {
        Button::icon_only(Kind::Primary, icons::PAPER_PLANE_RIGHT, strings::SEND)
    } else {
        Button::new(Kind::Primary, strings::SEND).icon(icons::PAPER_PLANE_RIGHT)
    };
    let pressed = bar
        .button_right(ui, &t, send.filled().height(36.0).enabled(ready))
        .clicked();
    let place = bar.rest();
    let place = Rect::from_center_size(place.center(), Vec2::new(place.width(), t.px(36.0)));
    let field = Field::new(&mut window.messages.draft, strings::MESSAGE_TEXT)
        .id(text_id())
        .hint(strings::MESSAGE_TEXT)
        .height(36.0)
        .show_in(ui, &t, super::super::snap(place));
    if window.focus == Some(FocusWish::Form) {
        window.focus = None;
        field.request_focus();
    }
    let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
    if let Some(account) = account.filter(|_| ready && (pressed || entered)) {
        kit.send(Command::SendMessage {
            account,
            to: to.as_str().into(),
            text: text.as_str().into(),
        });
        window.messages.draft.clear();
    }
    if entered {
        field.request_focus();
    }
}

/// Tells once that what is seen was read.
fn mark_read(kit: &mut Kit<'_>, data: &Data, window: &mut Window, with: &Thread) {
    let newest = data
        .messages
        .iter()
        .filter(|m| m.state == MessageState::Received && with.has(m))
        .map(|m| m.id)
        .max();
    if newest.is_none() || newest == window.messages.told_read {
        return;
    }
    window.messages.told_read = newest;
    kit.send(Command::MarkMessagesRead {
        account: with.account.clone(),
        from: Some(with.address.as_str().into()),
    });
}
