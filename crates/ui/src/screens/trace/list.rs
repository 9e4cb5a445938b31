//! The list: one row for each record.

use egui::{Align, Rect, Role, Stroke, Ui, Vec2, WidgetInfo, pos2};
use model::{TraceBody, TraceRecord};
use trace::{Kind as What, PartySummary, Summary};

use super::super::{Bar, Kit, part};
use super::keys::follow_call;
use super::{request_ink, status_ink};
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{Rows, galley, icon_in, row_ground, rows, tenant_mark, text_in};
use crate::window::Window;
use crate::{icons, strings};

/// Widths of the columns. What does not fit goes, the least telling first.
struct Columns {
    time: f32,
    account: f32,
    what: f32,
    who: f32,
    peer: f32,
}

fn columns(t: &Theme, width: f32) -> Columns {
    let time = t.px(92.0);
    let what = t.px(if width > t.px(700.0) { 168.0 } else { 140.0 });
    let account = if width > t.px(620.0) {
        t.px(132.0)
    } else {
        0.0
    };
    let peer = if width > t.px(860.0) {
        t.px(190.0)
    } else {
        0.0
    };
    let gaps = 6.0 * 12.0 + t.px(16.0) + 24.0;
    let who = ((width - time - what - account - peer - gaps) / 2.0).max(0.0);
    Columns {
        time,
        account,
        what,
        who: if who < t.px(60.0) { 0.0 } else { who },
        peer,
    }
}

/// Height of the heads of the columns with the line under them.
fn head(t: &Theme) -> f32 {
    t.px(26.0)
}

/// Height of a row.
fn row_height(t: &Theme) -> f32 {
    t.px(24.0)
}

/// The height nearest to the wished one in which the heads and a whole number of rows fit.
pub(super) fn height(t: &Theme, wished: f32) -> f32 {
    let rows = ((wished - head(t)) / row_height(t)).round().max(1.0);
    head(t) + rows * row_height(t)
}

pub(super) fn show(ui: &mut Ui, rect: Rect, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let widths = columns(&t, rect.width());
    let mut bar = Bar::over(
        Rect::from_min_size(rect.min, Vec2::new(rect.width(), head(&t)))
            .shrink2(Vec2::new(12.0, 0.0)),
        12.0,
    );
    for (words, width) in [
        (strings::TIME, widths.time),
        (strings::ACCOUNT, widths.account),
        ("", t.px(16.0)),
        (strings::MESSAGE, widths.what),
        (strings::FROM, widths.who),
        (strings::TO, widths.who),
        (strings::PEER, widths.peer),
    ] {
        if width > 0.0 {
            let place = bar.left(width);
            text_in(
                ui.painter(),
                place,
                words,
                t.small_strong(),
                t.faint,
                Align::Min,
            );
        }
    }
    let body = Rect::from_min_max(pos2(rect.left(), rect.top() + head(&t)), rect.max);
    ui.painter()
        .hline(rect.x_range(), body.top() - 0.5, Stroke::new(1.0, t.line));
    let mut inner = part(ui, body, "rows");
    let selection = std::mem::take(&mut window.trace.listed.selection);
    let listed = selection.shown();
    let selected = window.trace.selected;
    let reveal = std::mem::take(&mut window.trace.reveal);
    let spec = Rows {
        id: "trace",
        height: row_height(&t),
        count: listed.len(),
        reveal: selected
            .filter(|_| reveal)
            .and_then(|n| listed.binary_search(&n).ok()),
        follow: window.trace.paused.is_none() && selected.is_none(),
        whole: true,
    };
    rows(&mut inner, &spec, |ui, at, rect, response| {
        let Some(record) = listed.get(at).and_then(|n| data.trace.get(*n)) else {
            return;
        };
        let number = listed.get(at).copied();
        let on = selected == number;
        row_ground(ui, &t, rect, &response, on);
        let Some(summary) = number.and_then(|n| data.trace.summary(n)) else {
            return;
        };
        row(ui, rect, kit, data, &widths, record, summary);
        let spoken = match &summary.kind {
            What::Note { topic, text } => format!("{topic}, {text}"),
            _ => format!(
                "{}, {} {}, {}",
                summary.title(),
                who(&summary.from),
                who(&summary.to),
                whose(data, record)
            ),
        };
        response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
        if response.clicked() {
            window.trace.selected = number;
            window.trace.reveal_step = true;
        }
        if response.double_clicked() {
            follow_call(data, window);
        }
    });
    window.trace.listed.selection = selection;
}

