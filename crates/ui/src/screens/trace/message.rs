//! One message as it was on the wire, but for its secrets.

use egui::{
    FontId, Label, Rect, Role, ScrollArea, Ui, WidgetInfo,
    text::{LayoutJob, TextFormat},
};
use model::{TraceBody, TraceRecord};
use trace::Summary;
use trace::redact::{RedactOptions, Redactor};

use super::super::Kit;
use super::{pane_head, status_ink};
use crate::theme::Theme;
use crate::widgets::{Button, Kind, text_in};
use crate::window::Window;
use crate::{icons, strings};

pub(crate) fn show(
    ui: &mut Ui,
    rect: Rect,
    kit: &Kit<'_>,
    window: &mut Window,
    record: &TraceRecord,
    summary: &Summary,
) {
    let t = &kit.t;
    let mut bar = pane_head(ui, rect, t, strings::MESSAGE);
    let text = Redactor::new([record], RedactOptions::secrets_only()).text(record);
    let size = match &record.body {
        TraceBody::Sip { bytes, .. } => Some(bytes.len()),
        TraceBody::Note { .. } => None,
    };
    let copy = Button::icon_only(Kind::Ghost, icons::COPY, strings::COPY_MESSAGE)
        .height(24.0)
        .tip(strings::COPY_MESSAGE_TIP);
    if bar.button_right(ui, t, copy).clicked() {
        ui.ctx().copy_text(trace::redact::message(record));
        window.trace.said = Some((record.id, strings::COPIED.to_owned()));
    }
    if let Some((of, said)) = &window.trace.said
        && *of == record.id
    {
        let words = crate::widgets::galley(ui.painter(), said, t.small(), t.good, rect.width());
        let place = bar.right(words.size().x);
        text_in(
            ui.painter(),
            place,
            said,
            t.small(),
            t.good,
            egui::Align::Max,
        );
        let response = ui.interact(place, ui.scope_id().with("said"), egui::Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Status, true, said));
    }
    if let (
        Some(size),
        TraceBody::Sip {
            sent,
            transport,
            local,
            peer,
            ..
        },
    ) = (size, &record.body)
    {
        let arrow = if *sent { "→" } else { "←" };
        let words = format!(
            "{}  {local} {arrow} {peer}  {} bytes",
            transport.as_str(),
            crate::format::count(size)
        );
        let place = bar.rest();
        text_in(
            ui.painter(),
            place,
            &words,
            t.mono_small(),
            t.faint,
            egui::Align::Min,
        );
    }
    let body = Rect::from_min_max(
        egui::pos2(rect.left() + 16.0, rect.top() + t.px(36.0)),
        egui::pos2(rect.right() - 4.0, rect.bottom()),
    );
    let mut inner = super::super::part(ui, body, "text");
    ScrollArea::vertical()
        .id_salt(("message", record.id))
        .auto_shrink(false)
        .show(&mut inner, |ui| {
            let mut job = coloured(t, &text, summary.code());
            job.wrap.max_width = ui.available_width() - 12.0;
            ui.add(Label::new(job).selectable(true).wrap());
            ui.add_space(12.0);
        });
}

/// Start line, header names, values and body, each in its own ink.
fn coloured(t: &Theme, text: &str, code: Option<u16>) -> LayoutJob {
    let mut job = LayoutJob::default();
    let font = t.mono();
    let line_height = (font.size * 1.5).round();
    let format = |ink| TextFormat {
        line_height: Some(line_height),
        ..TextFormat::simple(FontId::clone(&font), ink)
    };
    let mut in_head = true;
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            job.append("\n", 0.0, format(t.muted));
        }
        if index == 0 {
            job.append(line, 0.0, format(status_ink(t, code)));
        } else if line.is_empty() {
            in_head = false;
        } else if in_head {
            match line.split_once(':') {
                Some((name, value)) => {
                    job.append(name, 0.0, format(t.accent));
                    job.append(":", 0.0, format(t.faint));
                    job.append(value, 0.0, format(t.text));
                }
                None => job.append(line, 0.0, format(t.text)),
            }
        } else {
            match line.split_once('=') {
                Some((name, value)) if name.len() == 1 => {
                    job.append(name, 0.0, format(t.warn));
                    job.append("=", 0.0, format(t.faint));
                    job.append(value, 0.0, format(t.muted));
                }
                _ => job.append(line, 0.0, format(t.muted)),
            }
        }
    }
    job
}
