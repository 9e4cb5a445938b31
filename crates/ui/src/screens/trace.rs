//! The live trace: the list, the ladder of what is selected in it, and the message itself. Selecting in
//! one selects in all.

mod ladder;
mod message;

use egui::{Align, Color32, Key, Modifiers, Rect, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2};
use model::{AccountId, TenantId, TraceBody, TraceRecord};
use trace::query::{Query, Selection};
use trace::{Kind as What, PartySummary, QueryError, Summary};

use super::{Bar, Kit, Room, part};
use crate::format;
use crate::theme::Theme;
use crate::trace_log::TraceLog;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, Rows, empty, galley, icon_in, row_ground, rows, tenant_mark, text_in,
};
use crate::window::{FocusWish, Window};
use crate::{icons, strings};

/// Most records that one frame looks at when only their heads count.
const WITHOUT_SEARCH: u64 = 200_000;
/// Most records whose whole text one frame searches.
const WITH_SEARCH: u64 = 10_000;

/// What the person looks at in the trace.
#[derive(Default)]
pub struct TraceWindow {
    /// What stands in the filter field.
    pub filter: String,
    /// Only this account's records.
    pub account: Option<AccountId>,
    /// Only this dialog's records, by Call-ID.
    pub call: Option<String>,
    /// Whether OPTIONS and registrations that go well are shown too.
    pub noise: bool,
    /// Number of the first record that is not shown because the display stands still.
    pub paused: Option<u64>,
    /// Number of the record that is looked at.
    pub selected: Option<u64>,
    /// Whether the pane with the message is put away.
    pub message_hidden: bool,
    listed: Listed,
    ladder: ladder::Shown,
    said: Option<(u64, String)>,
    reveal: bool,
    reveal_step: bool,
}

/// What is listed, brought up to date as records come.
#[derive(Default)]
struct Listed {
    of: Option<Wish>,
    next: u64,
    selection: Selection,
    /// Of other tenants, accounts or calls.
    elsewhere: usize,
    /// Why the filter cannot be understood.
    wrong: Option<QueryError>,
}

/// Everything that decides which records are listed.
#[derive(Clone, PartialEq)]
struct Wish {
    generation: u64,
    filter: String,
    account: Option<AccountId>,
    call: Option<String>,
    tenant: Option<TenantId>,
    noise: bool,
}

impl TraceWindow {
    /// Shows one dialog.
    pub(crate) fn look_at_call(&mut self, sip_call_id: &str) {
        self.call = Some(sip_call_id.to_owned());
        self.filter.clear();
        self.account = None;
        self.selected = None;
    }

    /// Shows one account with its registrations.
    pub(crate) fn look_at_account(&mut self, account: &AccountId) {
        self.account = Some(account.clone());
        self.filter.clear();
        self.call = None;
        self.noise = true;
        self.selected = None;
    }

    fn clear(&mut self) {
        self.filter.clear();
        self.account = None;
        self.call = None;
    }

    fn is_narrowed(&self) -> bool {
        !self.filter.trim().is_empty() || self.account.is_some() || self.call.is_some()
    }

    /// Brings the list up to date with the log, a bounded number of records at a time so that no frame
    /// waits for a search. Answers whether there are more.
    fn update(&mut self, log: &TraceLog, tenant: Option<&TenantId>) -> bool {
        let of = Wish {
            generation: log.generation(),
            filter: self.filter.trim().to_owned(),
            account: self.account.clone(),
            call: self.call.clone(),
            tenant: tenant.cloned(),
            noise: self.noise || self.call.is_some(),
        };
        if self.listed.of.as_ref() != Some(&of) {
            self.start(of.clone(), log.first());
        }
        let first = log.first();
        self.listed.selection.forget_before(first);
        let end = self.paused.unwrap_or_else(|| log.end()).min(log.end());
        let begin = self.listed.next.max(first);
        let budget = if of.filter.is_empty() {
            WITHOUT_SEARCH
        } else {
            WITH_SEARCH
        };
        let stop = end.min(begin.saturating_add(budget));
        for number in begin..stop {
            let (Some(record), Some(summary)) = (log.get(number), log.summary(number)) else {
                continue;
            };
            if of.takes(record, summary) {
                self.listed.selection.add(number, summary, record);
            } else {
                self.listed.elsewhere += 1;
            }
        }
        self.listed.next = stop.max(self.listed.next);
        stop < end
    }

