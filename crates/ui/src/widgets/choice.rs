//! Choosing one of several.

use egui::{
    Align, Color32, Frame, Margin, Popup, PopupCloseBehavior, Rect, Response, Role, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo, pos2,
};

use super::text;
use crate::{icons, theme::Theme};

/// The frame of menus.
pub(crate) fn menu_frame(t: &Theme) -> Frame {
    Frame::NONE
        .fill(t.float)
        .stroke(Stroke::new(1.0, t.outline))
        .corner_radius(8)
        .inner_margin(Margin::same(4))
        .shadow(egui::Shadow {
            offset: [0, 6],
            blur: 20,
            spread: 0,
            color: Color32::from_black_alpha(if t.dark { 120 } else { 40 }),
        })
}

/// One line of a menu.
pub(crate) fn menu_row(ui: &mut Ui, t: &Theme, words: &str, chosen: bool) -> Response {
    let size = Vec2::new(ui.available_width(), t.row());
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 5.0, t.selected);
    }
    let mut line = rect.shrink2(Vec2::new(8.0, 0.0));
    let mark = Rect::from_min_size(
        pos2(line.right() - t.px(16.0), line.top()),
        Vec2::new(t.px(16.0), line.height()),
    );
    if chosen {
        text::icon_in(ui.painter(), mark, icons::CHECK, t.icon(16.0), t.accent);
    }
    line.max.x = mark.left() - 4.0;
    let cut = text::text_in(ui.painter(), line, words, t.body(), t.text, Align::Min);
    response.widget_info(|| WidgetInfo::selected(Role::MenuItemRadio, true, chosen, words));
    if cut {
        response.on_hover_text(words)
    } else {
        response
    }
}

/// One line of a menu that does something.
pub(crate) fn menu_act(ui: &mut Ui, t: &Theme, icon: &str, words: &str) -> Response {
    let size = Vec2::new(ui.available_width(), t.row());
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 5.0, t.selected);
    }
    let line = rect.shrink2(Vec2::new(8.0, 0.0));
    let mark = Rect::from_min_size(line.min, Vec2::new(t.px(16.0), line.height()));
    text::icon_in(ui.painter(), mark, icon, t.icon(16.0), t.muted);
    let words_at = Rect::from_min_max(pos2(mark.right() + 8.0, line.top()), line.max);
    text::text_in(ui.painter(), words_at, words, t.body(), t.text, Align::Min);
    response.widget_info(|| WidgetInfo::labeled(Role::MenuItem, true, words));
    response
}

/// A button that opens a menu of choices; answers with the chosen one's index.
pub(crate) fn select(
    ui: &mut Ui,
    t: &Theme,
    name: &str,
    options: &[String],
    chosen: usize,
) -> (Response, Option<usize>) {
    let size = Vec2::new(ui.available_width(), t.control());
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let shown = options.get(chosen).map_or("", String::as_str);
    let painter = ui.painter();
    let fill = if response.hovered() {
        t.selected
    } else {
        t.field
    };
    painter.rect_filled(rect, 6.0, fill);
    painter.rect_stroke(rect, 6.0, Stroke::new(1.0, t.outline), StrokeKind::Inside);
    if response.has_focus() {
        painter.rect_stroke(rect.expand(1.0), 7.0, t.focus(), StrokeKind::Outside);
    }
    let mut line = rect.shrink2(Vec2::new(10.0, 0.0));
    let caret = Rect::from_min_size(
        pos2(line.right() - t.px(12.0), line.top()),
        Vec2::new(t.px(12.0), line.height()),
    );
    line.max.x = caret.left() - 4.0;
    text::icon_in(painter, caret, icons::CARET_DOWN, t.icon(12.0), t.muted);
    text::text_in(painter, line, shown, t.body(), t.text, Align::Min);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, name);
        info.current_text_value = Some(shown.to_owned());
        info
    });
    let mut picked = None;
    Popup::menu(&response)
        .close_behavior(PopupCloseBehavior::CloseOnClick)
        .frame(menu_frame(t))
        .gap(4.0)
        .width(rect.width().max(t.px(160.0)) - 8.0)
        .accessible_name(name)
        .show(|ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            egui::ScrollArea::vertical()
                .max_height(t.px(320.0))
                .show(ui, |ui| {
                    for (index, words) in options.iter().enumerate() {
                        if menu_row(ui, t, words, index == chosen).clicked() {
                            picked = Some(index);
                        }
                    }
                });
        });
    (response, picked)
}

