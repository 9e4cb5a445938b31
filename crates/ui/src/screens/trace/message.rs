//! One message as it was on the wire, but for its secrets.

use std::ops::Range;

use egui::{
    Color32, FontId, Label, Rect, Role, ScrollArea, Ui, WidgetInfo,
    text::{LayoutJob, TextFormat},
};
use model::{TraceBody, TraceRecord};
use trace::Summary;
use trace::redact::{RedactOptions, Redactor};

use super::super::Kit;
use super::syntax::{self, Part};
use super::{pane_head, request_ink, status_ink};
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
    let parts = match &record.body {
        TraceBody::Sip { .. } => syntax::parts(&text),
        TraceBody::Note { .. } => vec![(Part::Value, 0..text.len())],
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
    if let TraceBody::Sip {
        sent,
        transport,
        local,
        peer,
        bytes,
    } = &record.body
    {
        let arrow = if *sent { "→" } else { "←" };
        let words = format!(
            "{}  {local} {arrow} {peer}  {} bytes",
            transport.as_str(),
            crate::format::count(bytes.len())
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
            let mut job = coloured(t, &text, &parts, summary.code());
            job.wrap.max_width = ui.available_width() - 12.0;
            ui.add(Label::new(job).selectable(true).wrap());
            ui.add_space(12.0);
        });
}

/// The message with each part of its syntax in its own ink.
fn coloured(t: &Theme, text: &str, parts: &[(Part, Range<usize>)], code: Option<u16>) -> LayoutJob {
    let mut job = LayoutJob::default();
    let font = t.mono();
    let line_height = (font.size * 1.5).round();
    for (part, range) in parts {
        let format = TextFormat {
            line_height: Some(line_height),
            ..TextFormat::simple(FontId::clone(&font), ink(t, *part, code))
        };
        job.append(text.get(range.clone()).unwrap_or(""), 0.0, format);
    }
    job
}

fn ink(t: &Theme, part: Part, code: Option<u16>) -> Color32 {
    match part {
        Part::Method => request_ink(t),
        Part::Status => status_ink(t, code),
        Part::Name => t.accent,
        Part::Version | Part::Sign => t.faint,
        Part::Parameter => t.muted,
        Part::Value | Part::Address => t.text,
        Part::Quoted => t.good,
        Part::Withheld | Part::Letter => t.warn,
        Part::Attribute => t.accent,
        Part::Body => t.muted,
    }
}
