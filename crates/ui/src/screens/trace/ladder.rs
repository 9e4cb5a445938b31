//! The ladder of a dialog: a vertical line per endpoint, an arrow per message, time at the left. What is
//! folded and counted was decided by `trace::ladder`; here it is drawn.

use egui::{Align, Color32, Rect, Role, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2};
use model::TraceRecord;
use trace::ladder::{Arrow, Column, Ladder, Mark, Meaning, Row, layout};
use trace::redact::RedactOptions;

use super::super::{Bar, Kit, part};
use super::pane_head;
use crate::theme::Theme;
use crate::trace_log::TraceLog;
use crate::view_state::Data;
use crate::widgets::{Button, Kind, Rows, empty, galley, icon_in, rows, text_in};
use crate::window::Window;
use crate::{format, icons, strings};

/// The ladder of one Call-ID, kept while the log does not change.
#[derive(Default)]
pub(crate) struct Shown {
    of: Option<(String, u64, u64)>,
    ladder: Ladder,
    /// Numbers of the records that were laid out.
    numbers: Vec<u64>,
}

impl Shown {
    fn update(&mut self, log: &TraceLog, call_id: &str) {
        let of = (call_id.to_owned(), log.generation(), log.end());
        if self.of.as_ref() == Some(&of) {
            return;
        }
        self.numbers = (log.first()..log.end())
            .filter(|n| {
                log.summary(*n)
                    .is_some_and(|s| s.call_id.as_deref() == Some(call_id))
            })
            .take(MOST_RECORDS)
            .collect();
        let records: Vec<TraceRecord> = self
            .numbers
            .iter()
            .filter_map(|n| log.get(*n))
            .cloned()
            .collect();
        self.ladder = layout(&records);
        self.of = Some(of);
    }

    /// The record that a row shows first.
    fn number(&self, row: &Row) -> Option<u64> {
        let first = row.records.first()?;
        self.numbers.get(*first).copied()
    }

    /// The row that a record stands in, also when it was folded.
    fn row_of(&self, number: u64) -> Option<usize> {
        let at = self.numbers.binary_search(&number).ok()?;
        self.ladder
            .rows
            .iter()
            .position(|row| row.records.contains(&at))
    }
}

/// More than this no dialog has that a person reads.
const MOST_RECORDS: usize = 2_000;

pub(crate) fn show(
    ui: &mut Ui,
    rect: Rect,
    kit: &Kit<'_>,
    data: &Data,
    window: &mut Window,
    call_id: &str,
) {
    let t = kit.t.clone();
    let mut bar = pane_head(ui, rect, &t, strings::LADDER);
    if window.trace.call.is_none() && !call_id.is_empty() {
        let follow = Button::new(Kind::Ghost, strings::FOLLOW_CALL)
            .small()
            .tip(format!("{}  Enter", strings::FOLLOW_CALL));
        if bar.button_right(ui, &t, follow).clicked() {
            window.trace.call = Some(call_id.to_owned());
        }
    }
    if !call_id.is_empty() {
        copy_call(ui, &t, &mut bar, data, window);
    }
    let body = Rect::from_min_max(pos2(rect.left(), rect.top() + t.px(36.0)), rect.max);
    if call_id.is_empty() {
        let mut ui = part(ui, body, "no ladder");
        let icon = icons::ARROWS_LEFT_RIGHT;
        empty(
            &mut ui,
            &t,
            icon,
            strings::NO_LADDER,
            strings::NO_LADDER_TEXT,
            None,
        );
        return;
    }
    let mut shown = std::mem::take(&mut window.trace.ladder);
    shown.update(&data.trace, call_id);
    let columns = Columns::new(&t, body, shown.ladder.columns.len());
    heads(ui, &t, body, &columns, &shown.ladder.columns);
    let below = Rect::from_min_max(pos2(body.left(), body.top() + t.px(34.0)), body.max);
    for x in &columns.at {
        ui.painter()
            .vline(*x, below.y_range(), Stroke::new(1.0, t.outline));
    }
    let selected = window.trace.selected;
    let selected_row = selected.and_then(|n| shown.row_of(n));
    let reveal = std::mem::take(&mut window.trace.reveal_step);
    let spec = Rows {
        id: "ladder",
        height: t.px(32.0),
        count: shown.ladder.rows.len(),
        reveal: selected_row.filter(|_| reveal),
        follow: false,
        whole: false,
    };
    let mut inner = part(ui, below, "steps");
    rows(&mut inner, &spec, |ui, at, rect, response| {
        let Some(row) = shown.ladder.rows.get(at) else {
            return;
        };
        let on = selected_row == Some(at);
        let number = shown.number(row);
        if number.is_some() && (on || response.hovered()) {
            let ground = rect.shrink2(Vec2::new(8.0, 1.0));
            let fill = if on { t.selected } else { t.hover };
            ui.painter().rect_filled(ground, 6.0, fill);
            for x in &columns.at {
                ui.painter()
                    .vline(*x, rect.y_range(), Stroke::new(1.0, t.outline));
            }
        }
        let spoken = draw(ui, rect, kit, &columns, row);
        response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
        if response.clicked() && number.is_some() {
            window.trace.selected = number;
            window.trace.reveal = true;
        }
    });
    window.trace.ladder = shown;
}