    /// Begins the list anew. A filter that cannot be understood yet leaves the one before in force, so
    /// that the list does not jump while a filter is typed.
    fn start(&mut self, of: Wish, first: u64) {
        match Query::parse(&of.filter) {
            Ok(query) => {
                self.listed = Listed {
                    next: first,
                    selection: Selection::new(query, of.noise),
                    ..Listed::default()
                };
                self.reveal = true;
            }
            Err(wrong) => self.listed.wrong = Some(wrong),
        }
        self.listed.of = Some(of);
    }

    fn shown(&self) -> &std::collections::VecDeque<u64> {
        self.listed.selection.shown()
    }
}

impl Wish {
    fn takes(&self, record: &TraceRecord, summary: &Summary) -> bool {
        self.tenant.as_ref().is_none_or(|t| *t == record.tenant)
            && self
                .account
                .as_ref()
                .is_none_or(|a| record.account.as_ref() == Some(a))
            && self
                .call
                .as_ref()
                .is_none_or(|c| summary.call_id.as_deref() == Some(c))
    }
}

fn filter_id() -> egui::Id {
    egui::Id::unique("trace filter")
}

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ui.spacing_mut().item_spacing = Vec2::ZERO;
    if data.trace.is_empty() {
        let icon = icons::BROADCAST;
        empty(
            ui,
            &t,
            icon,
            strings::TRACE_EMPTY,
            strings::TRACE_EMPTY_TEXT,
            None,
        );
        return;
    }
    if window.trace.update(&data.trace, window.tenant.as_ref()) {
        ui.ctx().request_repaint();
    }
    if window.trace.call.is_some() && window.trace.selected.is_none() {
        window.trace.selected = window.trace.shown().front().copied();
    }
    if window
        .trace
        .selected
        .is_some_and(|n| data.trace.get(n).is_none())
    {
        window.trace.selected = None;
    }
    keys(ui, data, window);
    tools(ui, kit, data, window);
    let body = Rect::from_min_max(ui.cursor().min, rect.max);
    if window.trace.shown().is_empty() {
        nothing(&mut part(ui, body, "nothing"), kit, window);
        return;
    }
    let tall = window.trace.selected.is_some() && body.height() > t.px(300.0);
    let (list_rect, below) = if tall {
        body.split_top_bottom_at_y(body.top() + (body.height() * 0.44).round())
    } else {
        (body, Rect::NOTHING)
    };
    list(
        &mut part(ui, list_rect, "list"),
        list_rect,
        kit,
        data,
        window,
    );
    if !tall {
        return;
    }
    ui.painter()
        .hline(below.x_range(), below.top() + 0.5, Stroke::new(1.0, t.line));
    let below = Rect::from_min_max(pos2(below.left(), below.top() + 1.0), below.max);
    let record = window.trace.selected.and_then(|n| data.trace.get(n));
    let summary = window.trace.selected.and_then(|n| data.trace.summary(n));
    let (Some(record), Some(summary)) = (record, summary) else {
        return;
    };
    let call_id = summary.call_id.as_deref().unwrap_or("");
    let side_by_side = below.width() > t.px(760.0) && !window.trace.message_hidden;
    if side_by_side {
        let (left, right) =
            below.split_left_right_at_x(below.left() + (below.width() * 0.5).round());
        ui.painter().vline(
            right.left() + 0.5,
            right.y_range(),
            Stroke::new(1.0, t.line),
        );
        let mut inner = part(ui, left, "ladder");
        ladder::show(&mut inner, left, kit, data, window, call_id);
        let mut inner = part(ui, right, "message");
        message::show(&mut inner, right, kit, window, record, summary);
    } else if window.trace.message_hidden {
        let mut inner = part(ui, below, "ladder");
        ladder::show(&mut inner, below, kit, data, window, call_id);
    } else {
        let mut inner = part(ui, below, "message");
        message::show(&mut inner, below, kit, window, record, summary);
    }
}

