//! People around an account: what it tells of its own person, whom it watches, and what waits in its mailbox.

use egui::{Align, Key, Rect, Role, Sense, Ui, Vec2, WidgetInfo};
use model::{AccountView, Command, LampView, PresenceState, PresenceView};

use super::super::{Bar, Kit, dial};
use super::heading;
use crate::icons;
use crate::strings;
use crate::widgets::{Button, Field, Kind, lamp_mark, lamp_words, paragraph, segmented, text_in};
use crate::window::Window;

pub(super) fn show(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    mailbox(ui, kit, account);
    lamps(ui, kit, window, account);
    own(ui, kit, window, account);
}

fn mailbox(ui: &mut Ui, kit: &mut Kit<'_>, account: &AccountView) {
    let t = kit.t.clone();
    if let Some(waiting) = &account.waiting {
        heading(ui, kit, strings::MAILBOX);
        let mut bar = Bar::new(ui, t.px(28.0), 8.0);
        let ink = if waiting.waiting { t.accent } else { t.muted };
        if let Some(mailbox) = &waiting.mailbox {
            let listen = Button::new(Kind::Quiet, strings::LISTEN)
                .icon(icons::VOICEMAIL)
                .tip(mailbox.reveal());
            if bar.button_right(ui, &t, listen).clicked() {
                kit.send(Command::PlaceCall {
                    account: account.id.clone(),
                    target: mailbox.clone(),
                    headers: Vec::new(),
                    direction: model::MediaDirection::Both,
                });
            }
        }
        let place = bar.rest();
        let told = kit.local(waiting.at).clock();
        let words = format!("{}  ·  told at {told}", strings::waiting(waiting));
        text_in(ui.painter(), place, &words, t.body(), ink, Align::Min);
        let response = ui.interact(place, ui.scope_id().with("mailbox"), Sense::hover());
        let spoken = format!("{} {}", strings::VOICE_MESSAGES, strings::waiting(waiting));
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    } else if let Some(sentence) = &account.waiting_sentence {
        heading(ui, kit, strings::MAILBOX);
        paragraph(ui, sentence.reveal(), t.body(), t.muted);
    }
}

fn lamps(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    if account.lamps.is_empty() {
        return;
    }
    heading(ui, kit, strings::WATCHED);
    for lamp in &account.lamps {
        ui.push_id(lamp.watched.reveal(), |ui| {
            one(ui, kit, window, account, lamp);
        });
    }
}

fn one(
    ui: &mut Ui,
    kit: &mut Kit<'_>,
    window: &mut Window,
    account: &AccountView,
    lamp: &LampView,
) {
    let t = kit.t.clone();
    let mut bar = Bar::new(ui, t.px(32.0), 8.0);
    let whole = bar.rest();
    if let Some(pick_up) = pick_up(account, lamp) {
        let button = Button::new(Kind::Answer, strings::PICK_UP)
            .icon(icons::PHONE_INCOMING)
            .filled()
            .height(26.0);
        if bar.button_right(ui, &t, button).clicked() {
            kit.send(pick_up);
        }
    } else {
        let call = Button::icon_only(Kind::Ghost, icons::PHONE, strings::CALL).height(26.0);
        if bar.button_right(ui, &t, call).clicked() {
            window.dial_account = Some(account.id.clone());
            dial::place(kit, window, lamp.watched.reveal());
        }
    }
    let mark = bar.left(t.px(10.0));
    lamp_mark(ui.painter(), &t, mark.center(), lamp.lamp);
    let place = bar.left((whole.width() * 0.32).min(t.px(220.0)).round());
    let name = dial::short_target(lamp.watched.reveal());
    let mut cut = text_in(ui.painter(), place, name, t.body(), t.text, Align::Min);
    let (ink, word) = lamp_words(&t, lamp.lamp);
    let words = told(word, lamp);
    cut |= text_in(ui.painter(), bar.rest(), &words, t.body(), ink, Align::Min);
    let place = Rect::from_min_max(whole.min, egui::pos2(bar.rest().right(), whole.bottom()));
    let response = ui.interact(place, ui.scope_id().with("lamp"), Sense::hover());
    let spoken = format!("{name} {words}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    if cut {
        response.on_hover_text(format!("{name}\n{words}"));
    }
}

