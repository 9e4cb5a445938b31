//! The screens and the shell around them.

mod account_list;
mod accounts;
mod call_card;
mod dial;
mod first_run;
mod history;
mod keys;
mod login;
mod messages;
mod overlay;
mod phone;
mod settings;
mod shell;
mod trace;

use std::sync::Arc;

use egui::{Align, Layout, Rect, Ui, UiBuilder, Vec2, pos2};
use model::{Command, Timestamp};

pub use messages::{MessagesWindow, Thread};
pub use shell::show;
pub use trace::TraceWindow;

use crate::format::Local;
use crate::theme::Theme;
use crate::{Action, Live};

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    /// One column.
    Compact,
    /// The rail and one screen.
    Medium,
    /// The rail, the account list and one screen.
    Wide,
}

/// What every screen draws with.
pub(crate) struct Kit<'a> {
    pub(crate) t: Arc<Theme>,
    pub(crate) live: &'a Live<'a>,
    pub(crate) room: Room,
    offset_s: i32,
    actions: Vec<Action>,
}

impl Kit<'_> {
    pub(crate) fn send(&mut self, command: Command) {
        self.actions.push(Action::Command(command));
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn local(&self, time: Timestamp) -> Local {
        Local::new(time, self.offset_s)
    }
}

/// A `Ui` for this place, with its own names.
pub(crate) fn part(ui: &mut Ui, rect: Rect, name: impl egui::AsIdSalt) -> Ui {
    let mut child = ui.new_child(
        UiBuilder::new()
            .id_salt(name)
            .max_rect(rect)
            .layout(Layout::top_down(Align::Min)),
    );
    child.shrink_clip_rect(rect);
    child
}

/// A line that is filled from both ends.
pub(crate) struct Bar {
    rect: Rect,
    gap: f32,
}

impl Bar {
    /// Takes the next `height` of the `Ui`.
    pub(crate) fn new(ui: &mut Ui, height: f32, gap: f32) -> Self {
        let (rect, _) = ui.allocate_exact_size(
            Vec2::new(ui.available_width(), height),
            egui::Sense::hover(),
        );
        Self { rect, gap }
    }

    /// Fills a place that is there already.
    pub(crate) fn over(rect: Rect, gap: f32) -> Self {
        Self { rect, gap }
    }

    /// The next place at the left.
    pub(crate) fn left(&mut self, width: f32) -> Rect {
        let edge = (self.rect.left() + width).min(self.rect.right());
        let place = Rect::from_min_max(self.rect.min, pos2(edge, self.rect.bottom()));
        self.rect.min.x = (edge + self.gap).min(self.rect.right());
        place
    }

    /// The next place at the right.
    pub(crate) fn right(&mut self, width: f32) -> Rect {
        let edge = (self.rect.right() - width).max(self.rect.left());
        let place = Rect::from_min_max(pos2(edge, self.rect.top()), self.rect.max);
        self.rect.max.x = (edge - self.gap).max(self.rect.left());
        place
    }

    /// Lets what comes next at the left begin further left, so that its words and not its ground stand
    /// on the edge.
    pub(crate) fn outdent(&mut self, by: f32) {
        self.rect.min.x -= by;
    }

    /// Lets what comes next at the right stand closer to what came before.
    pub(crate) fn outdent_right(&mut self, by: f32) {
        self.rect.max.x += by;
    }

    /// What is left.
    pub(crate) fn rest(&self) -> Rect {
        self.rect
    }

    /// A button at the left, in the middle of the height.
    pub(crate) fn button_left(
        &mut self,
        ui: &mut Ui,
        t: &Theme,
        button: crate::widgets::Button<'_>,
    ) -> egui::Response {
        let (width, height) = (button.measure(ui, t), button.tall(t));
        let place = self.left(width);
        let rect = Rect::from_center_size(place.center(), Vec2::new(place.width(), height));
        button.show_in(ui, t, snap(rect))
    }

    /// A button at the right, in the middle of the height.
    pub(crate) fn button_right(
        &mut self,
        ui: &mut Ui,
        t: &Theme,
        button: crate::widgets::Button<'_>,
    ) -> egui::Response {
        let (width, height) = (button.measure(ui, t), button.tall(t));
        let place = self.right(width);
        let rect = Rect::from_center_size(place.center(), Vec2::new(place.width(), height));
        button.show_in(ui, t, snap(rect))
    }
}

/// The same place on whole pixels.
pub(crate) fn snap(rect: Rect) -> Rect {
    Rect::from_min_size(rect.min.round(), rect.size().round())
}
