//! What is measured in a call: quality, secrecy, all figures when asked for, and the tones that went through it.

use egui::{Align, Color32, Popup, PopupCloseBehavior, Rect, Role, Sense, Shape, Stroke, Ui, Vec2};
use egui::{WidgetInfo, pos2};
use model::{CallView, Command, MediaSecurity, MediaStats, Protection, SoundView};

use super::super::{Bar, Kit, snap};
use crate::theme::Theme;
use crate::widgets::{
    Button, Kind, caption, galley, menu_act, menu_frame, paragraph, signal, text_in,
};
use crate::window::Window;
use crate::{format, icons, strings};

/// Members of a conference that are named one by one.
const MEMBERS: usize = 50;

/// Quality, lock, and the button that shows all figures.
pub(super) fn line(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, call: &CallView) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(24.0), 8.0);
    bar.outdent_right(4.0);
    let (icon, name) = if window.figures {
        (icons::CARET_DOWN, strings::HIDE_FIGURES)
    } else {
        (icons::CARET_RIGHT, strings::SHOW_FIGURES)
    };
    let fold = Button::icon_only(Kind::Ghost, icon, name)
        .height(24.0)
        .outlined()
        .on(window.figures);
    if bar.button_right(ui, &t, fold).clicked() {
        window.figures = !window.figures;
    }
    secrecy(ui, kit, &mut bar, call);
    quality(ui, kit, &mut bar, call);
}

/// The quality in a word, and as many figures as there is room for.
fn quality(ui: &Ui, kit: &Kit<'_>, bar: &mut Bar, call: &CallView) {
    let t = &kit.t;
    let mos = call.stats.and_then(|s| s.mos);
    let bars = bar.left(17.0);
    let bars = Rect::from_center_size(bars.center(), Vec2::new(17.0, t.px(12.0)));
    signal(ui, t, snap(bars), mos);
    let mut words = said(mos);
    let response = ui.interact(bars, ui.scope_id().with("quality"), Sense::hover());
    let spoken = words.clone();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));

    let codec = codec(call, short_codec);
    let figures = call
        .stats
        .map(|stats| at_a_glance(&stats))
        .unwrap_or_default();
    let place = bar.rest();
    for more in figures.into_iter().chain(codec) {
        let longer = format!("{words} · {more}");
        let g = galley(
            ui.painter(),
            &longer,
            t.small(),
            Color32::WHITE,
            f32::INFINITY,
        );
        if g.size().x > place.width() {
            break;
        }
        words = longer;
    }
    text_in(ui.painter(), place, &words, t.small(), t.muted, Align::Min);
    let response = ui.interact(place, ui.scope_id().with("figures"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
}

fn said(mos: Option<f32>) -> String {
    mos.map_or_else(
        || strings::WAITING_FOR_SOUND.to_owned(),
        |mos| format!("{} {}", strings::quality(mos), format::figure(mos)),
    )
}

/// The codec of the call, or both where each side sends another one, each as `name` has it.
fn codec(call: &CallView, name: fn(&str) -> &str) -> Option<String> {
    let ours = name(call.codec.as_deref()?);
    Some(match &call.details.heard_codec {
        Some(theirs) => strings::two_codecs(ours, name(theirs)),
        None => ours.to_owned(),
    })
}

fn short_codec(codec: &str) -> &str {
    codec.split('/').next().unwrap_or(codec)
}

/// What says most about how a call sounds, what matters most first.
fn at_a_glance(stats: &MediaStats) -> Vec<String> {
    let mut figures = vec![
        strings::lost(&format::figure(lost_percent(stats))),
        strings::jitter(&format::figure(stats.jitter_ms)),
    ];
    if let Some(rtt) = stats.rtt_ms {
        figures.push(strings::round_trip(&format::figure(rtt)));
    }
    figures
}

fn lost_percent(stats: &MediaStats) -> f32 {
    stats.lost as f32 * 100.0 / (stats.lost + stats.received).max(1) as f32
}

/// The lock, and what can be done about it.
fn secrecy(ui: &mut Ui, kit: &mut Kit<'_>, bar: &mut Bar, call: &CallView) {
    let t = kit.t.clone();
    let (icon, said, ink) = lock(&t, &call.security);
    let button = Button::icon_only(Kind::Ghost, icon, said)
        .height(24.0)
        .ink(ink);
    let response = bar.button_right(ui, &t, button);
    Popup::menu(&response)
        .close_behavior(PopupCloseBehavior::CloseOnClick)
        .frame(menu_frame(&t))
        .gap(4.0)
        .width(t.px(280.0))
        .accessible_name(strings::SECRECY)
        .show(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            egui::Frame::NONE
                .inner_margin(egui::Margin::symmetric(8, 6))
                .show(ui, |ui| {
                    paragraph(ui, said, t.strong(), t.text);
                    let ways = [
                        (strings::WAY_SENT, &call.security.sent),
                        (strings::WAY_HEARD, &call.security.received),
                    ];
                    for (name, way) in ways {
                        let words = format!("{name}: {}", suite(way));
                        paragraph(ui, &words, t.small(), t.muted);
                    }
                });
            // Only keys that a session description carries can be told anew by one.
            if matches!(call.security.sent, Some(Protection::Sdes { .. }))
                && call.state.is_up()
                && menu_act(ui, &t, icons::ARROW_CLOCKWISE, strings::RENEW_KEYS).clicked()
            {
                kit.send(Command::RenewKeys { call: call.id });
            }
        });
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

/// By what a direction is protected, and where its key comes from.
fn suite(way: &Option<Protection>) -> String {
    match way {
        None => strings::PLAIN.to_owned(),
        Some(Protection::Sdes { suite }) => format!("{suite}, {}", strings::BY_SDES),
        Some(Protection::Dtls { suite }) => format!("{suite}, {}", strings::BY_DTLS),
    }
}

/// Every figure of the call in a table, and who is in its conference.
pub(super) fn all(ui: &mut Ui, kit: &mut Kit<'_>, call: &CallView) {
    let t = &kit.t.clone();
    ui.add_space(8.0);
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(codec) = codec(call, |name| name) {
        rows.push((strings::CODEC, codec));
    }
    if let Some(stats) = &call.stats {
        let count = |n: u64| format::count(usize::try_from(n).unwrap_or(usize::MAX));
        let ms = |value: f32| format!("{} ms", format::figure(value));
        let percent = |value: f32| format!("{} %", format::figure(value));
        rows.push((strings::QUALITY, said(stats.mos)));
        rows.push((strings::PACKETS_SENT, count(stats.sent)));
        rows.push((strings::PACKETS_RECEIVED, count(stats.received)));
        let lost = format!("{} ({})", count(stats.lost), percent(lost_percent(stats)));
        rows.push((strings::PACKETS_LOST, lost));
        rows.push((strings::PACKETS_LATE, count(stats.late)));
        rows.push((strings::JITTER, ms(stats.jitter_ms)));
        rows.push((strings::BUFFER, ms(stats.buffer_ms)));
        let rtt = stats
            .rtt_ms
            .map_or_else(|| strings::NOT_TOLD.to_owned(), ms);
        rows.push((strings::ROUND_TRIP, rtt));
        rows.push((strings::CONCEALED, percent(stats.concealed * 100.0)));
    }
    let sound = &call.sound;
    if let Some(theirs) = &sound.peer_quality {
        let missing = format::figure((theirs.lost + theirs.discarded) * 100.0);
        let heard = match theirs.mos_cq.or(theirs.mos_lq) {
            Some(mos) => format!("{}, {}", said(Some(mos)), strings::lost(&missing)),
            None => strings::lost(&missing),
        };
        rows.push((strings::THEY_HEAR, heard));
    }
    let told = |peer: &Option<String>| peer.clone().unwrap_or_else(|| strings::NOTHING.to_owned());
    let from = sound
        .actual_peer
        .clone()
        .or_else(|| call.media_peer.clone());
    rows.push((strings::PEER_EXPECTED, told(&sound.expected_peer)));
    rows.push((strings::PEER_ACTUAL, told(&from)));
    rows.push((strings::PEER_TARGET, told(&sound.target)));
    for (name, value) in rows {
        row(ui, t, name, &value);
    }
    super::direction::row(ui, kit, call);
    course(ui, t, sound);
    if let Some(roster) = call
        .details
        .roster
        .as_ref()
        .filter(|r| !r.members.is_empty())
    {
        ui.add_space(10.0);
        caption(ui, t, strings::IN_THE_CONFERENCE);
        for (index, member) in roster.members.iter().take(MEMBERS).enumerate() {
            let words = strings::member(member.who.title(), member.state);
            let place = Bar::new(ui, t.px(20.0), 0.0).rest();
            text_in(ui.painter(), place, &words, t.small(), t.text, Align::Min);
            let id = ui.scope_id().with(("member", index));
            let response = ui.interact(place, id, Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::ListItem, true, &words));
            response.on_hover_text(member.who.uri.reveal());
        }
        let count = usize::try_from(roster.count).unwrap_or(usize::MAX);
        if let Some(more) = count.checked_sub(MEMBERS.min(roster.members.len()))
            && more > 0
        {
            paragraph(ui, &strings::more_members(more), t.small(), t.muted);
        }
    }
}

