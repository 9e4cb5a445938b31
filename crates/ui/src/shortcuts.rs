//! The keys, in one table: what is drawn on the sheet is what is acted upon.

use egui::{Key, KeyboardShortcut, Modifiers};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Give the keyboard to the number field.
    FocusNumber,
    /// Call what stands in the number field, with sound one way.
    CallOneWay,
    /// Answer the call that rings.
    Answer,
    /// Decline the call that rings.
    Reject,
    /// Hang up the current call.
    HangUp,
    /// Mute or unmute the current call.
    Mute,
    /// Hold or resume the current call.
    Hold,
    /// Show or hide the keypad of the current call.
    Keypad,
    /// Transfer the current call.
    Transfer,
    /// Bring the current call together with others.
    Join,
    /// Give the keyboard to the filter of this screen.
    Find,
    /// Call the last number again.
    Redial,
    /// Show the phone.
    Phone,
    /// Show the history.
    History,
    /// Show the messages.
    Messages,
    /// Show the trace.
    Trace,
    /// Show the accounts.
    Accounts,
    /// Show the settings.
    Settings,
    /// Larger text.
    Larger,
    /// Smaller text.
    Smaller,
    /// Text of normal size.
    Normal,
    /// Show or hide the sheet of shortcuts.
    Sheet,
}

/// One line of the table.
pub struct Entry {
    /// What it does.
    pub deed: Deed,
    /// In words.
    pub words: &'static str,
    /// With which key.
    pub key: KeyboardShortcut,
}

const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers {
    shift: true,
    ..Modifiers::COMMAND
};

const fn entry(deed: Deed, words: &'static str, modifiers: Modifiers, key: Key) -> Entry {
    Entry {
        deed,
        words,
        key: KeyboardShortcut::new(modifiers, key),
    }
}

/// All keys. Those with more modifiers stand before those with fewer, so that Ctrl+Shift+D is never
/// taken for Ctrl+D.
pub const TABLE: &[Entry] = &[
    entry(Deed::Reject, "Reject", CTRL_SHIFT, Key::D),
    entry(Deed::Trace, "Trace", CTRL_SHIFT, Key::T),
    entry(Deed::FocusNumber, "Number field", CTRL, Key::L),
    entry(
        Deed::CallOneWay,
        crate::strings::CALL_ONE_WAY,
        CTRL,
        Key::Enter,
    ),
    entry(Deed::Answer, "Answer", CTRL, Key::Y),
    entry(Deed::HangUp, "Hang up", CTRL, Key::D),
    entry(Deed::Mute, "Mute", CTRL, Key::M),
    entry(Deed::Hold, "Hold", CTRL, Key::H),
    entry(Deed::Keypad, "Keypad", CTRL, Key::K),
    entry(Deed::Transfer, "Transfer", CTRL, Key::T),
    entry(Deed::Join, "Join calls", CTRL, Key::J),
    entry(Deed::Redial, "Call the last number again", CTRL, Key::R),
    entry(Deed::Find, "Filter this screen", CTRL, Key::F),
    entry(Deed::Settings, "Settings", CTRL, Key::Comma),
    entry(Deed::Larger, "Larger text", CTRL, Key::Plus),
    entry(Deed::Larger, "Larger text", CTRL, Key::Equals),
    entry(Deed::Smaller, "Smaller text", CTRL, Key::Minus),
    entry(Deed::Normal, "Normal text", CTRL, Key::Num0),
    entry(Deed::Phone, "Phone", Modifiers::NONE, Key::F4),
    entry(Deed::Trace, "Trace", Modifiers::NONE, Key::F2),
    entry(Deed::History, "History", Modifiers::NONE, Key::F9),
    entry(Deed::Messages, "Messages", Modifiers::NONE, Key::F7),
    entry(Deed::Accounts, "Accounts", Modifiers::NONE, Key::F6),
    entry(Deed::Sheet, "This sheet", Modifiers::NONE, Key::F1),
];

/// The key of a deed as it is written on this system, for tooltips.
pub(crate) fn written(ctx: &egui::Context, deed: Deed) -> String {
    TABLE
        .iter()
        .find(|e| e.deed == deed)
        .map_or_else(String::new, |e| {
            ctx.format_shortcut(&e.key).replace("Comma", ",")
        })
}

/// What was pressed in this frame. The keys are consumed.
pub(crate) fn pressed(ctx: &egui::Context) -> Vec<Deed> {
    ctx.input_mut(|input| {
        TABLE
            .iter()
            .filter(|e| input.consume_shortcut(&e.key))
            .map(|e| e.deed)
            .collect()
    })
}

/// The number of the tenant that was asked for with Ctrl+1 … Ctrl+9; zero is all of them.
pub(crate) fn tenant(ctx: &egui::Context) -> Option<usize> {
    digit(ctx, CTRL)
}

/// The number of the call that was asked for with Alt+1 … Alt+9.
pub(crate) fn call(ctx: &egui::Context) -> Option<usize> {
    digit(ctx, Modifiers::ALT)
}

fn digit(ctx: &egui::Context, modifiers: Modifiers) -> Option<usize> {
    const DIGITS: [Key; 9] = [
        Key::Num1,
        Key::Num2,
        Key::Num3,
        Key::Num4,
        Key::Num5,
        Key::Num6,
        Key::Num7,
        Key::Num8,
        Key::Num9,
    ];
    ctx.input_mut(|input| {
        DIGITS
            .iter()
            .position(|key| input.consume_key(modifiers, *key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_deeds() {
        for (index, entry) in TABLE.iter().enumerate() {
            let same = TABLE[..index].iter().find(|e| e.key == entry.key);
            assert!(same.is_none(), "{:?}", entry.deed);
        }
    }

    #[test]
    fn longer_chords_come_first() {
        for (index, entry) in TABLE.iter().enumerate() {
            let shadowed = TABLE[..index].iter().any(|before| {
                before.key.logical_key == entry.key.logical_key
                    && !before.key.modifiers.shift
                    && entry.key.modifiers.shift
            });
            assert!(!shadowed, "{:?}", entry.deed);
        }
    }
}
