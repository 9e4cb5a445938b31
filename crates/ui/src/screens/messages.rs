//! Text messages: with whom, what was said, and what became of each.

mod thread;
mod threads;

use egui::{Rect, Stroke, Ui, Vec2};
use model::{AccountId, Direction, MessageState, MessageView};

use super::{Kit, Room, part};
use crate::view_state::Data;
use crate::widgets::{Button, Kind, empty};
use crate::window::{FocusWish, Window};
use crate::{icons, strings};

/// What the person looks at among the messages.
#[derive(Default)]
pub struct MessagesWindow {
    /// The thread that is read; `None` shows the list, or nothing.
    pub with: Option<Thread>,
    /// Whether a message to somebody new is being written.
    pub writing: bool,
    /// To whom, while that is typed.
    pub to: String,
    /// What is being written.
    pub draft: String,
    /// The newest message that was told to be read.
    told_read: Option<u64>,
}

/// The messages between one account and one address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    /// Ours.
    pub account: AccountId,
    /// Theirs, as messages have it.
    pub address: String,
}

impl Thread {
    /// The thread that a message belongs to.
    pub fn of(message: &MessageView) -> Self {
        Self {
            account: message.account.clone(),
            address: message.remote.uri.reveal().to_owned(),
        }
    }

    fn has(&self, message: &MessageView) -> bool {
        message.account == self.account && message.remote.uri.reveal() == self.address
    }
}

impl MessagesWindow {
    /// Begins a message to somebody.
    pub(crate) fn write_to(&mut self, to: &str) {
        self.with = None;
        self.writing = true;
        self.to = to.to_owned();
        self.draft.clear();
    }

    /// A message is new: one of ours shows the thread it has begun.
    pub(crate) fn on_new(&mut self, message: &MessageView) {
        if self.writing && message.direction == Direction::Outgoing {
            self.writing = false;
            self.to.clear();
            self.with = Some(Thread::of(message));
        }
    }
}

/// How many messages of the tenant that is shown wait to be read.
pub(crate) fn unread(data: &Data, window: &Window) -> usize {
    data.messages
        .iter()
        .filter(|m| m.state == MessageState::Received && is_shown(m, window))
        .count()
}

fn is_shown(message: &MessageView, window: &Window) -> bool {
    window.tenant.as_ref().is_none_or(|t| *t == message.tenant)
}

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ui.spacing_mut().item_spacing = Vec2::ZERO;
    let none = !data.messages.iter().any(|m| is_shown(m, window));
    if none && !window.messages.writing {
        let write = Button::new(Kind::Primary, strings::NEW_MESSAGE)
            .icon(icons::CHAT_CIRCLE_TEXT)
            .height(36.0)
            .enabled(window.dial_account.is_some());
        let clicked = empty(
            ui,
            &t,
            icons::CHATS,
            strings::NO_MESSAGES,
            strings::NO_MESSAGES_TEXT,
            Some(write),
        );
        if clicked.is_some_and(|r| r.clicked()) {
            window.messages.write_to("");
            window.focus = Some(FocusWish::Form);
        }
        return;
    }
    if kit.room == Room::Compact {
        if window.messages.with.is_some() || window.messages.writing {
            thread::show(&mut part(ui, rect, "thread"), rect, kit, data, window);
        } else {
            threads::show(&mut part(ui, rect, "threads"), rect, kit, data, window);
        }
        return;
    }
    let (left, right) = rect.split_left_right_at_x(rect.left() + t.px(272.0));
    threads::show(&mut part(ui, left, "threads"), left, kit, data, window);
    ui.painter().vline(
        right.left() + 0.5,
        right.y_range(),
        Stroke::new(1.0, t.line),
    );
    thread::show(&mut part(ui, right, "thread"), right, kit, data, window);
}