/// A row of choices of which one is on; answers with the newly chosen one's index.
pub(crate) fn segmented(
    ui: &mut Ui,
    t: &Theme,
    name: &str,
    options: &[&str],
    chosen: usize,
) -> Option<usize> {
    let widths = segment_widths(ui, t, options);
    let size = Vec2::new(widths.iter().sum::<f32>() + 4.0, t.control());
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(rect, 6.0, t.raised);
    if t.outlined {
        ui.painter()
            .rect_stroke(rect, 6.0, Stroke::new(1.0, t.outline), StrokeKind::Inside);
    }
    let mut picked = None;
    let mut left = rect.left() + 2.0;
    for (index, (words, width)) in options.iter().zip(&widths).enumerate() {
        let place = Rect::from_min_size(
            pos2(left, rect.top() + 2.0),
            Vec2::new(*width, rect.height() - 4.0),
        );
        left += width;
        let on = index == chosen;
        let response = ui.interact(place, ui.scope_id().with((name, index)), Sense::click());
        if on {
            ui.painter().rect_filled(place, 5.0, t.selected);
        } else if response.hovered() {
            ui.painter().rect_filled(place, 5.0, t.hover);
        }
        if response.has_focus() {
            ui.painter()
                .rect_stroke(place, 5.0, t.focus(), StrokeKind::Inside);
        }
        let ink = if on { t.text } else { t.muted };
        text::text_in(ui.painter(), place, words, t.body(), ink, Align::Center);
        let spoken = format!("{name}: {words}");
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, on, &spoken));
        if response.clicked() && !on {
            picked = Some(index);
        }
    }
    picked
}

/// How much room a row of these choices needs.
pub(crate) fn segmented_width(ui: &Ui, t: &Theme, options: &[&str]) -> f32 {
    segment_widths(ui, t, options).iter().sum::<f32>() + 4.0
}

fn segment_widths(ui: &Ui, t: &Theme, options: &[&str]) -> Vec<f32> {
    let padding = 12.0;
    let width = |words: &&str| {
        let g = text::galley(ui.painter(), words, t.body(), Color32::WHITE, f32::INFINITY);
        (g.size().x + 2.0 * padding).ceil()
    };
    options.iter().map(width).collect()
}

/// A switch with its words at the right.
pub(crate) fn switch(ui: &mut Ui, t: &Theme, words: &str, on: &mut bool) -> Response {
    let knob_room = Vec2::new(t.px(28.0), t.px(16.0));
    let galley = text::galley(
        ui.painter(),
        words,
        t.body(),
        t.text,
        ui.available_width() - knob_room.x - 10.0,
    );
    let size = Vec2::new(knob_room.x + 10.0 + galley.size().x, t.control());
    let (rect, mut response) = ui.allocate_exact_size(size, Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    let track = Rect::from_min_size(
        pos2(rect.left(), rect.center().y - knob_room.y / 2.0),
        knob_room,
    );
    let fill = if *on { t.accent_fill } else { t.selected };
    let painter = ui.painter();
    painter.rect_filled(track, track.height() / 2.0, fill);
    painter.rect_stroke(
        track,
        track.height() / 2.0,
        Stroke::new(1.0, if *on { t.accent_fill } else { t.outline }),
        StrokeKind::Inside,
    );
    let radius = track.height() / 2.0 - 3.0;
    let x = if *on {
        track.right() - radius - 3.0
    } else {
        track.left() + radius + 3.0
    };
    let knob = if *on { t.on_accent } else { t.muted };
    painter.circle_filled(pos2(x, track.center().y), radius, knob);
    if response.has_focus() {
        painter.rect_stroke(rect.expand(2.0), 6.0, t.focus(), StrokeKind::Inside);
    }
    let at = pos2(
        track.right() + 10.0,
        (rect.center().y - galley.size().y / 2.0).round(),
    );
    painter.galley(at, galley, t.text);
    let state = *on;
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, state, words));
    response
}
