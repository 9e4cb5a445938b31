//! The live trace: the list, the ladder of what is selected in it, and the message itself. Selecting in
//! one selects in all.

mod keys;
mod ladder;
mod list;
mod message;
mod select;
mod syntax;
mod tools;

use egui::{Align, Color32, Rect, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2};

pub use select::TraceWindow;

use super::{Bar, Kit, part};
use crate::format;
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{Button, Kind, empty, galley, text_in};
use crate::window::Window;
use crate::{icons, strings};

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ui.spacing_mut().item_spacing = Vec2::ZERO;
    if data.trace.is_empty() {
        let icon = icons::BROADCAST;
        empty(
            ui,
            &t,
            icon,
            strings::TRACE_EMPTY,
            strings::TRACE_EMPTY_TEXT,
            None,
        );
        return;
    }
    if window.trace.update(&data.trace, window.tenant.as_ref()) {
        ui.ctx().request_repaint();
    }
    if window.trace.call.is_some() && window.trace.selected.is_none() {
        window.trace.selected = window.trace.shown().front().copied();
    }
    if window
        .trace
        .selected
        .is_some_and(|n| data.trace.get(n).is_none())
    {
        window.trace.selected = None;
    }
    keys::act(ui, data, window);
    tools::show(ui, kit, data, window);
    let body = Rect::from_min_max(ui.cursor().min, rect.max);
    if window.trace.shown().is_empty() {
        nothing(&mut part(ui, body, "nothing"), kit, window);
        return;
    }
    let tall = window.trace.selected.is_some() && body.height() > t.px(300.0);
    let (list_rect, below) = if tall {
        body.split_top_bottom_at_y(body.top() + list::height(&t, body.height() * 0.44))
    } else {
        (body, Rect::NOTHING)
    };
    list::show(
        &mut part(ui, list_rect, "list"),
        list_rect,
        kit,
        data,
        window,
    );
    if !tall {
        return;
    }
    ui.painter()
        .hline(below.x_range(), below.top() + 0.5, Stroke::new(1.0, t.line));
    let below = Rect::from_min_max(pos2(below.left(), below.top() + 1.0), below.max);
    let record = window.trace.selected.and_then(|n| data.trace.get(n));
    let summary = window.trace.selected.and_then(|n| data.trace.summary(n));
    let (Some(record), Some(summary)) = (record, summary) else {
        return;
    };
    let call_id = summary.call_id.as_deref().unwrap_or("");
    let side_by_side = below.width() > t.px(760.0) && !window.trace.message_hidden;
    if side_by_side {
        let (left, right) =
            below.split_left_right_at_x(below.left() + (below.width() * 0.5).round());
        ui.painter().vline(
            right.left() + 0.5,
            right.y_range(),
            Stroke::new(1.0, t.line),
        );
        let mut inner = part(ui, left, "ladder");
        ladder::show(&mut inner, left, kit, data, window, call_id);
        let mut inner = part(ui, right, "message");
        message::show(&mut inner, right, kit, window, record, summary);
    } else if window.trace.message_hidden {
        let mut inner = part(ui, below, "ladder");
        ladder::show(&mut inner, below, kit, data, window, call_id);
    } else {
        let mut inner = part(ui, below, "message");
        message::show(&mut inner, below, kit, window, record, summary);
    }
}

fn nothing(ui: &mut Ui, kit: &Kit<'_>, window: &mut Window) {
    let t = &kit.t;
    let listed = &window.trace.listed;
    let noise = listed.selection.hidden_noise();
    let hidden = noise + listed.selection.hidden_by_filter() + listed.elsewhere;
    let text = if window.trace.call.is_some() {
        strings::CALL_NOT_HELD.to_owned()
    } else {
        strings::trace_hidden(&format::count(hidden))
    };
    let words = if window.trace.is_narrowed() {
        strings::CLEAR_FILTER
    } else {
        strings::SHOW_HIDDEN
    };
    let button = Button::new(Kind::Quiet, words);
    let clicked = empty(ui, t, icons::FUNNEL, strings::NO_MATCH, &text, Some(button));
    if clicked.is_some_and(|r| r.clicked()) {
        if window.trace.is_narrowed() {
            window.trace.clear();
            window.tenant = None;
        } else {
            window.trace.noise = true;
        }
    }
}

/// The colour of a request, which no status has.
pub(super) fn request_ink(t: &Theme) -> Color32 {
    t.accent
}

/// The colour of a status.
pub(super) fn status_ink(t: &Theme, code: Option<u16>) -> Color32 {
    match code {
        None => t.text,
        Some(100..=199) => t.muted,
        Some(200..=299) => t.good,
        Some(300..=399) => t.warn,
        Some(401 | 407) => t.warn,
        Some(_) => t.bad,
    }
}

/// A pane's heading with its name at the left.
pub(super) fn pane_head(ui: &mut Ui, rect: Rect, t: &Theme, name: &str) -> Bar {
    let head = Rect::from_min_size(rect.min, Vec2::new(rect.width(), t.px(36.0)));
    let mut bar = Bar::over(head.shrink2(Vec2::new(16.0, 0.0)), 8.0);
    let words = galley(ui.painter(), name, t.small_strong(), t.faint, rect.width());
    let place = bar.left(words.size().x);
    text_in(
        ui.painter(),
        place,
        name,
        t.small_strong(),
        t.faint,
        Align::Min,
    );
    let response = ui.interact(place, ui.scope_id().with(("pane", name)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, name));
    bar
}
