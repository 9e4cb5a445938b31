//! The way of a call's sound, place by place: what is captured, sent, received and played, and why it
//! stops where it stops.
//!
//! ```text
//!  microphone ▮▮▮▯  ● Captured ─ ● Sent ─ ● Received ─ ● Played  ▮▮▯▯ speaker
//! ```

use egui::{Align, Color32, Rect, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2};
use model::{CallView, Light, Silence, SoundView};

use super::super::{Bar, Kit};
use super::announce;
use crate::widgets::{galley, icon_in, light_mark, meter, paragraph, text_in};
use crate::{icons, strings};

/// A meter narrower than this says nothing; one wider than that says no more.
const METER: std::ops::RangeInclusive<f32> = 40.0..=84.0;
/// Room between two lights, with a line through its middle.
const GAP: f32 = 18.0;

/// One of the four places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Captured,
    Sent,
    Received,
    Played,
}

impl Place {
    const ALL: [Self; 4] = [Self::Captured, Self::Sent, Self::Received, Self::Played];

    fn light(self, sound: &SoundView) -> &Light {
        match self {
            Self::Captured => &sound.captured,
            Self::Sent => &sound.sent,
            Self::Received => &sound.received,
            Self::Played => &sound.played,
        }
    }

    /// Where a reason stops the sound.
    fn of(silence: &Silence) -> Self {
        match silence {
            Silence::Agreed { direction } if direction.sends() => Self::Received,
            Silence::Agreed { .. }
            | Silence::Muted
            | Silence::HeldByUs
            | Silence::NoMicrophone
            | Silence::MicrophoneDown
            | Silence::NothingCaptured => Self::Captured,
            Silence::NoAddress | Silence::NotSent { .. } | Silence::NotArriving => Self::Sent,
            Silence::HeldByPeer
            | Silence::NeverReceived { .. }
            | Silence::StoppedReceiving { .. }
            | Silence::WrongKey { .. }
            | Silence::Dropped { .. } => Self::Received,
            Silence::Discarded { .. }
            | Silence::SilenceReceived
            | Silence::NoSpeaker
            | Silence::SpeakerDown => Self::Played,
        }
    }

    /// What is wrong here.
    fn fault(self, sound: &SoundView) -> Option<&Silence> {
        let here = |silence: &&Silence| Self::of(silence) == self && !is_wished(silence);
        sound.silences.iter().find(here)
    }
}

/// Whether somebody wants the silence.
fn is_wished(silence: &Silence) -> bool {
    matches!(
        silence,
        Silence::Agreed { .. } | Silence::Muted | Silence::HeldByUs | Silence::HeldByPeer
    )
}

/// Both meters with the four lights between them, in as many lines as they need.
pub(super) fn way(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = &kit.t;
    let lights: f32 = widths(ui, kit).iter().sum::<f32>() + 3.0 * GAP;
    let around = 2.0 * (t.px(16.0) + 6.0) + 2.0 * 12.0;
    let each = (ui.available_width() - lights - around) / 2.0;
    if each >= *METER.start() {
        let mut bar = Bar::new(ui, t.px(16.0), 6.0);
        let each = each.min(t.px(*METER.end()));
        microphone(ui, kit, call, &mut bar, each);
        bar.left(0.0);
        let place = bar.left(lights);
        four(ui, kit, call, place, &Place::ALL);
        bar.left(0.0);
        speaker(ui, kit, call, &mut bar, each);
    } else {
        let mut bar = Bar::new(ui, t.px(16.0), 6.0);
        let each = ((bar.rest().width() - around) / 2.0).max(*METER.start());
        microphone(ui, kit, call, &mut bar, each);
        bar.left(6.0);
        speaker(ui, kit, call, &mut bar, each);
        ui.add_space(8.0);
        let room = ui.available_width();
        let rows: &[&[Place]] = if lights <= room {
            &[&Place::ALL]
        } else {
            &[
                &[Place::Captured, Place::Sent],
                &[Place::Received, Place::Played],
            ]
        };
        for row in rows {
            let place = Bar::new(ui, t.px(18.0), 0.0).rest();
            four(ui, kit, call, place, row);
        }
    }
}

/// How wide each light is with its word.
fn widths(ui: &Ui, kit: &Kit<'_>) -> [f32; 4] {
    let t = &kit.t;
    strings::LIGHTS.map(|word| {
        let word = galley(ui.painter(), word, t.small(), Color32::WHITE, f32::INFINITY);
        (t.px(8.0) + 6.0 + word.size().x).ceil()
    })
}

fn microphone(ui: &mut Ui, kit: &Kit<'_>, call: &CallView, bar: &mut Bar, width: f32) {
    let t = &kit.t;
    let levels = (kit.live.levels)(call.id);
    let (icon, level, ink) = if call.muted {
        (icons::MICROPHONE_SLASH, 0.0, t.warn)
    } else {
        (icons::MICROPHONE, levels.capture, t.muted)
    };
    let place = bar.left(t.px(16.0));
    icon_in(ui.painter(), place, icon, t.icon(16.0), ink);
    meter(ui, t, strings::MICROPHONE_LEVEL, level, bar.left(width));
}

fn speaker(ui: &mut Ui, kit: &Kit<'_>, call: &CallView, bar: &mut Bar, width: f32) {
    let t = &kit.t;
    let levels = (kit.live.levels)(call.id);
    let place = bar.left(t.px(16.0));
    icon_in(
        ui.painter(),
        place,
        icons::SPEAKER_HIGH,
        t.icon(16.0),
        t.muted,
    );
    let place = bar.left(width);
    meter(ui, t, strings::SPEAKER_LEVEL, levels.playout, place);
}

