//! Setting how much of something there is.

use egui::{
    Align, Layout, Rect, Slider, SliderClamping, Stroke, StrokeKind, Ui, UiBuilder, Vec2,
    WidgetInfo,
};

use crate::theme::Theme;

/// So many percent move with a key, and the pointer finds no others.
const STEP: f64 = 5.0;

/// Percent from 0 to `most` in the middle of `place`; answers with others that were chosen.
pub(crate) fn percent_slider(
    ui: &mut Ui,
    t: &Theme,
    name: &str,
    percent: u8,
    most: u8,
    place: Rect,
) -> Option<u8> {
    let room = UiBuilder::new()
        .id_salt(name)
        .max_rect(place)
        .layout(Layout::left_to_right(Align::Center));
    let mut ui = ui.new_child(room);
    ui.spacing_mut().slider_width = place.width();
    ui.spacing_mut().interact_size = Vec2::splat(t.px(18.0));
    let widgets = &mut ui.visuals_mut().widgets;
    for (state, fill) in [
        (&mut widgets.inactive, t.selected),
        (&mut widgets.hovered, t.outline),
        (&mut widgets.active, t.outline),
    ] {
        state.bg_fill = fill;
        state.fg_stroke = Stroke::new(1.5, t.muted);
    }
    let mut chosen = percent;
    let slider = Slider::new(&mut chosen, 0..=most)
        .step_by(STEP)
        // What was set elsewhere stands between two steps until it is moved.
        .clamping(SliderClamping::Edits)
        .trailing_fill(true)
        .show_value(false);
    let response = ui.add(slider);
    if response.has_focus() {
        let ring = response.rect.expand(3.0);
        let painter = ui.painter();
        painter.rect_stroke(ring, 6.0, t.focus(), StrokeKind::Inside);
    }
    response.widget_info(|| WidgetInfo::slider(true, f64::from(chosen), name));
    (chosen != percent).then_some(chosen)
}