fn nothing(ui: &mut Ui, kit: &Kit<'_>, window: &mut Window) {
    let t = &kit.t;
    let listed = &window.trace.listed;
    let noise = listed.selection.hidden_noise();
    let hidden = noise + listed.selection.hidden_by_filter() + listed.elsewhere;
    let text = if window.trace.call.is_some() {
        strings::CALL_NOT_HELD.to_owned()
    } else {
        strings::trace_hidden(&format::count(hidden))
    };
    let words = if window.trace.is_narrowed() {
        strings::CLEAR_FILTER
    } else {
        strings::SHOW_HIDDEN
    };
    let button = Button::new(Kind::Quiet, words);
    let clicked = empty(ui, t, icons::FUNNEL, strings::NO_MATCH, &text, Some(button));
    if clicked.is_some_and(|r| r.clicked()) {
        if window.trace.is_narrowed() {
            window.trace.clear();
            window.tenant = None;
        } else {
            window.trace.noise = true;
        }
    }
}

fn tools(ui: &mut Ui, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = &kit.t;
    let compact = kit.room == Room::Compact;
    let mut bar = Bar::new(ui, t.px(48.0), 8.0);
    bar.left(4.0);
    bar.right(4.0);
    let paused = window.trace.paused.is_some();
    let (icon, words) = if paused {
        (icons::PLAY, strings::GO_ON)
    } else {
        (icons::PAUSE, strings::PAUSE)
    };
    let button = if compact {
        Button::icon_only(Kind::Quiet, icon, words)
    } else {
        Button::new(Kind::Quiet, words).icon(icon)
    };
    if bar
        .button_right(ui, t, button.on(paused).tip(format!("{words}  p")))
        .clicked()
    {
        toggle_pause(data, window);
    }
    let hidden = window.trace.listed.selection.hidden_noise();
    if !compact && (hidden > 0 || window.trace.noise) {
        let words = if window.trace.noise {
            strings::HIDE_NOISE.to_owned()
        } else {
            strings::noise_hidden(&format::count(hidden))
        };
        let icon = if window.trace.noise {
            icons::EYE
        } else {
            icons::EYE_SLASH
        };
        let button = Button::new(Kind::Ghost, &words)
            .icon(icon)
            .tip(strings::NOISE_TIP);
        if bar.button_right(ui, t, button).clicked() {
            window.trace.noise = !window.trace.noise;
        }
    }
    narrowed(ui, kit, data, window, &mut bar);
    let width = bar.rest().width().min(t.px(420.0));
    let place = bar.left(width);
    let place = Rect::from_center_size(place.center(), Vec2::new(place.width(), t.control()));
    let field = Field::new(&mut window.trace.filter, strings::FILTER_TRACE)
        .id(filter_id())
        .hint(strings::FILTER_TRACE_HINT)
        .icon(icons::FUNNEL)
        .wrong(window.trace.listed.wrong.is_some())
        .show_in(ui, t, place);
    if window.focus == Some(FocusWish::Filter) {
        window.focus = None;
        field.request_focus();
    }
    if let Some(wrong) = &window.trace.listed.wrong {
        let words = wrong.to_string();
        text_in(
            ui.painter(),
            bar.rest(),
            &words,
            t.small(),
            t.bad,
            Align::Min,
        );
        let response = ui.interact(
            bar.rest(),
            ui.scope_id().with("wrong filter"),
            Sense::hover(),
        );
        response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &words));
        response.on_hover_text(&words);
    } else if !compact {
        let words = strings::messages(
            &format::count(window.trace.shown().len()),
            data.trace.has_older(),
        );
        text_in(
            ui.painter(),
            bar.rest(),
            &words,
            t.small(),
            t.faint,
            Align::Min,
        );
    }
}

