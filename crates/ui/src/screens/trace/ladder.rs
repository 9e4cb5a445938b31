//! The ladder of a dialog: a vertical line per endpoint, an arrow per message, time at the left.
//! Repeated messages are one arrow with a count, a challenge and its answer one quiet row, and a pause of
//! more than a second is drawn as a break.

use std::time::Duration;

use egui::{Align, Rect, Role, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2};
use model::{TraceBody, TraceRecord};

use super::super::{Bar, Kit, part};
use super::{pane_head, status_ink};
use crate::sip_line::SipLine;
use crate::theme::Theme;
use crate::trace_log::TraceLog;
use crate::view_state::Data;
use crate::widgets::{Button, Kind, Rows, empty, galley, icon_in, rows, text_in};
use crate::window::Window;
use crate::{format, icons, strings};

/// A pause of at least this long is drawn.
const PAUSE: Duration = Duration::from_secs(1);

/// The ladder of one Call-ID, kept while the log does not change.
#[derive(Default)]
pub(crate) struct Ladder {
    of: Option<(String, u64, u64)>,
    endpoints: Vec<String>,
    steps: Vec<Step>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A message between two columns, sent this many times.
    Arrow {
        number: u64,
        from: usize,
        to: usize,
        times: usize,
    },
    /// A challenge, its acknowledgement, and the request that answered it follows.
    Challenge { number: u64 },
    /// Something inside the program.
    Note { number: u64 },
    /// Nothing happened for this long.
    Pause(Duration),
}

impl Step {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Arrow { number, .. } | Self::Challenge { number } | Self::Note { number } => {
                Some(*number)
            }
            Self::Pause(_) => None,
        }
    }
}

impl Ladder {
    fn update(&mut self, log: &TraceLog, call_id: &str) {
        let of = (call_id.to_owned(), log.generation(), log.end());
        if self.of.as_ref() == Some(&of) {
            return;
        }
        let records = (log.first()..log.end())
            .filter(|n| log.line(*n).is_some_and(|l| l.call_id == call_id))
            .filter_map(|n| Some((n, log.get(n)?, log.line(n)?)));
        let (endpoints, steps) = layout(records);
        *self = Self {
            of: Some(of),
            endpoints,
            steps,
        };
    }
}

/// Lays records out: pure, so that a test can say what it makes of them.
fn layout<'a>(
    records: impl Iterator<Item = (u64, &'a TraceRecord, &'a SipLine)>,
) -> (Vec<String>, Vec<Step>) {
    let mut endpoints = vec![String::new()];
    let mut steps: Vec<Step> = Vec::new();
    let mut before: Option<(&TraceRecord, &SipLine)> = None;
    let mut seen: Vec<(&[u8], bool, usize)> = Vec::new();
    for (number, record, line) in records {
        if let Some((last, _)) = before {
            let pause = record.time.since(last.time);
            if pause >= PAUSE {
                steps.push(Step::Pause(pause));
            }
        }
        match &record.body {
            TraceBody::Note { .. } => steps.push(Step::Note { number }),
            TraceBody::Sip {
                sent,
                local,
                peer,
                bytes,
                ..
            } => {
                if endpoints.first().is_some_and(String::is_empty) {
                    endpoints[0].clone_from(local);
                }
                let there = endpoints.iter().skip(1).position(|e| e == peer);
                let there = there.map_or_else(
                    || {
                        endpoints.push(peer.clone());
                        endpoints.len() - 1
                    },
                    |at| at + 1,
                );
                let again = seen
                    .iter()
                    .find(|(b, s, _)| *b == &bytes[..] && s == sent)
                    .map(|(_, _, at)| *at);
                if let Some(Step::Arrow { times, .. }) = again.and_then(|at| steps.get_mut(at)) {
                    *times += 1;
                    before = Some((record, line));
                    continue;
                }
                let challenged = matches!(line.code, Some(401 | 407));
                let acknowledges = line.code.is_none()
                    && line.method == "ACK"
                    && before.is_some_and(|(_, l)| matches!(l.code, Some(401 | 407)));
                if challenged {
                    steps.push(Step::Challenge { number });
                } else if !acknowledges {
                    seen.push((bytes, *sent, steps.len()));
                    let (from, to) = if *sent { (0, there) } else { (there, 0) };
                    steps.push(Step::Arrow {
                        number,
                        from,
                        to,
                        times: 1,
                    });
                }
            }
        }
        before = Some((record, line));
    }
    // A pause before a repetition has nothing to stand between.
    while matches!(steps.last(), Some(Step::Pause(_))) {
        steps.pop();
    }
    steps.dedup_by(|a, b| matches!((a, b), (Step::Pause(_), Step::Pause(_))));
    (endpoints, steps)
}

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
    let mut ladder = std::mem::take(&mut window.trace.ladder);
    ladder.update(&data.trace, call_id);
    let columns = Columns::new(&t, body, ladder.endpoints.len());
    heads(ui, &t, body, &columns, &ladder.endpoints);
    let below = Rect::from_min_max(pos2(body.left(), body.top() + t.px(34.0)), body.max);
    for x in &columns.at {
        ui.painter()
            .vline(*x, below.y_range(), Stroke::new(1.0, t.outline));
    }
    let selected = window.trace.selected;
    let reveal = std::mem::take(&mut window.trace.reveal_step);
    let spec = Rows {
        id: "ladder",
        height: t.px(32.0),
        count: ladder.steps.len(),
        reveal: selected
            .filter(|_| reveal)
            .and_then(|n| ladder.steps.iter().position(|s| s.number() == Some(n))),
        follow: false,
    };
    let mut inner = part(ui, below, "steps");
    rows(&mut inner, &spec, |ui, at, rect, response| {
        let Some(step) = ladder.steps.get(at) else {
            return;
        };
        let on = step.number().is_some() && step.number() == selected;
        if step.number().is_some() {
            let ground = rect.shrink2(Vec2::new(8.0, 1.0));
            if on {
                ui.painter().rect_filled(ground, 6.0, t.selected);
            } else if response.hovered() {
                ui.painter().rect_filled(ground, 6.0, t.hover);
            }
            if on || response.hovered() {
                for x in &columns.at {
                    ui.painter()
                        .vline(*x, rect.y_range(), Stroke::new(1.0, t.outline));
                }
            }
        }
        let spoken = draw(ui, rect, kit, data, &columns, step);
        response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
        if response.clicked() && step.number().is_some() {
            window.trace.selected = step.number();
            window.trace.reveal = true;
        }
    });
    window.trace.ladder = ladder;
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

