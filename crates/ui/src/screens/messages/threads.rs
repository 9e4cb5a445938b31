//! With whom there were messages, the newest first.

use egui::{Align, Rect, Role, Ui, Vec2, WidgetInfo};
use model::{Direction, MessageState, MessageView};

use super::super::account_list::two_lines;
use super::super::{Bar, Kit, part};
use super::{Thread, is_shown};
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{Button, Kind, Rows, badge, galley, row_ground, rows, tenant_mark, text_in};
use crate::window::{FocusWish, Window};
use crate::{icons, strings};

/// One line of the list: the newest message of a thread, and how many of it were not read.
struct Line<'a> {
    thread: Thread,
    newest: &'a MessageView,
    unread: usize,
}

fn lines<'a>(data: &'a Data, window: &Window) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for message in data.messages.iter().rev().filter(|m| is_shown(m, window)) {
        let unread = usize::from(message.state == MessageState::Received);
        match lines.iter_mut().find(|l| l.thread.has(message)) {
            Some(line) => line.unread += unread,
            None => lines.push(Line {
                thread: Thread::of(message),
                newest: message,
                unread,
            }),
        }
    }
    lines
}

pub(super) fn show(ui: &mut Ui, rect: Rect, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(44.0), 4.0);
    bar.left(8.0);
    bar.right(4.0);
    let write = Button::icon_only(Kind::Ghost, icons::PLUS, strings::NEW_MESSAGE);
    if bar.button_right(ui, &t, write).clicked() {
        window.messages.write_to("");
        window.focus = Some(FocusWish::Form);
    }
    let place = bar.rest();
    text_in(
        ui.painter(),
        place,
        strings::MESSAGES,
        t.strong(),
        t.text,
        Align::Min,
    );
    let lines = lines(data, window);
    let body = Rect::from_min_max(ui.cursor().min, rect.max);
    let spec = Rows {
        id: "threads",
        height: t.px(52.0),
        count: lines.len(),
        reveal: None,
        follow: false,
        whole: false,
    };
    rows(
        &mut part(ui, body, "rows"),
        &spec,
        |ui, at, rect, response| {
            let Some(line) = lines.get(at) else {
                return;
            };
            let on =
                !window.messages.writing && window.messages.with.as_ref() == Some(&line.thread);
            row_ground(ui, &t, rect, &response, on);
            let spoken = draw(ui, &t, rect, kit, data, line);
            response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
            if response.clicked() {
                window.messages.with = Some(line.thread.clone());
                window.messages.writing = false;
                window.messages.draft.clear();
                window.focus = Some(FocusWish::Form);
            }
        },
    );
}

/// Draws one line and answers with what it says.
fn draw(ui: &Ui, t: &Theme, rect: Rect, kit: &Kit<'_>, data: &Data, line: &Line<'_>) -> String {
    let painter = ui.painter();
    let message = line.newest;
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 8.0);
    let mark = bar.left(3.0);
    let inset = (mark.height() - t.px(28.0)) / 2.0;
    tenant_mark(
        painter,
        t,
        mark.shrink2(Vec2::new(0.0, inset)),
        data.tenant_colour(&message.tenant),
    );
    let (top, bottom) = two_lines(bar.rest(), t);
    let (mut top, mut bottom) = (Bar::over(top, 8.0), Bar::over(bottom, 8.0));
    let (now, then) = (kit.local(kit.live.now), kit.local(message.time));
    let when = if then.day() == now.day() {
        then.clock()
    } else {
        then.date()
    };
    let width = galley(painter, &when, t.small(), t.faint, rect.width());
    let place = top.right(width.size().x);
    text_in(painter, place, &when, t.small(), t.faint, Align::Max);
    if line.unread > 0 {
        let place = bottom.right(t.px(18.0));
        badge(painter, t, place, line.unread);
    }
    let (font, ink) = match line.unread {
        0 => (t.body(), t.text),
        _ => (t.strong(), t.text),
    };
    let title = message.remote.title();
    text_in(painter, top.rest(), title, font, ink, Align::Min);
    let said = said(message);
    let ink = match message.state {
        MessageState::Failed => t.bad,
        _ => t.muted,
    };
    text_in(painter, bottom.rest(), &said, t.small(), ink, Align::Min);
    match line.unread {
        0 => format!("{title}, {said}"),
        n => format!("{title}, {said}, {}", strings::unread(n)),
    }
}

/// The newest message in one line.
fn said(message: &MessageView) -> String {
    let text = message.text.reveal().split_whitespace();
    let text = text.collect::<Vec<_>>().join(" ");
    match (message.state, message.direction) {
        (MessageState::Failed, _) => format!("{}: {text}", strings::MESSAGE_FAILED),
        (_, Direction::Outgoing) => format!("{}: {text}", strings::YOU),
        (_, Direction::Incoming) => text,
    }
}