/// The chip that says that only one call or one account is listed, with the way back.
fn narrowed(ui: &mut Ui, kit: &Kit<'_>, data: &Data, window: &mut Window, bar: &mut Bar) {
    let t = &kit.t;
    let words = if window.trace.call.is_some() {
        strings::ONE_CALL.to_owned()
    } else if let Some(account) = &window.trace.account {
        data.account(account).map_or("", |a| a.title()).to_owned()
    } else {
        return;
    };
    let button = Button::new(Kind::Quiet, &words)
        .icon(icons::X)
        .on(true)
        .outlined()
        .name(strings::BACK_TO_ALL)
        .tip(format!("{}  Esc", strings::BACK_TO_ALL));
    if bar.button_left(ui, t, button).clicked() {
        window.trace.call = None;
        window.trace.account = None;
    }
}

fn toggle_pause(data: &Data, window: &mut Window) {
    window.trace.paused = match window.trace.paused {
        Some(_) => None,
        None => Some(data.trace.end()),
    };
}

/// The keys of sngrep, while no field has the keyboard.
fn keys(ui: &mut Ui, data: &Data, window: &mut Window) {
    if window.sheet || window.question.is_some() {
        return;
    }
    let focused = ui.memory(egui::Memory::focused);
    if focused == Some(filter_id()) {
        let leave = ui.input(|i| i.key_pressed(Key::Escape) || i.key_pressed(Key::Enter));
        if leave {
            ui.memory_mut(|m| m.surrender_focus(filter_id()));
        }
        return;
    }
    let listed = window.trace.shown();
    let at = window
        .trace
        .selected
        .and_then(|n| listed.binary_search(&n).ok());
    let last = listed.len().saturating_sub(1);
    let page = 12;
    let step: Option<isize> = ui.input(|i| {
        let pressed = |keys: &[Key]| keys.iter().any(|k| i.key_pressed(*k));
        if i.modifiers.command {
            None
        } else if pressed(&[Key::ArrowDown, Key::J]) {
            Some(1)
        } else if pressed(&[Key::ArrowUp, Key::K]) {
            Some(-1)
        } else if pressed(&[Key::PageDown]) {
            Some(page)
        } else if pressed(&[Key::PageUp]) {
            Some(-page)
        } else if pressed(&[Key::Home]) {
            Some(isize::MIN)
        } else if pressed(&[Key::End]) {
            Some(isize::MAX)
        } else {
            None
        }
    });
    if let Some(step) = step {
        let next = match at {
            None if step > 0 => 0,
            None => last,
            Some(at) => at.saturating_add_signed(step).min(last),
        };
        window.trace.selected = listed.get(next).copied();
        window.trace.reveal = true;
        window.trace.reveal_step = true;
    }
    let hit = |key| ui.input_mut(|i| i.consume_key(Modifiers::NONE, key));
    if focused.is_none() && hit(Key::Enter) {
        follow_call(data, window);
    }
    if hit(Key::Escape) || hit(Key::Q) {
        if window.trace.call.is_some() || window.trace.account.is_some() {
            window.trace.call = None;
            window.trace.account = None;
        } else if window.trace.selected.is_some() {
            window.trace.selected = None;
        } else {
            window.trace.filter.clear();
        }
    }
    if hit(Key::P) {
        toggle_pause(data, window);
    }
    if hit(Key::Slash) || hit(Key::F3) || hit(Key::F) {
        window.focus = Some(FocusWish::Filter);
        // The key itself is not meant for the field.
        ui.input_mut(|i| i.events.retain(|e| !matches!(e, egui::Event::Text(_))));
    }
    if hit(Key::T) || hit(Key::R) {
        window.trace.message_hidden = !window.trace.message_hidden;
    }
}

