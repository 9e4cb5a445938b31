//! What is measured in a call: levels, quality, codec, and the tones that went through it.

use egui::{Align, Color32, Role, Sense, Ui, Vec2, WidgetInfo};
use model::{CallView, MediaSecurity, Protection};

use super::super::{Bar, Kit, Room};
use crate::theme::Theme;
use crate::widgets::{galley, icon_in, meter, signal, text_in};
use crate::{format, icons, strings};

/// Levels, quality and codec.
pub(super) fn figures(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = kit.t.clone();
    let levels = (kit.live.levels)(call.id);
    let width = if kit.room == Room::Compact {
        // Two icons, the gaps between four things, and the space behind each meter.
        ((ui.available_width() - 2.0 * t.px(16.0) - 6.0 * 6.0 - 2.0 * 8.0) / 2.0).max(40.0)
    } else {
        t.px(84.0)
    };
    ui.horizontal(|ui| {
        ui.set_height(t.px(16.0));
        ui.spacing_mut().item_spacing.x = 6.0;
        let microphone = if call.muted {
            icons::MICROPHONE_SLASH
        } else {
            icons::MICROPHONE
        };
        for (icon, name, level, ink) in [
            (
                microphone,
                strings::MICROPHONE_LEVEL,
                if call.muted { 0.0 } else { levels.capture },
                if call.muted { t.warn } else { t.muted },
            ),
            (
                icons::SPEAKER_HIGH,
                strings::SPEAKER_LEVEL,
                levels.playout,
                t.muted,
            ),
        ] {
            let (place, _) = ui.allocate_exact_size(Vec2::splat(t.px(16.0)), Sense::hover());
            icon_in(ui.painter(), place, icon, t.icon(16.0), ink);
            meter(ui, &t, name, level, width);
            ui.add_space(8.0);
        }
        if kit.room != Room::Compact {
            quality(ui, kit, call);
        }
    });
    if kit.room == Room::Compact {
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            ui.set_height(t.px(16.0));
            ui.spacing_mut().item_spacing.x = 6.0;
            quality(ui, kit, call);
        });
    }
}

fn quality(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = &kit.t;
    let mos = call.stats.and_then(|s| s.mos);
    let (bars, response) = ui.allocate_exact_size(Vec2::new(17.0, t.px(12.0)), Sense::hover());
    signal(ui, t, bars, mos);
    let mut words = match mos {
        Some(mos) => format!("{} {}", strings::quality(mos), format::figure(mos)),
        None => strings::WAITING_FOR_SOUND.to_owned(),
    };
    let spoken = words.clone();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    let mut details = Vec::new();
    if let Some(codec) = &call.codec {
        words.push_str(" · ");
        words.push_str(codec.split('/').next().unwrap_or(codec));
    }
    if let Some(stats) = call.stats {
        let share = stats.lost as f32 * 100.0 / (stats.lost + stats.received).max(1) as f32;
        if kit.room == Room::Wide {
            words.push_str(&format!(" · {} % lost", format::figure(share)));
        }
        details.push(format!(
            "Sent {} packets, received {}, lost {} ({} %), late {}",
            format::count(usize::try_from(stats.sent).unwrap_or(usize::MAX)),
            format::count(usize::try_from(stats.received).unwrap_or(usize::MAX)),
            stats.lost,
            format::figure(share),
            stats.late,
        ));
        details.push(format!(
            "Jitter {} ms, buffer {} ms, concealed {} %",
            format::figure(stats.jitter_ms),
            format::figure(stats.buffer_ms),
            format::figure(stats.concealed * 100.0),
        ));
        if let Some(rtt) = stats.rtt_ms {
            details.push(format!("Round trip {} ms", format::figure(rtt)));
        }
    }
    if let Some(codec) = &call.codec {
        details.push(codec.clone());
    }
    if let Some(peer) = &call.media_peer {
        details.push(format!("Media from and to {peer}"));
    }
    let (icon, said, ink) = lock(t, &call.security);
    let room = ui.available_width() - t.px(16.0) - 6.0;
    let galley = galley(ui.painter(), &words, t.small(), t.muted, room);
    let (place, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
    ui.painter().galley(place.min.round(), galley, t.muted);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
    response.on_hover_text(details.join("\n"));
    let (place, response) = ui.allocate_exact_size(Vec2::splat(t.px(16.0)), Sense::hover());
    icon_in(ui.painter(), place, icon, t.icon(14.0), ink);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, said));
    let way = |way: &Option<Protection>| way.as_ref().map_or(strings::PLAIN.to_owned(), suite);
    let directions = strings::directions(&way(&call.security.sent), &way(&call.security.received));
    response.on_hover_text(format!("{said}\n{directions}"));
}

/// The lock says what is true of both directions, and the worse of the two where they differ.
fn lock(t: &Theme, security: &MediaSecurity) -> (&'static str, &'static str, Color32) {
    match (&security.sent, &security.received) {
        (Some(_), Some(_)) if security.keys_in_clear => {
            (icons::LOCK_KEY_OPEN, strings::KEYS_READABLE, t.warn)
        }
        (Some(_), Some(_)) => (icons::LOCK_SIMPLE, strings::ENCRYPTED, t.good),
        (None, Some(_)) => (icons::SHIELD_SLASH, strings::SENT_PLAIN, t.warn),
        (Some(_), None) => (icons::SHIELD_SLASH, strings::HEARD_PLAIN, t.warn),
        (None, None) => (icons::LOCK_SIMPLE_OPEN, strings::NOT_ENCRYPTED, t.faint),
    }
}

/// By what a direction is protected.
fn suite(protection: &Protection) -> String {
    match protection {
        Protection::Sdes { suite } | Protection::Dtls { suite } => suite.clone(),
    }
}

pub(super) fn tones(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = &kit.t;
    for (name, digits) in [
        (strings::SENT_TONES, call.dtmf_sent.reveal()),
        (strings::RECEIVED_TONES, call.dtmf_received.reveal()),
    ] {
        if digits.is_empty() {
            continue;
        }
        let mut bar = Bar::new(ui, t.px(18.0), 8.0);
        let place = bar.left(t.px(60.0));
        text_in(ui.painter(), place, name, t.small(), t.muted, Align::Min);
        // The newest digits are the ones to see.
        let skip = digits.chars().count().saturating_sub(32);
        let shown: String = digits.chars().skip(skip).collect();
        let place = bar.rest();
        text_in(ui.painter(), place, &shown, t.mono(), t.text, Align::Min);
        let response = ui.interact(place, ui.scope_id().with(name), Sense::hover());
        let spoken = format!("{name} {digits}");
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    }
}
