//! State as a shape, a colour and a word, the same everywhere.

use egui::{Align, Color32, Painter, Pos2, Rect, Shape, Stroke, pos2, vec2};
use model::{LampState, Outcome, RegistrationState};

use super::text::text_in;
use crate::{strings, theme::Theme};

/// The colour and the word of a registration's state.
pub(crate) fn registration_words(t: &Theme, state: RegistrationState) -> (Color32, &'static str) {
    let ink = match state {
        RegistrationState::Off | RegistrationState::Leaving => t.faint,
        RegistrationState::Trying => t.accent,
        RegistrationState::Registered => t.good,
        RegistrationState::Refused => t.bad,
        RegistrationState::Silent | RegistrationState::Degraded => t.warn,
    };
    (ink, strings::registration(state))
}

/// Paints the shape of a registration's state: a disc is registered, an open ring is under way, a cross
/// is refused, a triangle is silent, a square is degraded, an empty circle is off.
pub(crate) fn registration_mark(
    painter: &Painter,
    t: &Theme,
    centre: Pos2,
    state: RegistrationState,
) {
    let (colour, _) = registration_words(t, state);
    let r = (4.0 * t.scale).max(4.0);
    match state {
        RegistrationState::Registered => {
            painter.circle_filled(centre, r, colour);
        }
        RegistrationState::Off => {
            painter.circle_stroke(centre, r - 0.75, Stroke::new(1.5, colour));
        }
        RegistrationState::Trying | RegistrationState::Leaving => {
            let points = (0..=20)
                .map(|step| {
                    let angle = -std::f32::consts::FRAC_PI_2
                        + step as f32 / 20.0 * 1.5 * std::f32::consts::PI;
                    centre + (r - 0.75) * vec2(angle.cos(), angle.sin())
                })
                .collect();
            painter.add(Shape::line(points, Stroke::new(2.0, colour)));
        }
        RegistrationState::Refused => {
            let d = r - 0.5;
            let stroke = Stroke::new(2.0, colour);
            painter.line_segment([centre + vec2(-d, -d), centre + vec2(d, d)], stroke);
            painter.line_segment([centre + vec2(-d, d), centre + vec2(d, -d)], stroke);
        }
        RegistrationState::Silent => triangle(painter, centre, r, colour),
        RegistrationState::Degraded => {
            let square = Rect::from_center_size(centre, vec2(r, r) * 1.7);
            painter.rect_filled(square, 1.0, colour);
        }
    }
}

/// Paints the thin mark of a tenant at the left edge of `rect`.
pub(crate) fn tenant_mark(painter: &Painter, t: &Theme, rect: Rect, colour: u8) {
    let mark = Rect::from_min_max(
        pos2(rect.left(), rect.top()),
        pos2(rect.left() + 3.0, rect.bottom()),
    );
    painter.rect_filled(mark, 1.5, t.tenant(colour));
}

/// Paints a small count in the middle of `rect`.
pub(crate) fn badge(painter: &Painter, t: &Theme, rect: Rect, count: usize) {
    let words = if count > 99 {
        "99+".to_owned()
    } else {
        count.to_string()
    };
    let width = (t.px(8.0) + t.px(6.0) * words.len() as f32).max(t.px(16.0));
    let place = Rect::from_center_size(rect.center().round(), vec2(width, t.px(16.0)));
    painter.rect_filled(place, place.height() / 2.0, t.accent_fill);
    text_in(
        painter,
        place,
        &words,
        t.small_strong(),
        t.on_accent,
        Align::Center,
    );
}

/// The colour and the word of a lamp.
pub(crate) fn lamp_words(t: &Theme, lamp: LampState) -> (Color32, &'static str) {
    match lamp {
        LampState::Unknown => (t.faint, strings::LAMP_UNKNOWN),
        LampState::Idle => (t.good, strings::LAMP_IDLE),
        LampState::Calling => (t.accent, strings::LAMP_CALLING),
        LampState::Ringing => (t.warn, strings::LAMP_RINGING),
        LampState::Talking => (t.bad, strings::LAMP_TALKING),
    }
}

/// Paints a lamp: a dotted ring is not known, a ring is free, a ring with a dot calls, a diamond rings, a
/// full square talks.
pub(crate) fn lamp_mark(painter: &Painter, t: &Theme, centre: Pos2, lamp: LampState) {
    let (colour, _) = lamp_words(t, lamp);
    let r = (4.0 * t.scale).max(4.0);
    match lamp {
        LampState::Unknown => {
            for step in 0..6 {
                let angle = step as f32 / 6.0 * std::f32::consts::TAU;
                let at = centre + (r - 0.5) * vec2(angle.cos(), angle.sin());
                painter.circle_filled(at, 0.9 * t.scale, colour);
            }
        }
        LampState::Idle => {
            painter.circle_stroke(centre, r - 0.75, Stroke::new(1.5, colour));
        }
        LampState::Calling => {
            painter.circle_stroke(centre, r - 0.75, Stroke::new(1.5, colour));
            painter.circle_filled(centre, r * 0.4, colour);
        }
        LampState::Ringing => {
            let r = r * 1.2;
            let points = vec![
                centre + vec2(0.0, -r),
                centre + vec2(r, 0.0),
                centre + vec2(0.0, r),
                centre + vec2(-r, 0.0),
            ];
            painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
        }
        LampState::Talking => {
            let square = Rect::from_center_size(centre, vec2(r, r) * 1.7);
            painter.rect_filled(square, 1.5, colour);
        }
    }
}

/// Paints a light of a call: a disc is on, a ring is off, a triangle is off although it should not be.
pub(crate) fn light_mark(painter: &Painter, t: &Theme, centre: Pos2, on: bool, fault: bool) {
    let r = (4.0 * t.scale).max(4.0);
    if fault {
        triangle(painter, centre, r, t.warn);
    } else if on {
        painter.circle_filled(centre, r, t.good);
    } else {
        painter.circle_stroke(centre, r - 0.75, Stroke::new(1.5, t.faint));
    }
}

fn triangle(painter: &Painter, centre: Pos2, r: f32, colour: Color32) {
    let points = vec![
        centre + vec2(0.0, -r),
        centre + vec2(r * 1.1, r * 0.9),
        centre + vec2(-r * 1.1, r * 0.9),
    ];
    painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
}

/// The colour and the word of how a call ended.
pub(crate) fn outcome_words(t: &Theme, outcome: Outcome) -> (Color32, &'static str) {
    match outcome {
        Outcome::Answered => (t.muted, strings::OUTCOME_ANSWERED),
        Outcome::Missed => (t.bad, strings::OUTCOME_MISSED),
        Outcome::Elsewhere => (t.muted, strings::OUTCOME_ELSEWHERE),
        Outcome::Declined => (t.muted, strings::OUTCOME_DECLINED),
        Outcome::Cancelled => (t.muted, strings::OUTCOME_CANCELLED),
        Outcome::Failed => (t.bad, strings::OUTCOME_FAILED),
    }
}