fn row(
    ui: &Ui,
    rect: Rect,
    kit: &Kit<'_>,
    data: &Data,
    widths: &Columns,
    record: &TraceRecord,
    summary: &Summary,
) {
    let t = &kit.t;
    let painter = ui.painter();
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 12.0);
    let time = kit.local(record.time).clock_millis();
    let place = bar.left(widths.time);
    text_in(painter, place, &time, t.mono(), t.muted, Align::Min);
    if widths.account > 0.0 {
        let place = bar.left(widths.account);
        let mark = Rect::from_center_size(
            pos2(place.left() + 1.5, place.center().y),
            Vec2::new(3.0, t.px(12.0)),
        );
        tenant_mark(painter, t, mark, data.tenant_colour(&record.tenant));
        let words = whose(data, record);
        let place = Rect::from_min_max(pos2(place.left() + 9.0, place.top()), place.max);
        text_in(painter, place, words, t.body(), t.muted, Align::Min);
    }
    let icon = bar.left(t.px(16.0));
    match &record.body {
        TraceBody::Note { topic, text, .. } => {
            icon_in(painter, icon, icons::INFO, t.icon(14.0), t.warn);
            let words = galley(painter, topic, t.strong(), t.muted, widths.what);
            let place = bar.left(words.size().x);
            text_in(painter, place, topic, t.strong(), t.muted, Align::Min);
            text_in(
                painter,
                bar.rest(),
                text.reveal(),
                t.body(),
                t.muted,
                Align::Min,
            );
        }
        TraceBody::Sip {
            sent,
            transport,
            peer,
            ..
        } => {
            // The way is told by the shape; colour tells requests from answers and those by their kind.
            let arrow = if *sent {
                icons::ARROW_UP_RIGHT
            } else {
                icons::ARROW_DOWN_LEFT
            };
            icon_in(painter, icon, arrow, t.icon(14.0), t.muted);
            let place = bar.left(widths.what);
            let (font, ink) = match &summary.kind {
                What::Request => (t.strong(), request_ink(t)),
                _ => (t.body(), status_ink(t, summary.code())),
            };
            text_in(painter, place, &summary.title(), font, ink, Align::Min);
            if widths.who > 0.0 {
                let place = bar.left(widths.who);
                text_in(
                    painter,
                    place,
                    &who(&summary.from),
                    t.body(),
                    t.muted,
                    Align::Min,
                );
                let place = bar.left(widths.who);
                text_in(
                    painter,
                    place,
                    &who(&summary.to),
                    t.body(),
                    t.muted,
                    Align::Min,
                );
            }
            if widths.peer > 0.0 {
                let words = format!("{} {peer}", transport.as_str());
                let place = bar.left(widths.peer);
                text_in(painter, place, &words, t.mono_small(), t.faint, Align::Min);
            }
        }
    }
}

/// The account of a record, or its organisation where it has none.
fn whose<'a>(data: &'a Data, record: &TraceRecord) -> &'a str {
    match &record.account {
        Some(id) => data.account(id).map_or("", |a| a.title()),
        None => data.tenant(&record.tenant).map_or("", |t| &t.name),
    }
}

/// The address of a party without its scheme.
fn who(party: &Option<PartySummary>) -> String {
    party.as_ref().map_or_else(String::new, |party| {
        crate::screens::dial::short_target(&party.uri).to_owned()
    })
}
