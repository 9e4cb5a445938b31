//! Words on the screen.

use std::sync::Arc;

use egui::{
    Align, Color32, FontId, Galley, Painter, Pos2, Rect, Response, Role, Sense, Ui, Vec2,
    WidgetInfo,
    text::{LayoutJob, TextFormat, TextWrapping},
};

use super::Button;
use crate::theme::Theme;

/// One line of text, cut with an ellipsis at `width`.
pub(crate) fn galley(
    painter: &Painter,
    text: &str,
    font: FontId,
    colour: Color32,
    width: f32,
) -> Arc<Galley> {
    let mut job = LayoutJob::simple_singleline(text.to_owned(), font, colour);
    job.wrap = TextWrapping::truncate_at_width(width.max(0.0));
    painter.layout_job(job)
}

/// Paints one line into `rect`, vertically centred, cut when too long. Answers whether it was cut.
pub(crate) fn text_in(
    painter: &Painter,
    rect: Rect,
    text: &str,
    font: FontId,
    colour: Color32,
    align: Align,
) -> bool {
    let galley = galley(painter, text, font, colour, rect.width());
    let cut = galley.elided;
    paint_line(painter, rect, galley, colour, align);
    cut
}

fn paint_line(painter: &Painter, rect: Rect, galley: Arc<Galley>, colour: Color32, align: Align) {
    let x = match align {
        Align::Min => rect.left(),
        Align::Center => rect.center().x - galley.size().x / 2.0,
        Align::Max => rect.right() - galley.size().x,
    };
    let y = rect.center().y - galley.size().y / 2.0;
    painter.galley(Pos2::new(x.round(), y.round()), galley, colour);
}

/// Paints an icon in the middle of `rect`.
pub(crate) fn icon_in(painter: &Painter, rect: Rect, icon: &str, font: FontId, colour: Color32) {
    text_in(
        painter,
        Rect::from_center_size(rect.center(), Vec2::splat(font.size * 1.5)),
        icon,
        font,
        colour,
        Align::Center,
    );
}

/// One line of text as wide as there is room, with the whole text in a tooltip when it was cut.
pub(crate) fn label(ui: &mut Ui, text: &str, font: FontId, colour: Color32) -> Response {
    let galley = galley(ui.painter(), text, font, colour, ui.available_width());
    let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
    let cut = galley.elided;
    ui.painter().galley(rect.min, galley, colour);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    if cut {
        response.on_hover_text(text)
    } else {
        response
    }
}

/// A passage that wraps.
pub(crate) fn paragraph(ui: &mut Ui, text: &str, font: FontId, colour: Color32) -> Response {
    let mut job = LayoutJob::single_section(
        text.to_owned(),
        TextFormat {
            line_height: Some((font.size * 1.45).round()),
            ..TextFormat::simple(font, colour)
        },
    );
    job.wrap.max_width = ui.available_width();
    let galley = ui.painter().layout_job(job);
    let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
    ui.painter().galley(rect.min, galley, colour);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    response
}

/// The heading of a screen or of a large part of it.
pub(crate) fn heading(ui: &mut Ui, t: &Theme, text: &str) -> Response {
    label(ui, text, t.large_strong(), t.text)
}

/// The quiet name of a group.
pub(crate) fn caption(ui: &mut Ui, t: &Theme, text: &str) -> Response {
    label(ui, text, t.small_strong(), t.faint)
}

/// What stands where nothing is yet: an icon, what this place is for, and what to do about it.
pub(crate) fn empty(
    ui: &mut Ui,
    t: &Theme,
    icon: &str,
    title: &str,
    text: &str,
    action: Option<Button<'_>>,
) -> Option<Response> {
    let width = ui.available_width().min(t.px(320.0));
    let room = ui.available_height();
    ui.add_space(((room - t.px(170.0)) * 0.4).max(12.0).round());
    let mut clicked = None;
    ui.vertical_centered(|ui| {
        ui.set_max_width(width);
        ui.spacing_mut().item_spacing.y = 4.0;
        let (rect, _) = ui.allocate_exact_size(Vec2::splat(t.px(48.0)), Sense::hover());
        ui.painter()
            .circle_filled(rect.center(), rect.width() / 2.0, t.raised);
        icon_in(ui.painter(), rect, icon, t.icon(22.0), t.faint);
        ui.add_space(8.0);
        label(ui, title, t.strong(), t.text);
        centred(ui, t, text);
        if let Some(button) = action {
            ui.add_space(12.0);
            clicked = Some(button.show(ui, t));
        }
    });
    clicked
}

fn centred(ui: &mut Ui, t: &Theme, text: &str) {
    let font = t.body();
    let mut job = LayoutJob::single_section(
        text.to_owned(),
        TextFormat {
            line_height: Some((font.size * 1.45).round()),
            ..TextFormat::simple(font, t.muted)
        },
    );
    job.wrap.max_width = ui.available_width();
    let once = ui.painter().layout_job(job.clone());
    if once.rows.len() > 1 {
        // Lines of about the same length, so that no word is left alone in the last one.
        let whole: f32 = once.rows.iter().map(|row| row.rect().width()).sum();
        let even = whole / once.rows.len() as f32 * 1.12;
        job.wrap.max_width = even.min(job.wrap.max_width);
    }
    job.halign = Align::Center;
    let galley = ui.painter().layout_job(job);
    let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
    ui.painter()
        .galley(Pos2::new(rect.center().x, rect.top()), galley, t.muted);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
}