/// Everything that is known of one who is watched.
pub(crate) fn told(word: &str, lamp: &LampView) -> String {
    let mut words = word.to_owned();
    let with = lamp.calls.iter().find_map(|c| c.remote.as_ref());
    if let Some(with) = with {
        words.push_str(&format!(", {} {}", strings::WITH, with.title()));
    }
    if let Some(presence) = lamp.presence.as_ref().and_then(presence_words) {
        words.push_str(&format!("  ·  {presence}"));
    }
    if let Some(sentence) = &lamp.sentence {
        words.push_str(&format!("  ·  {}", sentence.reveal()));
    }
    words
}

fn presence_words(presence: &PresenceView) -> Option<String> {
    let mut words = match (presence.activities.first(), presence.open) {
        (Some(activity), _) => activity.replace('-', " "),
        (None, Some(true)) => strings::AVAILABLE.to_lowercase(),
        (None, Some(false)) => strings::NOT_AVAILABLE.to_owned(),
        (None, None) => String::new(),
    };
    if let Some(note) = &presence.note {
        let quoted = format!("\u{201c}{}\u{201d}", note.reveal());
        words = format!("{words} {quoted}").trim_start().to_owned();
    }
    Some(words).filter(|w| !w.is_empty())
}

/// What takes the call that rings at somebody else's phone, where there is one and it has a name.
pub(crate) fn pick_up(account: &AccountView, lamp: &LampView) -> Option<Command> {
    let call = lamp.ringing()?;
    Some(Command::PickUp {
        account: account.id.clone(),
        target: call.target.clone().unwrap_or_else(|| lamp.watched.clone()),
        dialog: model::DialogName {
            call_id: call.call_id.clone()?,
            local_tag: call.local_tag.clone()?,
            remote_tag: call.remote_tag.clone().unwrap_or_default(),
        },
    })
}

const PRESENCES: [PresenceState; 3] = [
    PresenceState::Available,
    PresenceState::Busy,
    PresenceState::Away,
];

/// What others are told of the person behind the account.
fn own(ui: &mut Ui, kit: &mut Kit<'_>, window: &mut Window, account: &AccountView) {
    let Some(presence) = &account.presence else {
        return;
    };
    let t = kit.t.clone();
    heading(ui, kit, strings::YOUR_PRESENCE);
    let names = [strings::AVAILABLE, strings::BUSY, strings::AWAY];
    let chosen = PRESENCES
        .iter()
        .position(|p| *p == presence.state)
        .unwrap_or(0);
    let stored = presence.note.reveal();
    let (of, note) = window
        .presence_note
        .get_or_insert_with(|| (account.id.clone(), stored.to_owned()));
    if *of != account.id {
        (*of, *note) = (account.id.clone(), stored.to_owned());
    }
    let picked = segmented(ui, &t, strings::YOUR_PRESENCE, &names, chosen);
    ui.add_space(8.0);
    let mut bar = Bar::new(ui, t.px(32.0), 8.0);
    let changed = note.trim() != stored;
    let tell = Button::new(Kind::Quiet, strings::TELL)
        .height(32.0)
        .enabled(changed);
    let place = bar.left((bar.rest().width() - tell.measure(ui, &t) - 8.0).min(t.px(360.0)));
    let place = Rect::from_center_size(place.center(), Vec2::new(place.width(), t.px(32.0)));
    let field = Field::new(note, strings::PRESENCE_NOTE)
        .hint(strings::PRESENCE_NOTE)
        .height(32.0)
        .show_in(ui, &t, place);
    let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
    let pressed = bar.button_left(ui, &t, tell).clicked();
    let state = picked
        .and_then(|i| PRESENCES.get(i))
        .copied()
        .unwrap_or(presence.state);
    if picked.is_some() || (changed && (entered || pressed)) {
        kit.send(Command::SetPresence {
            account: Some(account.id.clone()),
            state,
            note: note.trim().into(),
        });
    }
    ui.add_space(4.0);
    let mut words = match (&presence.sentence, presence.published) {
        (Some(sentence), _) => sentence.reveal().to_owned(),
        (None, true) => strings::PRESENCE_TOLD.to_owned(),
        (None, false) => strings::PRESENCE_NOT_TOLD.to_owned(),
    };
    if presence.on_the_phone {
        words.push_str(strings::AND_ON_THE_PHONE);
    }
    let ink = if presence.sentence.is_some() {
        t.warn
    } else {
        t.muted
    };
    paragraph(ui, &words, t.small(), ink);
}
