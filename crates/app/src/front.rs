//! The window as seen from outside: brought to the front, with a number in its field.

use std::sync::{Mutex, OnceLock, PoisonError};

use eframe::egui;

/// Longer than any address; what a page can put into a link has no end.
const LONGEST: usize = 1_000;

/// What a second start, or a link on a page, finds of the window.
#[derive(Default)]
pub(crate) struct Front {
    context: OnceLock<egui::Context>,
    dial: Mutex<Option<String>>,
}

impl Front {
    /// The window is open.
    pub(crate) fn open(&self, context: &egui::Context) {
        // Nobody else sets it.
        let _ = self.context.set(context.clone());
    }

    /// Brings the window to the front, with this in its number field. Nothing is called before a person says so: a
    /// page could put any number behind a link.
    pub(crate) fn show(&self, dial: Option<String>) {
        if dial.is_some() {
            *self.dial.lock().unwrap_or_else(PoisonError::into_inner) = dial;
        }
        // One that is not open yet is about to come to the front by itself.
        if let Some(context) = self.context.get() {
            for command in [
                egui::ViewportCommand::Visible(true),
                egui::ViewportCommand::Minimized(false),
                egui::ViewportCommand::Focus,
            ] {
                context.send_viewport_cmd(command);
            }
            context.request_repaint();
        }
    }

    /// What is to stand in the number field, once.
    pub(crate) fn take_dial(&self) -> Option<String> {
        self.dial
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// What a link says: `sip:`, `sips:`, `tel:` or `callto:`, with or without the two strokes that some programs
/// write behind it.
///
/// # Errors
/// When it is none.
pub(crate) fn link(text: &str) -> Result<String, String> {
    let text = text.trim();
    let wrong = || {
        "expected a subcommand, or a link like sip:bob@example.com or tel:+49-30-123456".to_owned()
    };
    let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
    let rest = rest.trim_start_matches('/');
    if rest.is_empty() || rest.contains(char::is_control) || rest.chars().nth(LONGEST).is_some() {
        return Err(wrong());
    }
    match scheme.to_ascii_lowercase().as_str() {
        // What a page wants to have in the request (RFC 3261 §19.1.5) is not for it to decide.
        scheme @ ("sip" | "sips") => {
            let address = rest.split_once('?').map_or(rest, |(address, _)| address);
            Ok(format!("{scheme}:{address}"))
        }
        "tel" => Ok(format!("tel:{rest}")),
        "callto" => Ok(rest.to_owned()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_say_whom_to_call_and_nothing_else() {
        for (text, said) in [
            ("sip:bob@example.com", "sip:bob@example.com"),
            ("SIPS://bob@example.com", "sips:bob@example.com"),
            (
                "sip:bob@example.com;transport=tcp?Subject=x&Route=y",
                "sip:bob@example.com;transport=tcp",
            ),
            (" tel:+49-30-123456 ", "tel:+49-30-123456"),
            (
                "tel:7042;phone-context=example.com",
                "tel:7042;phone-context=example.com",
            ),
            ("callto:+4930123456", "+4930123456"),
        ] {
            assert_eq!(link(text).as_deref(), Ok(said), "{text}");
        }
        let long = format!("tel:{}", "1".repeat(LONGEST + 1));
        for text in [
            "",
            "dance",
            "tel:",
            "sip://",
            "http://example.com",
            "sip:bob\r\nVia: x",
            "-x:y",
            &long,
        ] {
            assert!(link(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_number_of_a_link_waits_for_the_window_and_is_taken_once() {
        let front = Front::default();
        front.show(Some("tel:1".to_owned()));
        front.show(Some("tel:2".to_owned()));
        front.show(None);
        assert_eq!(front.take_dial().as_deref(), Some("tel:2"));
        assert_eq!(front.take_dial(), None);
    }
}