/// The button that copies the whole call, masked.
fn copy_call(ui: &mut Ui, t: &Theme, bar: &mut Bar, data: &Data, window: &mut Window) {
    let copy = Button::new(Kind::Ghost, strings::COPY_CALL)
        .icon(icons::COPY)
        .small()
        .tip(strings::COPY_CALL_TIP);
    if !bar.button_right(ui, t, copy).clicked() {
        return;
    }
    let records: Vec<TraceRecord> = window
        .trace
        .ladder
        .numbers
        .iter()
        .filter_map(|n| data.trace.get(*n))
        .cloned()
        .collect();
    let said = match trace::export::text(&records, &RedactOptions::default()) {
        Ok(text) => {
            ui.ctx().copy_text(text);
            strings::COPIED.to_owned()
        }
        Err(leak) => leak.to_string(),
    };
    let shown = window.trace.selected.and_then(|n| data.trace.get(n));
    window.trace.said = shown.map(|record| (record.id, said));
}

/// Where the endpoints stand.
struct Columns {
    time: Rect,
    at: Vec<f32>,
}

impl Columns {
    fn new(t: &Theme, rect: Rect, count: usize) -> Self {
        let time = Rect::from_min_max(
            pos2(rect.left() + 16.0, rect.top()),
            pos2(rect.left() + 16.0 + t.px(84.0), rect.bottom()),
        );
        let side = t.px(64.0);
        let (left, right) = (time.right() + side, rect.right() - side - 16.0);
        let step = (right - left).max(0.0) / count.saturating_sub(1).max(1) as f32;
        let at = (0..count)
            .map(|i| (left + step * i as f32).round() + 0.5)
            .collect();
        Self { time, at }
    }

    fn x(&self, column: usize) -> f32 {
        self.at.get(column).copied().unwrap_or(self.time.right())
    }
}

fn heads(ui: &Ui, t: &Theme, body: Rect, columns: &Columns, endpoints: &[Column]) {
    let room = match columns.at.as_slice() {
        [a, b, ..] => (b - a - 8.0).max(20.0),
        _ => body.width(),
    };
    for (x, column) in columns.at.iter().zip(endpoints) {
        let place = Rect::from_center_size(
            pos2(*x, body.top() + t.px(15.0)),
            Vec2::new(room.min(t.px(170.0)), t.px(30.0)),
        );
        let (top, bottom) = place.split_top_bottom_at_fraction(0.5);
        let name = if column.is_local {
            strings::PRODUCT
        } else {
            strings::PEER
        };
        text_in(
            ui.painter(),
            top,
            name,
            t.small_strong(),
            t.muted,
            Align::Center,
        );
        text_in(
            ui.painter(),
            bottom,
            &column.address,
            t.mono_small(),
            t.faint,
            Align::Center,
        );
    }
}