/// Lists only the call of the selected record.
fn follow_call(data: &Data, window: &mut Window) {
    let summary = window.trace.selected.and_then(|n| data.trace.summary(n));
    if let Some(call_id) = summary.and_then(|s| s.call_id.as_deref()) {
        window.trace.call = Some(call_id.to_owned());
    }
}

/// Widths of the columns. What does not fit goes, the least telling first.
struct Columns {
    time: f32,
    account: f32,
    what: f32,
    who: f32,
    peer: f32,
}

fn columns(t: &Theme, width: f32) -> Columns {
    let time = t.px(92.0);
    let what = t.px(if width > t.px(700.0) { 168.0 } else { 140.0 });
    let account = if width > t.px(620.0) {
        t.px(132.0)
    } else {
        0.0
    };
    let peer = if width > t.px(860.0) {
        t.px(190.0)
    } else {
        0.0
    };
    let gaps = 6.0 * 12.0 + t.px(16.0) + 24.0;
    let who = ((width - time - what - account - peer - gaps) / 2.0).max(0.0);
    Columns {
        time,
        account,
        what,
        who: if who < t.px(60.0) { 0.0 } else { who },
        peer,
    }
}

fn list(ui: &mut Ui, rect: Rect, kit: &Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let widths = columns(&t, rect.width());
    let mut bar = Bar::over(
        Rect::from_min_size(rect.min, Vec2::new(rect.width(), t.px(22.0)))
            .shrink2(Vec2::new(12.0, 0.0)),
        12.0,
    );
    for (words, width) in [
        (strings::TIME, widths.time),
        (strings::ACCOUNT, widths.account),
        ("", t.px(16.0)),
        (strings::MESSAGE, widths.what),
        (strings::FROM, widths.who),
        (strings::TO, widths.who),
        (strings::PEER, widths.peer),
    ] {
        if width > 0.0 {
            let place = bar.left(width);
            text_in(
                ui.painter(),
                place,
                words,
                t.small_strong(),
                t.faint,
                Align::Min,
            );
        }
    }
    let body = Rect::from_min_max(pos2(rect.left(), rect.top() + t.px(22.0)), rect.max);
    let mut inner = part(ui, body, "rows");
    let selection = std::mem::take(&mut window.trace.listed.selection);
    let listed = selection.shown();
    let selected = window.trace.selected;
    let reveal = std::mem::take(&mut window.trace.reveal);
    let spec = Rows {
        id: "trace",
        height: t.px(24.0),
        count: listed.len(),
        reveal: selected
            .filter(|_| reveal)
            .and_then(|n| listed.binary_search(&n).ok()),
        follow: window.trace.paused.is_none() && selected.is_none(),
    };
    rows(&mut inner, &spec, |ui, at, rect, response| {
        let Some(record) = listed.get(at).and_then(|n| data.trace.get(*n)) else {
            return;
        };
        let number = listed.get(at).copied();
        let on = selected == number;
        row_ground(ui, &t, rect, &response, on);
        let Some(summary) = number.and_then(|n| data.trace.summary(n)) else {
            return;
        };
        row(ui, rect, kit, data, &widths, record, summary);
        let spoken = match &summary.kind {
            What::Note { topic, text } => format!("{topic}, {text}"),
            _ => format!(
                "{}, {} {}",
                summary.title(),
                who(&summary.from),
                who(&summary.to)
            ),
        };
        response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
        if response.clicked() {
            window.trace.selected = number;
            window.trace.reveal_step = true;
        }
        if response.double_clicked() {
            follow_call(data, window);
        }
    });
    window.trace.listed.selection = selection;
}