/// The quality from the beginning of the call to now.
fn course(ui: &mut Ui, t: &Theme, sound: &SoundView) {
    let points: Vec<f32> = sound.course.iter().filter_map(|m| m.stats.mos).collect();
    let (Some(last), [_, _, ..]) = (points.last(), &points[..]) else {
        return;
    };
    let lowest = points.iter().copied().fold(f32::INFINITY, f32::min);
    ui.add_space(10.0);
    caption(ui, t, strings::COURSE);
    ui.add_space(4.0);
    let size = Vec2::new(ui.available_width(), t.px(28.0));
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let step = rect.width() / (points.len() - 1) as f32;
    // The scale of the E-model: 1 is the bottom, 4.5 the top.
    let height = |mos: f32| rect.bottom() - ((mos - 1.0) / 3.5).clamp(0.0, 1.0) * rect.height();
    ui.painter().rect_filled(rect, 4.0, t.panel);
    let line = (0u16..)
        .zip(&points)
        .map(|(at, mos)| pos2(rect.left() + step * f32::from(at), height(*mos)))
        .collect();
    let stroke = Stroke::new(1.5, t.accent);
    ui.painter().add(Shape::line(line, stroke));
    let spoken = strings::course(&format::figure(lowest), &format::figure(*last));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));
    response.on_hover_text(spoken);
}

fn row(ui: &mut Ui, t: &Theme, name: &str, value: &str) {
    let mut bar = Bar::new(ui, t.px(20.0), 8.0);
    let whole = bar.rest();
    let place = bar.left((whole.width() * 0.45).min(t.px(148.0)));
    text_in(ui.painter(), place, name, t.small(), t.muted, Align::Min);
    let address = value.contains(':');
    let font = if address { t.mono_small() } else { t.small() };
    let cut = text_in(ui.painter(), bar.rest(), value, font, t.text, Align::Min);
    let response = ui.interact(whole, ui.scope_id().with(("figure", name)), Sense::hover());
    let spoken = format!("{name}: {value}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    if cut {
        response.on_hover_text(value);
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