fn heads(ui: &Ui, t: &Theme, body: Rect, columns: &Columns, endpoints: &[String]) {
    let room = match columns.at.as_slice() {
        [a, b, ..] => (b - a - 8.0).max(20.0),
        _ => body.width(),
    };
    for (index, (x, address)) in columns.at.iter().zip(endpoints).enumerate() {
        let place = Rect::from_center_size(
            pos2(*x, body.top() + t.px(15.0)),
            Vec2::new(room.min(t.px(170.0)), t.px(30.0)),
        );
        let (top, bottom) = place.split_top_bottom_at_fraction(0.5);
        let name = if index == 0 {
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
            address,
            t.mono_small(),
            t.faint,
            Align::Center,
        );
    }
}

/// Draws one step and answers with what it says.
fn draw(ui: &Ui, rect: Rect, kit: &Kit<'_>, data: &Data, columns: &Columns, step: &Step) -> String {
    let t = &kit.t;
    let painter = ui.painter();
    if let Some(record) = step.number().and_then(|n| data.trace.get(n)) {
        let time = kit.local(record.time).clock_millis();
        let place = Rect::from_x_y_ranges(columns.time.x_range(), rect.y_range());
        text_in(painter, place, &time, t.mono_small(), t.faint, Align::Min);
    }
    match step {
        Step::Pause(length) => {
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
            tag(ui, t, place.center(), &words);
            words
        }
        Step::Challenge { number } => {
            let line = data.trace.line(*number);
            let code = line.and_then(|l| l.code).unwrap_or(401);
            let words = strings::challenged(code);
            let left = columns.x(0);
            let right = columns.at.last().copied().unwrap_or(left);
            let place = Rect::from_x_y_ranges(left..=right, rect.y_range());
            let width = tag(ui, t, place.center(), &words);
            let icon = Rect::from_center_size(
                pos2(place.center().x - width / 2.0 - 12.0, rect.center().y),
                Vec2::splat(t.px(14.0)),
            );
            icon_in(painter, icon, icons::KEY, t.icon(14.0), t.faint);
            words
        }
        Step::Note { number } => {
            let note = data.trace.line(*number).and_then(|l| l.note.clone());
            let words = note.unwrap_or_default();
            let mut bar = Bar::over(
                Rect::from_min_max(
                    pos2(columns.time.right(), rect.top()),
                    pos2(rect.right() - 16.0, rect.bottom()),
                ),
                6.0,
            );
            let icon = bar.left(t.px(16.0));
            icon_in(painter, icon, icons::INFO, t.icon(14.0), t.warn);
            let g = galley(painter, &words, t.small(), t.muted, bar.rest().width());
            let ground = Rect::from_min_size(
                pos2(bar.rest().left() - 2.0, rect.center().y - t.px(8.0)),
                Vec2::new(g.size().x + 4.0, t.px(16.0)),
            );
            painter.rect_filled(ground, 2.0, t.panel);
            text_in(painter, bar.rest(), &words, t.small(), t.muted, Align::Min);
            words
        }
        Step::Arrow {
            number,
            from,
            to,
            times,
        } => arrow(ui, rect, t, data, columns, (*number, *from, *to, *times)),
    }
}

