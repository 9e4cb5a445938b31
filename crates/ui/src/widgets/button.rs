//! Buttons.

use egui::{Align, Color32, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo};

use super::text;
use crate::theme::Theme;

/// How loud a button is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one thing this screen is for.
    Primary,
    /// Answer.
    Answer,
    /// Ends or removes something.
    Danger,
    /// One of several things.
    Quiet,
    /// Seen only when looked for.
    Ghost,
    /// Leads to removing something.
    DangerGhost,
}

/// A button with an icon, words, or both.
pub(crate) struct Button<'a> {
    kind: Kind,
    words: &'a str,
    name: Option<&'a str>,
    icon: Option<&'a str>,
    filled: bool,
    outlined: bool,
    tip: Option<String>,
    on: bool,
    enabled: bool,
    height: f32,
    width: Option<f32>,
    small: bool,
    ink: Option<Color32>,
}

impl<'a> Button<'a> {
    /// A button with words.
    pub(crate) fn new(kind: Kind, words: &'a str) -> Self {
        Self {
            kind,
            words,
            name: None,
            icon: None,
            filled: false,
            outlined: false,
            tip: None,
            on: false,
            enabled: true,
            height: 28.0,
            width: None,
            small: false,
            ink: None,
        }
    }

    /// A square button with an icon; `name` is its tooltip and what a screen reader says.
    pub(crate) fn icon_only(kind: Kind, icon: &'a str, name: &'a str) -> Self {
        Self {
            name: Some(name),
            icon: Some(icon),
            tip: Some(name.to_owned()),
            ..Self::new(kind, "")
        }
    }

    /// An icon before the words.
    pub(crate) fn icon(mut self, icon: &'a str) -> Self {
        self.icon = Some(icon);
        self
    }

    /// The icon is of the filled family.
    pub(crate) fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// The icon stays an outline also while the button is on.
    pub(crate) fn outlined(mut self) -> Self {
        self.outlined = true;
        self
    }

    /// What a screen reader says, when the words alone do not tell.
    pub(crate) fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// More words, under the pointer.
    pub(crate) fn tip(mut self, tip: impl Into<String>) -> Self {
        self.tip = Some(tip.into());
        self
    }

    /// Whether what it switches is on.
    pub(crate) fn on(mut self, on: bool) -> Self {
        self.on = on;
        self
    }

    /// Whether it can be pressed.
    pub(crate) fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Its height before text scaling.
    pub(crate) fn height(mut self, height: f32) -> Self {
        self.height = height;
        self
    }

    /// Its width in pixels, when it is not that of its words.
    pub(crate) fn width(mut self, width: f32) -> Self {
        self.width = Some(width);
        self
    }

    /// Small words.
    pub(crate) fn small(mut self) -> Self {
        self.small = true;
        self.height = 24.0;
        self
    }

    /// The colour of its icon and words, where they tell a state.
    pub(crate) fn ink(mut self, ink: Color32) -> Self {
        self.ink = Some(ink);
        self
    }

    /// How wide it will be.
    pub(crate) fn measure(&self, ui: &Ui, t: &Theme) -> f32 {
        if let Some(width) = self.width {
            return width;
        }
        if self.words.is_empty() {
            return t.px(self.height);
        }
        let words = text::galley(
            ui.painter(),
            self.words,
            self.font(t),
            Color32::WHITE,
            f32::INFINITY,
        );
        let icon = if self.icon.is_some() {
            t.px(16.0) + 6.0
        } else {
            0.0
        };
        (words.size().x + icon + 2.0 * self.padding()).ceil()
    }

    /// How tall it will be.
    pub(crate) fn tall(&self, t: &Theme) -> f32 {
        t.px(self.height)
    }

    fn padding(&self) -> f32 {
        if self.small { 8.0 } else { 12.0 }
    }

    fn font(&self, t: &Theme) -> egui::FontId {
        match (self.kind, self.small) {
            (Kind::Primary | Kind::Answer | Kind::Danger, false) => t.strong(),
            (_, false) => t.body(),
            (_, true) => t.small(),
        }
    }

