//! egui screens and widgets over a view state.
//!
//! [`apply`] folds the engine's events into a [`ViewState`]; [`show`] draws it and answers with what the
//! person asked for; [`next_repaint`] says when it must be drawn again although nothing happened. The
//! crate knows neither the engine nor the window system: whoever owns both calls these three.

mod account_form;
mod fonts;
mod format;
mod icons;
mod screens;
mod shortcuts;
mod strings;
mod theme;
mod trace_log;
mod view_state;
mod widgets;
mod window;

use std::time::Duration;

use model::{CallId, CallState, Command, Levels, Timestamp};

pub use account_form::{AccountForm, Faults};
pub use screens::{MessagesWindow, Thread, TraceWindow, show};
pub use shortcuts::{Deed, Entry, TABLE as SHORTCUTS};
pub use theme::{Palette, Theme, install};
pub use trace_log::{TRACE_BYTES, TRACE_RECORDS, TraceLog};
pub use view_state::{Data, HISTORY_LINES, OptionsAnswer, Phase, ViewState, apply};
pub use window::{
    FocusWish, ForwardForm, HistoryFilter, Joining, OutcomeFilter, Question, Screen, Suggestion,
    TransferForm, Window,
};

/// What changes from frame to frame without an event.
pub struct Live<'a> {
    /// The moment that is drawn.
    pub now: Timestamp,
    /// Levels of a call at this moment.
    pub levels: &'a dyn Fn(CallId) -> Levels,
    /// Levels of the sound devices at this moment.
    pub devices: Levels,
}

/// What the person asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// For the engine.
    Command(Command),
    /// Start the built-in switchboard with its accounts.
    StartDemo,
}

/// When the window must be drawn again although nothing happens: meters fifteen times a second while a
/// call is up and its meters are in view, timers once a second, a notice once when its time is over,
/// otherwise never.
pub fn next_repaint(state: &ViewState, now: Timestamp) -> Option<Duration> {
    let data = &state.data;
    let second = Some(Duration::from_secs(1));
    if state.window.screen == Screen::Trace && data.trace.is_settling() {
        return Some(Duration::from_micros(
            trace_log::SETTLING.unsigned_abs() / 2,
        ));
    }
    if data.calls.iter().any(|c| c.state == CallState::Connected) {
        if state.window.screen == Screen::Phone {
            return Some(Duration::from_millis(1000 / 15));
        }
        return second;
    }
    if data.devices.testing {
        return Some(match state.window.screen {
            Screen::Settings => Duration::from_millis(1000 / 15),
            _ => Duration::from_secs(1),
        });
    }
    let unread = data
        .notices
        .iter()
        .filter(|(number, _)| !state.window.read.contains(number));
    let notice = unread
        .filter_map(|(_, notice)| view_state::notice_ends(notice))
        .filter(|end| now < *end)
        .map(|end| end.since(now))
        .min();
    let counting_down = state.window.screen == Screen::Accounts
        && state
            .window
            .account
            .as_ref()
            .and_then(|id| data.account(id))
            .is_some_and(|a| a.retry_at.is_some() || a.expires_at.is_some());
    let ticks = data.calls.iter().any(|c| c.state.is_live()) || counting_down;
    second.filter(|_| ticks).into_iter().chain(notice).min()
}