fn row(
    ui: &Ui,
    rect: Rect,
    kit: &Kit<'_>,
    data: &Data,
    widths: &Columns,
    record: &TraceRecord,
    summary: &Summary,
) {
    let t = &kit.t;
    let painter = ui.painter();
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 12.0);
    let time = kit.local(record.time).clock_millis();
    let place = bar.left(widths.time);
    text_in(painter, place, &time, t.mono(), t.muted, Align::Min);
    if widths.account > 0.0 {
        let place = bar.left(widths.account);
        let mark = Rect::from_center_size(
            pos2(place.left() + 1.5, place.center().y),
            Vec2::new(3.0, t.px(12.0)),
        );
        tenant_mark(painter, t, mark, data.tenant_colour(&record.tenant));
        let words = match &record.account {
            Some(id) => data.account(id).map_or("", |a| a.title()),
            None => data.tenant(&record.tenant).map_or("", |t| &t.name),
        };
        let place = Rect::from_min_max(pos2(place.left() + 9.0, place.top()), place.max);
        text_in(painter, place, words, t.body(), t.muted, Align::Min);
    }
    let icon = bar.left(t.px(16.0));
    match &record.body {
        TraceBody::Note { topic, text, .. } => {
            icon_in(painter, icon, icons::INFO, t.icon(14.0), t.warn);
            let words = galley(painter, topic, t.strong(), t.muted, widths.what);
            let place = bar.left(words.size().x);
            text_in(painter, place, topic, t.strong(), t.muted, Align::Min);
            text_in(painter, bar.rest(), text, t.body(), t.muted, Align::Min);
        }
        TraceBody::Sip {
            sent,
            transport,
            peer,
            ..
        } => {
            let (arrow, ink) = if *sent {
                (icons::ARROW_UP_RIGHT, t.accent)
            } else {
                (icons::ARROW_DOWN_LEFT, t.good)
            };
            icon_in(painter, icon, arrow, t.icon(14.0), ink);
            let place = bar.left(widths.what);
            let font = if summary.kind == What::Request {
                t.strong()
            } else {
                t.body()
            };
            let ink = status_ink(t, summary.code());
            text_in(painter, place, &summary.title(), font, ink, Align::Min);
            if widths.who > 0.0 {
                let place = bar.left(widths.who);
                text_in(
                    painter,
                    place,
                    &who(&summary.from),
                    t.body(),
                    t.muted,
                    Align::Min,
                );
                let place = bar.left(widths.who);
                text_in(
                    painter,
                    place,
                    &who(&summary.to),
                    t.body(),
                    t.muted,
                    Align::Min,
                );
            }
            if widths.peer > 0.0 {
                let words = format!("{} {peer}", transport.as_str());
                let place = bar.left(widths.peer);
                text_in(painter, place, &words, t.mono_small(), t.faint, Align::Min);
            }
        }
    }
}

/// The address of a party without its scheme.
fn who(party: &Option<PartySummary>) -> String {
    party.as_ref().map_or_else(String::new, |party| {
        super::dial::short_target(&party.uri).to_owned()
    })
}

/// The colour of a status.
pub(super) fn status_ink(t: &Theme, code: Option<u16>) -> Color32 {
    match code {
        None => t.text,
        Some(100..=199) => t.muted,
        Some(200..=299) => t.good,
        Some(300..=399) => t.warn,
        Some(401 | 407) => t.warn,
        Some(_) => t.bad,
    }
}

/// A pane's heading with its name at the left.
pub(super) fn pane_head(ui: &mut Ui, rect: Rect, t: &Theme, name: &str) -> Bar {
    let head = Rect::from_min_size(rect.min, Vec2::new(rect.width(), t.px(36.0)));
    let mut bar = Bar::over(head.shrink2(Vec2::new(16.0, 0.0)), 8.0);
    let words = galley(ui.painter(), name, t.small_strong(), t.faint, rect.width());
    let place = bar.left(words.size().x);
    text_in(
        ui.painter(),
        place,
        name,
        t.small_strong(),
        t.faint,
        Align::Min,
    );
    let response = ui.interact(place, ui.scope_id().with(("pane", name)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, name));
    bar
}