/// Some of the four lights in a row, joined by the way that the sound takes.
fn four(ui: &Ui, kit: &Kit<'_>, call: &CallView, rect: Rect, places: &[Place]) {
    let t = &kit.t;
    let widths = widths(ui, kit);
    let mut left = rect.left();
    for (index, place) in places.iter().enumerate() {
        if index > 0 {
            let line = left + 5.0..=left + GAP - 5.0;
            let stroke = Stroke::new(1.0, t.outline);
            ui.painter()
                .hline(line, rect.center().y.round() + 0.5, stroke);
            left += GAP;
        }
        let width = widths[*place as usize];
        let whole = Rect::from_min_size(pos2(left, rect.top()), Vec2::new(width, rect.height()));
        light(ui, kit, call, whole, *place);
        left += width;
    }
}

fn light(ui: &Ui, kit: &Kit<'_>, call: &CallView, rect: Rect, place: Place) {
    let t = &kit.t;
    let sound = &call.sound;
    let on = place.light(sound).on;
    let fault = place.fault(sound);
    let centre = pos2(rect.left() + t.px(4.0), rect.center().y);
    light_mark(ui.painter(), t, centre, on, fault.is_some());
    let word = strings::LIGHTS[place as usize];
    let ink = match (on, fault) {
        (_, Some(_)) => t.warn,
        (true, None) => t.text,
        (false, None) => t.faint,
    };
    let words = Rect::from_min_max(pos2(rect.left() + t.px(8.0) + 6.0, rect.top()), rect.max);
    text_in(ui.painter(), words, word, t.small(), ink, Align::Min);
    let id = ui.scope_id().with(("light", place as usize));
    let response = ui.interact(rect, id, Sense::hover());
    let spoken = strings::light(word, on);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    let mut tip = strings::LIGHT_TIPS[place as usize].to_owned();
    if let Some(why) = sound.silences.iter().find(|s| Place::of(s) == place) {
        tip.push('\n');
        tip.push_str(&why.to_string());
    }
    if let (false, Some(last)) = (on, place.light(sound).last) {
        tip.push('\n');
        tip.push_str(&strings::last_at(&kit.local(last).clock_seconds()));
    }
    response.on_hover_text(tip);
}

/// Why there is no sound, in sentences, and from where it was expected.
pub(super) fn reasons(ui: &mut Ui, kit: &Kit<'_>, sound: &SoundView) {
    let t = kit.t.clone();
    for (index, why) in sound.silences.iter().enumerate() {
        ui.add_space(if index == 0 { 10.0 } else { 4.0 });
        let (icon, mark, ink) = if is_wished(why) {
            (icons::INFO, t.faint, t.muted)
        } else {
            (icons::WARNING, t.warn, t.text)
        };
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            let size = Vec2::new(t.px(16.0), (t.small().size * 1.45).round());
            let (place, _) = ui.allocate_exact_size(size, Sense::hover());
            icon_in(ui.painter(), place, icon, t.icon_fill(14.0), mark);
            ui.vertical(|ui| {
                let response = paragraph(ui, &why.to_string(), t.small(), ink);
                // Without the figures that count on, or it would be said anew each second.
                let spoken = strings::silence(why);
                response.widget_info(|| WidgetInfo::labeled(Role::Status, true, &spoken));
                announce(ui, response.id, false);
                if let Some(peers) = unexpected(sound).filter(|_| Place::of(why) == Place::Received)
                {
                    paragraph(ui, &peers, t.small(), t.muted);
                }
            });
        });
    }
}

/// From where the sound comes, and from where it should.
fn unexpected(sound: &SoundView) -> Option<String> {
    let (expected, actual) = (sound.expected_peer.as_ref()?, sound.actual_peer.as_ref()?);
    (expected != actual).then(|| strings::unexpected_peer(expected, actual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(silences: Vec<Silence>) -> Vec<Place> {
        let sound = SoundView {
            silences,
            ..SoundView::default()
        };
        let wrong = |place: &Place| place.fault(&sound).is_some();
        Place::ALL.into_iter().filter(wrong).collect()
    }

    #[test]
    fn a_reason_stands_at_the_place_where_the_sound_stops() {
        let private = Silence::NeverReceived {
            expected: None,
            private: true,
        };
        for (silence, place) in [
            (Silence::NothingCaptured, Place::Captured),
            (Silence::NoMicrophone, Place::Captured),
            (Silence::NoSpeaker, Place::Played),
            (Silence::MicrophoneDown, Place::Captured),
            (Silence::SpeakerDown, Place::Played),
            (Silence::NoAddress, Place::Sent),
            (Silence::NotSent { packets: 2 }, Place::Sent),
            (Silence::NotArriving, Place::Sent),
            (private, Place::Received),
            (Silence::StoppedReceiving { seconds: 3 }, Place::Received),
            (Silence::WrongKey { packets: 9 }, Place::Received),
            (Silence::Dropped { packets: 9 }, Place::Received),
            (Silence::Discarded { packets: 9 }, Place::Played),
            (Silence::SilenceReceived, Place::Played),
        ] {
            assert_eq!(places(vec![silence.clone()]), [place], "{silence}");
        }
    }

    #[test]
    fn a_silence_that_somebody_wants_is_no_fault() {
        let wished = vec![Silence::Muted, Silence::HeldByUs, Silence::HeldByPeer];
        assert_eq!(places(wished), []);
    }
}
