//! What a call says beside itself: by which way it came, who vouches for whom, and where else it was sent.

use egui::{Align, Color32, Rect, Response, Role, Sense, Ui, WidgetInfo};
use model::{CallView, Command, Redirect};

use super::super::{Bar, Kit};
use super::announce;
use super::transfer::inset;
use crate::theme::Theme;
use crate::view_state::is_ringing_here;
use crate::widgets::{Button, Kind, icon_in, paragraph, text_in};
use crate::{icons, strings};

/// Headers of the peer that stand in the line; the others are counted.
const HEADERS: usize = 4;
/// Places of a redirect that get a button; nobody chooses among more.
const PLACES: usize = 5;

/// One line for each thing that the call says.
pub(super) fn lines(ui: &mut Ui, kit: &Kit<'_>, call: &CallView) {
    let t = &kit.t;
    let d = &call.details;
    let mut all: Vec<(&str, Color32, String, Option<String>)> = Vec::new();
    if let Some(first) = d.forwarded_by.first() {
        let words = strings::forwarded_by(first.title(), d.forwarded_by.len() - 1);
        let way = d.forwarded_by.iter().map(|p| p.uri.reveal().to_owned());
        let tip = way.collect::<Vec<_>>().join("\n");
        all.push((icons::ARROW_BEND_UP_RIGHT, t.muted, words, Some(tip)));
    }
    if let Some(claims) = &d.claims {
        let words = strings::claims(claims.title());
        let tip = claims.uri.reveal().to_owned();
        all.push((icons::WARNING, t.warn, words, Some(tip)));
    } else if d.asserted {
        all.push((
            icons::SHIELD_CHECK,
            t.good,
            strings::VOUCHED.to_owned(),
            None,
        ));
    }
    if d.signed {
        all.push((icons::SHIELD, t.muted, strings::SIGNED.to_owned(), None));
    }
    if d.anonymous {
        all.push((
            icons::EYE_SLASH,
            t.muted,
            strings::ANONYMOUS.to_owned(),
            None,
        ));
    }
    if let Some(subject) = &d.subject {
        let words = strings::about(subject.reveal());
        all.push((icons::CHAT_TEXT, t.muted, words, None));
    }
    if let Some(roster) = &d.roster {
        let who = |member: &model::Member| strings::member(member.who.title(), member.state);
        let all_of_them = roster.members.iter().map(who);
        let tip = all_of_them.collect::<Vec<_>>().join("\n");
        let words = strings::roster(roster);
        all.push((
            icons::ARROWS_MERGE,
            t.muted,
            words,
            Some(tip).filter(|tip| !tip.is_empty()),
        ));
    }
    if d.replaces.is_some() && is_ringing_here(call) {
        let words = strings::REPLACES.to_owned();
        all.push((icons::WARNING, t.warn, words, None));
    }
    if d.auto_answered {
        let words = strings::AUTO_ANSWERED.to_owned();
        all.push((icons::LIGHTNING, t.muted, words, None));
    }
    if !d.headers.is_empty() {
        let line = |h: &model::ExtraHeader| format!("{}: {}", h.name, h.value.reveal());
        let shown = d.headers.iter().take(HEADERS).map(line);
        let mut words = shown.collect::<Vec<_>>().join("  ·  ");
        if d.headers.len() > HEADERS {
            words.push_str(&strings::and_more(d.headers.len() - HEADERS));
        }
        let tip = d.headers.iter().map(line).collect::<Vec<_>>().join("\n");
        all.push((icons::LIST_BULLETS, t.muted, words, Some(tip)));
    }
    if let Some(to) = call.redirect.as_ref().and_then(followed) {
        let words = strings::redirected(to.title());
        let tip = to.uri.reveal().to_owned();
        all.push((icons::ARROW_BEND_UP_RIGHT, t.muted, words, Some(tip)));
    }
    if all.is_empty() {
        return;
    }
    ui.add_space(8.0);
    for (icon, ink, words, tip) in all {
        line(ui, kit, icon, ink, &words, tip);
    }
}

fn followed(redirect: &Redirect) -> Option<&model::Party> {
    let at = usize::try_from(redirect.followed?).ok()?;
    redirect.targets.get(at)
}

fn line(ui: &mut Ui, kit: &Kit<'_>, icon: &str, ink: Color32, words: &str, tip: Option<String>) {
    let t = &kit.t;
    let mut bar = Bar::new(ui, t.px(20.0), 8.0);
    let mark = bar.left(t.px(16.0));
    icon_in(ui.painter(), mark, icon, t.icon(14.0), ink);
    let place = bar.rest();
    let cut = text_in(ui.painter(), place, words, t.small(), t.muted, Align::Min);
    let response = ui.interact(place, ui.scope_id().with(("detail", words)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
    match tip {
        Some(tip) => drop(response.on_hover_text(tip)),
        None if cut => drop(response.on_hover_text(words)),
        None => {}
    }
}

/// An icon and words in a place, whole under the pointer where they do not fit. The caller names it.
pub(super) fn mark_line(ui: &Ui, t: &Theme, rect: Rect, icon: &str, words: &str) -> Response {
    let mut bar = Bar::over(rect, 8.0);
    let mark = bar.left(t.px(16.0));
    icon_in(ui.painter(), mark, icon, t.icon(16.0), t.accent);
    let place = bar.rest();
    let cut = text_in(ui.painter(), place, words, t.body(), t.text, Align::Min);
    let response = ui.interact(place, ui.scope_id().with(("mark", icon)), Sense::hover());
    if cut {
        response.on_hover_text(words)
    } else {
        response
    }
}

/// The call was sent elsewhere, and the user chooses where it goes on.
pub(super) fn redirect(ui: &mut Ui, kit: &mut Kit<'_>, call: &CallView) {
    let t = kit.t.clone();
    let Some(redirect) = call.redirect.as_ref().filter(|r| r.followed.is_none()) else {
        return;
    };
    if !call.state.is_live() || redirect.targets.is_empty() {
        return;
    }
    ui.add_space(12.0);
    inset(ui, kit, |ui, kit| {
        let words = strings::redirect_asks(call.remote.title(), redirect.targets.len());
        let response = paragraph(ui, &words, t.body(), t.text);
        response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &words));
        announce(ui, response.id, true);
        for (index, target) in (0..).zip(redirect.targets.iter().take(PLACES)) {
            ui.add_space(6.0);
            let mut bar = Bar::new(ui, t.px(32.0), 8.0);
            let room = bar.rest().width();
            let words = strings::call_party(target.title());
            let kind = if index == 0 {
                Kind::Primary
            } else {
                Kind::Quiet
            };
            let button = Button::new(kind, &words)
                .icon(icons::PHONE)
                .height(32.0)
                .tip(target.uri.reveal());
            let width = button.measure(ui, &t).min(room);
            if bar.button_left(ui, &t, button.width(width)).clicked() {
                kit.send(Command::FollowRedirect {
                    call: call.id,
                    target: index,
                });
            }
        }
        ui.add_space(6.0);
        let mut bar = Bar::new(ui, t.px(32.0), 8.0);
        let none = Button::new(Kind::Quiet, strings::CALL_NONE).height(32.0);
        if bar.button_left(ui, &t, none).clicked() {
            kit.send(Command::DeclineRedirect { call: call.id });
        }
    });
}