/// A quiet word between the lines; answers with its width.
fn tag(ui: &Ui, t: &Theme, centre: egui::Pos2, words: &str) -> f32 {
    let g = galley(ui.painter(), words, t.small(), t.faint, f32::INFINITY);
    let place = Rect::from_center_size(centre, g.size() + Vec2::new(10.0, 2.0));
    text_in(
        ui.painter(),
        place,
        words,
        t.small(),
        t.faint,
        Align::Center,
    );
    place.width()
}

fn arrow(
    ui: &Ui,
    rect: Rect,
    t: &Theme,
    data: &Data,
    columns: &Columns,
    (number, from, to, times): (u64, usize, usize, usize),
) -> String {
    let painter = ui.painter();
    let line = data.trace.line(number).cloned().unwrap_or_default();
    let ink = match line.code {
        None => t.accent,
        code => status_ink(t, code),
    };
    let y = (rect.bottom() - t.px(8.0)).round() + 0.5;
    let (a, b) = (columns.x(from), columns.x(to));
    let way = if b > a { 1.0 } else { -1.0 };
    let tip = b - way * 1.0;
    let thick = if line.code.is_some_and(|c| c >= 400) {
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
    let mut words = line.what.clone();
    if line.code.is_some() && !line.method.is_empty() && line.method != "INVITE" {
        words = format!("{words} ({})", line.method);
    }
    let place = Rect::from_min_max(
        pos2(a.min(b) + 8.0, rect.top() + 2.0),
        pos2(a.max(b) - 8.0, y - 2.0),
    );
    let font = if line.code.is_none() {
        t.strong()
    } else {
        t.body()
    };
    let ink = match line.code {
        None => t.text,
        code => status_ink(t, code),
    };
    let mut badges = Vec::new();
    if line.sdp {
        badges.push("SDP".to_owned());
    }
    if times > 1 {
        badges.push(format!("×{times}"));
    }
    let badge = badges.join("  ");
    let extra = galley(painter, &badge, t.small(), t.faint, f32::INFINITY);
    let gap = if badge.is_empty() { 0.0 } else { 8.0 };
    let room = (place.width() - extra.size().x - gap).max(10.0);
    let g = galley(painter, &words, font.clone(), ink, room);
    let whole = g.size().x + gap + extra.size().x;
    let left = (place.center().x - whole / 2.0).round();
    let at = Rect::from_min_size(
        pos2(left, place.top()),
        Vec2::new(g.size().x, place.height()),
    );
    text_in(
        painter,
        at.expand2(Vec2::new(1.0, 0.0)),
        &words,
        font,
        ink,
        Align::Min,
    );
    let at = Rect::from_min_size(
        pos2(at.right() + gap, place.top()),
        Vec2::new(extra.size().x + 2.0, place.height()),
    );
    let loud = if times > 1 { t.warn } else { t.faint };
    text_in(painter, at, &badge, t.small(), loud, Align::Min);
    format!("{words} {badge}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{TenantId, Timestamp, Transport};

    use super::*;

    fn sip(seconds: i64, sent: bool, text: &str) -> TraceRecord {
        TraceRecord {
            id: 0,
            time: Timestamp(seconds * 100_000),
            tenant: TenantId::new("a"),
            account: None,
            call: None,
            body: TraceBody::Sip {
                sent,
                transport: Transport::Udp,
                local: "192.0.2.5:5060".to_owned(),
                peer: "192.0.2.9:5060".to_owned(),
                bytes: Arc::from(text.replace('\n', "\r\n").as_bytes()),
            },
        }
    }

    fn steps(records: &[TraceRecord]) -> Vec<Step> {
        let lines: Vec<SipLine> = records.iter().map(SipLine::of).collect();
        let all = records.iter().zip(&lines).enumerate();
        layout(all.map(|(n, (r, l))| (n as u64, r, l))).1
    }

    #[test]
    fn repeats_are_counted_challenges_folded_and_pauses_drawn() {
        let invite = "INVITE sip:b SIP/2.0\nCSeq: 1 INVITE\n\n";
        let made = steps(&[
            sip(0, true, invite),
            sip(5, true, invite),
            sip(6, false, "SIP/2.0 407 Login\nCSeq: 1 INVITE\n\n"),
            sip(6, true, "ACK sip:b SIP/2.0\nCSeq: 1 ACK\n\n"),
            sip(6, true, "INVITE sip:b SIP/2.0\nCSeq: 2 INVITE\n\n"),
            sip(36, false, "SIP/2.0 486 Busy Here\nCSeq: 2 INVITE\n\n"),
        ]);
        assert_eq!(
            made,
            [
                Step::Arrow {
                    number: 0,
                    from: 0,
                    to: 1,
                    times: 2
                },
                Step::Challenge { number: 2 },
                Step::Arrow {
                    number: 4,
                    from: 0,
                    to: 1,
                    times: 1
                },
                Step::Pause(Duration::from_secs(3)),
                Step::Arrow {
                    number: 5,
                    from: 1,
                    to: 0,
                    times: 1
                },
            ]
        );
    }
}