/// Draws one row and answers with what it says.
fn draw(ui: &Ui, rect: Rect, kit: &Kit<'_>, columns: &Columns, row: &Row) -> String {
    let t = &kit.t;
    let painter = ui.painter();
    if !matches!(row.what, Mark::Gap { .. }) {
        let time = kit.local(row.time).clock_millis();
        let place = Rect::from_x_y_ranges(columns.time.x_range(), rect.y_range());
        text_in(painter, place, &time, t.mono_small(), t.faint, Align::Min);
    }
    match &row.what {
        Mark::Gap { length } => {
            let words = strings::pause(&format!("{} s", format::figure(length.as_secs_f32())));
            let left = columns.x(0);
            let right = columns.at.last().copied().unwrap_or(left);
            for x in &columns.at {
                // The line is broken where time is.
                let gap = Rect::from_center_size(pos2(*x, rect.center().y), Vec2::new(5.0, 10.0));
                painter.rect_filled(gap, 0.0, t.panel);
                for y in [gap.top(), gap.bottom()] {
                    painter.hline(x - 4.0..=x + 4.0, y, Stroke::new(1.0, t.outline));
                }
            }
            let place = Rect::from_x_y_ranges(left..=right, rect.y_range());
            text_in(painter, place, &words, t.small(), t.faint, Align::Center);
            words
        }
        Mark::Note { text, .. } => {
            let mut bar = Bar::over(
                Rect::from_min_max(
                    pos2(columns.time.right(), rect.top()),
                    pos2(rect.right() - 16.0, rect.bottom()),
                ),
                6.0,
            );
            let icon = bar.left(t.px(16.0));
            icon_in(painter, icon, icons::INFO, t.icon(14.0), t.warn);
            let words = galley(painter, text, t.small(), t.muted, bar.rest().width());
            let ground = Rect::from_min_size(
                pos2(bar.rest().left() - 2.0, rect.center().y - t.px(8.0)),
                Vec2::new(words.size().x + 4.0, t.px(16.0)),
            );
            painter.rect_filled(ground, 2.0, t.panel);
            text_in(painter, bar.rest(), text, t.small(), t.muted, Align::Min);
            text.clone()
        }
        Mark::Arrow(it) => arrow(ui, rect, t, columns, it),
    }
}

fn ink_of(t: &Theme, meaning: Meaning) -> Color32 {
    match meaning {
        Meaning::Request => t.accent,
        Meaning::Provisional | Meaning::Other => t.muted,
        Meaning::Success => t.good,
        Meaning::Redirect | Meaning::Challenge => t.warn,
        Meaning::Failure => t.bad,
    }
}

fn arrow(ui: &Ui, rect: Rect, t: &Theme, columns: &Columns, it: &Arrow) -> String {
    let painter = ui.painter();
    let ink = ink_of(t, it.meaning);
    let y = (rect.bottom() - t.px(8.0)).round() + 0.5;
    let (a, b) = (columns.x(it.from), columns.x(it.to));
    let way = if b > a { 1.0 } else { -1.0 };
    let tip = b - way * 1.0;
    let thick = if it.meaning == Meaning::Failure {
        2.0
    } else {
        1.5
    };
    painter.hline(a.min(tip)..=a.max(tip), y, Stroke::new(thick, ink));
    painter.add(Shape::convex_polygon(
        vec![
            pos2(tip, y),
            pos2(tip - way * 7.0, y - 4.0),
            pos2(tip - way * 7.0, y + 4.0),
        ],
        ink,
        Stroke::NONE,
    ));
    let request = it.meaning == Meaning::Request;
    let (font, words_ink) = if request {
        (t.strong(), ink)
    } else {
        (t.body(), ink)
    };
    let mut badges = Vec::new();
    if it.has_sdp {
        badges.push("SDP".to_owned());
    }
    if let Some(code) = it.authenticated {
        badges.push(strings::authenticated(code));
    }
    if it.times_seen > 1 {
        badges.push(format!("×{}", it.times_seen));
    }
    let badge = badges.join("  ");
    let loud = if it.times_seen > 1 { t.warn } else { t.faint };
    let place = Rect::from_min_max(
        pos2(a.min(b) + 8.0, rect.top() + 2.0),
        pos2(a.max(b) - 8.0, y - 2.0),
    );
    let extra = galley(painter, &badge, t.small(), loud, f32::INFINITY);
    let gap = if badge.is_empty() { 0.0 } else { 8.0 };
    let room = (place.width() - extra.size().x - gap).max(10.0);
    let words = galley(painter, &it.label, font.clone(), words_ink, room);
    let whole = words.size().x + gap + extra.size().x;
    let left = (place.center().x - whole / 2.0).round();
    let at = Rect::from_min_size(
        pos2(left, place.top()),
        Vec2::new(words.size().x, place.height()),
    );
    let roomy = at.expand2(Vec2::new(1.0, 0.0));
    text_in(painter, roomy, &it.label, font, words_ink, Align::Min);
    let at = Rect::from_min_size(
        pos2(at.right() + gap, place.top()),
        Vec2::new(extra.size().x + 2.0, place.height()),
    );
    text_in(painter, at, &badge, t.small(), loud, Align::Min);
    format!("{} {badge}", it.label).trim_end().to_owned()
}
