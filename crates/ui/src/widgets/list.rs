//! Lists that draw only what is seen.

use std::ops::Range;

use egui::{Id, Rect, Response, ScrollArea, Sense, StrokeKind, Ui, Vec2, pos2};

use crate::theme::Theme;

/// The place of a list.
pub(crate) struct Rows<'a> {
    /// Name of the list, unique on its screen.
    pub(crate) id: &'a str,
    /// Height of each row.
    pub(crate) height: f32,
    /// How many rows there are.
    pub(crate) count: usize,
    /// A row to bring into view in this frame.
    pub(crate) reveal: Option<usize>,
    /// Whether the list stays at its end while rows are added.
    pub(crate) follow: bool,
    /// Whether it moves by whole rows: under the heads of columns half a row reads as a mistake.
    pub(crate) whole: bool,
}

/// Draws the rows that are in view. `draw` is given the row's number, its place, and the response to a
/// click on it; it paints and names it. Answers with the rows that were drawn.
pub(crate) fn rows(
    ui: &mut Ui,
    spec: &Rows<'_>,
    mut draw: impl FnMut(&mut Ui, usize, Rect, Response),
) -> Range<usize> {
    let mut drawn = 0..0;
    let room = ui.available_height();
    let tall = if spec.whole {
        (room / spec.height).floor().max(1.0) * spec.height
    } else {
        room
    };
    ScrollArea::vertical()
        .id_salt(spec.id)
        .max_height(tall)
        .auto_shrink(false)
        .stick_to_bottom(spec.follow)
        .show_viewport(ui, |ui, viewport| {
            let total = spec.height * spec.count as f32;
            let width = ui.available_width();
            let origin = ui.max_rect().min;
            ui.allocate_space(Vec2::new(width, total.max(1.0)));
            let shift = if spec.whole {
                viewport.min.y - (viewport.min.y / spec.height).round() * spec.height
            } else {
                0.0
            };
            let place = |index: usize| {
                Rect::from_min_size(
                    pos2(origin.x, origin.y + shift + spec.height * index as f32),
                    Vec2::new(width, spec.height),
                )
            };
            let first = ((viewport.min.y - shift) / spec.height).floor().max(0.0) as usize;
            let last = ((viewport.max.y - shift) / spec.height).ceil().max(0.0) as usize;
            drawn = first.min(spec.count)..last.min(spec.count);
            let list = Id::unique(("list", spec.id));
            for index in drawn.clone() {
                let rect = place(index);
                let response = ui.interact(rect, list.with(index), Sense::click());
                draw(ui, index, rect, response);
            }
            if let Some(index) = spec.reveal {
                ui.scroll_to_rect(place(index).translate(Vec2::new(0.0, -shift)), None);
            }
        });
    drawn
}

/// The ground of a row: selected, under the pointer, or with the keyboard.
pub(crate) fn row_ground(ui: &Ui, t: &Theme, rect: Rect, response: &Response, selected: bool) {
    let rect = rect.shrink2(Vec2::new(4.0, 1.0));
    if selected {
        ui.painter().rect_filled(rect, 6.0, t.selected);
    } else if response.hovered() {
        ui.painter().rect_filled(rect, 6.0, t.hover);
    }
    if response.has_focus() {
        ui.painter()
            .rect_stroke(rect, 6.0, t.focus(), StrokeKind::Inside);
    }
}
