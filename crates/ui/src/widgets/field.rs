//! Text fields.

use egui::{
    Align, Frame, Id, Margin, Rect, Response, Role, Sense, Stroke, StrokeKind, TextEdit, Ui,
    UiBuilder, Vec2, WidgetInfo,
};

use super::text;
use crate::theme::Theme;

/// A field of one line.
pub(crate) struct Field<'a> {
    value: &'a mut String,
    name: &'a str,
    id: Option<Id>,
    hint: &'a str,
    icon: Option<&'a str>,
    password: bool,
    large: bool,
    height: f32,
    wrong: bool,
}

impl<'a> Field<'a> {
    /// A field; `name` is what a screen reader says.
    pub(crate) fn new(value: &'a mut String, name: &'a str) -> Self {
        Self {
            value,
            name,
            id: None,
            hint: "",
            icon: None,
            password: false,
            large: false,
            height: 28.0,
            wrong: false,
        }
    }

    /// The id that the keyboard is given by.
    pub(crate) fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// What stands there while it is empty.
    pub(crate) fn hint(mut self, hint: &'a str) -> Self {
        self.hint = hint;
        self
    }

    /// An icon at its left.
    pub(crate) fn icon(mut self, icon: &'a str) -> Self {
        self.icon = Some(icon);
        self
    }

    /// Shows dots.
    pub(crate) fn password(mut self) -> Self {
        self.password = true;
        self
    }

    /// Large text.
    pub(crate) fn large(mut self) -> Self {
        self.large = true;
        self.height = 40.0;
        self
    }

    /// Its height before text scaling.
    pub(crate) fn height(mut self, height: f32) -> Self {
        self.height = height;
        self
    }

    /// What is in it cannot be taken.
    pub(crate) fn wrong(mut self, wrong: bool) -> Self {
        self.wrong = wrong;
        self
    }

    /// Draws it as wide as there is room.
    pub(crate) fn show(self, ui: &mut Ui, t: &Theme) -> Response {
        let size = Vec2::new(ui.available_width(), t.px(self.height));
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        self.show_in(ui, t, rect)
    }

    /// Draws it with a line for each of its values, as high as they need.
    pub(crate) fn show_lines(self, ui: &mut Ui, t: &Theme) -> Response {
        let font = t.body();
        let row = ui.fonts_mut(|f| f.row_height(&font));
        let rows = self.value.split('\n').count().clamp(2, 6);
        let height = row * rows as f32 + 2.0 * 8.0;
        let size = Vec2::new(ui.available_width(), height.ceil());
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        let id = ui.scope_id().with(self.name);
        self.ground(ui, t, rect, id);
        let inner = rect.shrink2(Vec2::new(10.0, 8.0));
        let mut child = ui.new_child(UiBuilder::new().max_rect(inner));
        let response = egui::ScrollArea::vertical()
            .id_salt((self.name, "lines"))
            .auto_shrink(false)
            .show(&mut child, |ui| {
                ui.add(
                    TextEdit::multiline(self.value)
                        .id(id)
                        .font(font)
                        .text_color(t.text)
                        .frame(Frame::NONE)
                        .margin(Margin::ZERO)
                        .desired_rows(rows)
                        // Tab goes on to the next field, as everywhere.
                        .lock_focus(false)
                        .desired_width(inner.width()),
                )
            })
            .inner;
        response.accessible_name(self.name)
    }

    fn ground(&self, ui: &Ui, t: &Theme, rect: Rect, id: Id) {
        let focused = ui.memory(|m| m.has_focus(id));
        let edge = if self.wrong {
            Stroke::new(1.0, t.bad)
        } else if focused {
            Stroke::new(1.5, t.accent)
        } else {
            Stroke::new(1.0, t.outline)
        };
        ui.painter().rect_filled(rect, 6.0, t.field);
        ui.painter()
            .rect_stroke(rect, 6.0, edge, StrokeKind::Inside);
    }

    /// Draws it into a place that the caller has chosen and allocated.
    pub(crate) fn show_in(self, ui: &mut Ui, t: &Theme, rect: Rect) -> Response {
        let id = self.id.unwrap_or_else(|| ui.scope_id().with(self.name));
        self.ground(ui, t, rect, id);
        let mut inner = rect.shrink2(Vec2::new(10.0, 0.0));
        if let Some(icon) = self.icon {
            let place = Rect::from_min_size(inner.min, Vec2::new(t.px(16.0), inner.height()));
            text::icon_in(ui.painter(), place, icon, t.icon(16.0), t.faint);
            inner.min.x = place.right() + 6.0;
        }
        let font = if self.large { t.large() } else { t.body() };
        if self.value.is_empty() && !self.hint.is_empty() {
            // Drawn here and not by the field, so that it sits on the same line at every size.
            let hint_font = if self.large { t.body() } else { font.clone() };
            let mut place = inner;
            place.min.x += 1.0;
            text::text_in(
                ui.painter(),
                place,
                self.hint,
                hint_font,
                t.faint,
                Align::Min,
            );
        }
        let row = ui.fonts_mut(|f| f.row_height(&font));
        let line = Rect::from_center_size(inner.center(), Vec2::new(inner.width(), row));
        let line = Rect::from_min_size(line.min.round(), line.size());
        let mut child = ui.new_child(UiBuilder::new().max_rect(line));
        let response = child.add(
            TextEdit::singleline(self.value)
                .id(id)
                .font(font)
                .text_color(t.text)
                .password(self.password)
                .frame(Frame::NONE)
                .margin(Margin::ZERO)
                .min_size(Vec2::ZERO)
                .desired_width(line.width())
                .clip_text(true),
        );
        // A click beside the letters is meant for the field too.
        let around = ui.interact(rect, id.with("around"), Sense::CLICK);
        if around.clicked() {
            response.request_focus();
        }
        around.widget_info(|| WidgetInfo::new(Role::GenericContainer));
        response.accessible_name(self.name)
    }
}

/// A field of a form: its name above, and below it what is wrong or how a good value looks.
pub(crate) fn form_row(
    ui: &mut Ui,
    t: &Theme,
    name: &str,
    help: Option<&str>,
    wrong: Option<&str>,
    add: impl FnOnce(&mut Ui) -> Response,
) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        let caption = text::label(ui, name, t.small(), t.muted);
        let response = add(ui).labelled_by(caption.id);
        if let Some(wrong) = wrong {
            text::paragraph(ui, wrong, t.small(), t.bad);
        } else if let Some(help) = help {
            text::paragraph(ui, help, t.small(), t.faint);
        }
        response
    })
    .inner
}