    fn colours(&self, t: &Theme, hovered: bool, pressed: bool) -> (Color32, Color32) {
        if !self.enabled {
            let fill = match self.kind {
                Kind::Ghost | Kind::DangerGhost => Color32::TRANSPARENT,
                _ => t.hover,
            };
            return (fill, t.faint.gamma_multiply(0.7));
        }
        let lift = |fill: Color32| {
            let towards = if t.dark {
                Color32::WHITE
            } else {
                Color32::BLACK
            };
            let by = if pressed {
                0.16
            } else if hovered {
                0.08
            } else {
                0.0
            };
            fill.lerp_to_gamma(towards, by)
        };
        let soft = if pressed || hovered {
            t.selected
        } else {
            t.hover
        };
        let ghost = if pressed {
            t.selected
        } else if hovered {
            t.hover
        } else {
            Color32::TRANSPARENT
        };
        match self.kind {
            Kind::Primary => (lift(t.accent_fill), t.on_accent),
            Kind::Answer => (lift(t.good_fill), t.on_good),
            Kind::Danger => (lift(t.bad_fill), t.on_bad),
            Kind::Quiet if self.on => (t.selected, t.accent),
            Kind::Quiet => (soft, t.text),
            Kind::Ghost if self.on => (t.selected, t.text),
            Kind::Ghost => (ghost, if hovered { t.text } else { t.muted }),
            Kind::DangerGhost => (ghost, t.bad),
        }
    }

    /// Draws it.
    pub(crate) fn show(self, ui: &mut Ui, t: &Theme) -> Response {
        let size = Vec2::new(self.measure(ui, t), t.px(self.height));
        let sense = if self.enabled {
            Sense::click()
        } else {
            Sense::hover()
        };
        let (rect, response) = ui.allocate_exact_size(size, sense);
        self.paint(ui, t, rect, &response);
        self.finish(response)
    }

    /// Draws it into a place that the caller has chosen and allocated. Its name must be the only such one
    /// in this `Ui`.
    pub(crate) fn show_in(self, ui: &mut Ui, t: &Theme, rect: Rect) -> Response {
        let sense = if self.enabled {
            Sense::click()
        } else {
            Sense::hover()
        };
        let id = ui
            .scope_id()
            .with(("button", self.name.unwrap_or(self.words)));
        let response = ui.interact(rect, id, sense);
        self.paint(ui, t, rect, &response);
        self.finish(response)
    }

    fn finish(self, response: Response) -> Response {
        let name = self.name.unwrap_or(self.words);
        let (enabled, on) = (self.enabled, self.on);
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Button, enabled, name);
            if on {
                info.selected = Some(true);
            }
            info
        });
        match self.tip {
            Some(tip) => response.on_hover_text(tip),
            None => response,
        }
    }

    fn paint(&self, ui: &Ui, t: &Theme, rect: Rect, response: &Response) {
        let hovered = response.hovered();
        let pressed = response.is_pointer_button_down_on();
        let (fill, ink) = self.colours(t, hovered, pressed);
        let ink = self.ink.filter(|_| self.enabled).unwrap_or(ink);
        let painter = ui.painter();
        painter.rect_filled(rect, 6.0, fill);
        if t.outlined && self.enabled {
            painter.rect_stroke(rect, 6.0, Stroke::new(1.0, t.outline), StrokeKind::Inside);
        }
        if response.has_focus() {
            painter.rect_stroke(rect.expand(1.0), 7.0, t.focus(), StrokeKind::Outside);
        }
        let icon_font = if self.filled || (self.on && !self.outlined) {
            t.icon_fill(16.0)
        } else {
            t.icon(16.0)
        };
        match (self.icon, self.words.is_empty()) {
            (Some(icon), true) => text::icon_in(painter, rect, icon, icon_font, ink),
            (Some(icon), false) => {
                let room = rect.width() - 2.0 * self.padding() - t.px(16.0) - 6.0;
                let words = text::galley(painter, self.words, self.font(t), ink, room + 1.0);
                let whole = t.px(16.0) + 6.0 + words.size().x;
                let left = (rect.center().x - whole / 2.0).round();
                let place = Rect::from_min_size(
                    egui::pos2(left, rect.top()),
                    Vec2::new(t.px(16.0), rect.height()),
                );
                text::icon_in(painter, place, icon, icon_font, ink);
                let line =
                    Rect::from_min_max(egui::pos2(place.right() + 6.0, rect.top()), rect.max);
                text::text_in(painter, line, self.words, self.font(t), ink, Align::Min);
            }
            (None, _) => {
                let line = rect.shrink2(Vec2::new(self.padding().min(rect.width() / 4.0), 0.0));
                text::text_in(
                    painter,
                    line.expand2(Vec2::new(1.0, 0.0)),
                    self.words,
                    self.font(t),
                    ink,
                    Align::Center,
                );
            }
        }
    }
}
