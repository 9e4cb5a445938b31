//! The list of accounts beside the screen, and the menu that chooses the account to call with.

use std::collections::BTreeSet;

use egui::{
    Align, Key, Popup, PopupCloseBehavior, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2,
};
use egui::{WidgetInfo, pos2};
use model::{AccountView, RegistrationState, TenantId};

use super::{Bar, Kit, part};
use crate::account_form::AccountForm;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, Rows, empty, icon_in, menu_frame, registration_mark, registration_words,
    row_ground, rows, tenant_mark, text_in,
};
use crate::window::{AccountRow, AccountRows, FocusWish, Screen, Window};
use crate::{icons, strings};

/// The filter field of the list.
pub(crate) fn filter_id() -> egui::Id {
    egui::Id::unique("account filter")
}

pub(crate) fn show(ui: &mut Ui, rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ui.spacing_mut().item_spacing.y = 0.0;
    let mut bar = Bar::new(ui, t.px(44.0), 4.0);
    bar.left(8.0);
    bar.right(4.0);
    let add = Button::icon_only(Kind::Ghost, icons::PLUS, strings::ADD_ACCOUNT);
    if bar.button_right(ui, &t, add).clicked() {
        window.form = Some(AccountForm::new(new_account_tenant(data, window)));
        window.focus = Some(FocusWish::Form);
        window.screen = Screen::Accounts;
    }
    let title = window
        .tenant
        .as_ref()
        .and_then(|id| data.tenant(id))
        .map_or(strings::ACCOUNTS, |tenant| tenant.name.as_str());
    text_in(
        ui.painter(),
        bar.rest(),
        title,
        t.strong(),
        t.text,
        Align::Min,
    );

    if data.accounts.len() > 8 {
        let mut bar = Bar::new(ui, t.px(36.0), 0.0);
        bar.left(8.0);
        bar.right(8.0);
        let mut place = bar.rest();
        place.max.y -= 8.0;
        let field = Field::new(&mut window.account_filter, strings::FIND_ACCOUNT)
            .id(filter_id())
            .hint(strings::FIND_ACCOUNT)
            .icon(icons::MAGNIFYING_GLASS)
            .show_in(ui, &t, place);
        if window.focus == Some(FocusWish::Filter) {
            window.focus = None;
            field.request_focus();
        }
    }

    update(
        &mut window.account_rows,
        data,
        &window.account_filter,
        window.tenant.as_ref(),
        &window.folded,
    );
    if window.account_rows.rows.is_empty() && !window.account_filter.is_empty() {
        let clear = Button::new(Kind::Quiet, strings::CLEAR_FILTER);
        let clicked = empty(
            ui,
            &t,
            icons::MAGNIFYING_GLASS,
            strings::NO_ACCOUNT_MATCHES,
            &format!("“{}”", window.account_filter),
            Some(clear),
        );
        if clicked.is_some_and(|r| r.clicked()) {
            window.account_filter.clear();
        }
        return;
    }
    let reveal = walk(ui, data, window);
    let list = std::mem::take(&mut window.account_rows);
    let on_accounts = window.screen == Screen::Accounts;
    let mut inner = part(
        ui,
        Rect::from_min_max(ui.cursor().min, rect.max),
        "account rows",
    );
    let spec = Rows {
        id: "accounts",
        height: t.row(),
        count: list.rows.len(),
        reveal,
        follow: false,
        whole: false,
    };
    rows(&mut inner, &spec, |ui, index, rect, response| {
        match list.rows.get(index) {
            Some(AccountRow::Tenant {
                index,
                registered,
                all,
            }) => {
                let Some(tenant) = data.tenants.get(*index) else {
                    return;
                };
                let folded = window.folded.contains(&tenant.id);
                row_ground(ui, &t, rect, &response, false);
                let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 6.0);
                let mark = bar.left(3.0);
                tenant_mark(
                    ui.painter(),
                    &t,
                    mark.shrink2(Vec2::new(0.0, (mark.height() - t.px(12.0)) / 2.0)),
                    tenant.colour,
                );
                let figures = format!("{registered}/{all}");
                let wide = crate::widgets::galley(
                    ui.painter(),
                    &figures,
                    t.small(),
                    t.muted,
                    rect.width(),
                );
                let place = bar.right(wide.size().x);
                let ink = if registered == all { t.faint } else { t.muted };
                text_in(ui.painter(), place, &figures, t.small(), ink, Align::Max);
                let caret = bar.right(t.px(12.0));
                let icon = if folded {
                    icons::CARET_RIGHT
                } else {
                    icons::CARET_DOWN
                };
                if response.hovered() || folded {
                    icon_in(ui.painter(), caret, icon, t.icon(12.0), t.faint);
                }
                text_in(
                    ui.painter(),
                    bar.rest(),
                    &tenant.name,
                    t.small_strong(),
                    t.muted,
                    Align::Min,
                );
                let spoken = format!("{}, {figures}", tenant.name);
                response.widget_info(|| {
                    WidgetInfo::selected(Role::DisclosureTriangle, true, !folded, &spoken)
                });
                if response.clicked() && !window.folded.remove(&tenant.id) {
                    window.folded.insert(tenant.id.clone());
                }
            }
            Some(AccountRow::Account(index)) => {
                let Some(account) = data.accounts.get(*index) else {
                    return;
                };
                let chosen = if on_accounts {
                    &window.account
                } else {
                    &window.dial_account
                };
                let on = chosen.as_ref() == Some(&account.id);
                let response = account_row(ui, kit, rect, response, account, on);
                if response.clicked() {
                    window.form = None;
                    window.account = Some(account.id.clone());
                    if !on_accounts {
                        window.dial_account = Some(account.id.clone());
                    }
                }
                if response.double_clicked() {
                    window.screen = Screen::Accounts;
                }
            }
            None => {}
        }
    });
    window.account_rows = list;
}

/// Up and down choose the account before or after, on the accounts screen, while nothing else has the
/// keyboard. Answers with the row to bring into view.
fn walk(ui: &Ui, data: &Data, window: &mut Window) -> Option<usize> {
    let busy = window.screen != Screen::Accounts
        || window.form.is_some()
        || window.sheet
        || window.question.is_some()
        || ui.memory(egui::Memory::focused).is_some();
    if busy {
        return None;
    }
    let (up, down) = ui.input(|i| {
        (
            i.key_pressed(Key::ArrowUp) || i.key_pressed(Key::K),
            i.key_pressed(Key::ArrowDown) || i.key_pressed(Key::J),
        )
    });
    if !up && !down {
        return None;
    }
    let rows = &window.account_rows.rows;
    let accounts: Vec<(usize, &AccountView)> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| match row {
            AccountRow::Account(index) => Some((at, data.accounts.get(*index)?)),
            AccountRow::Tenant { .. } => None,
        })
        .collect();
    let now = accounts
        .iter()
        .position(|(_, a)| window.account.as_ref() == Some(&a.id));
    let next = match now {
        None => 0,
        Some(now) if down => (now + 1).min(accounts.len().saturating_sub(1)),
        Some(now) => now.saturating_sub(1),
    };
    let (at, account) = accounts.get(next)?;
    window.account = Some(account.id.clone());
    Some(*at)
}

/// Whose account a new one becomes.
pub(crate) fn new_account_tenant(data: &Data, window: &Window) -> Option<TenantId> {
    window
        .tenant
        .clone()
        .or_else(|| data.tenants.first().map(|t| t.id.clone()))
}

fn account_row(
    ui: &mut Ui,
    kit: &Kit<'_>,
    rect: Rect,
    response: egui::Response,
    account: &AccountView,
    on: bool,
) -> egui::Response {
    let t = &kit.t;
    row_ground(ui, t, rect, &response, on);
    let mut bar = Bar::over(rect.shrink2(Vec2::new(12.0, 0.0)), 8.0);
    bar.left(1.0);
    let mark = bar.left(t.px(8.0));
    registration_mark(ui.painter(), t, mark.center(), account.state);
    let (colour, word) = registration_words(t, account.state);
    let ink = if account.state == RegistrationState::Registered {
        t.faint
    } else {
        colour
    };
    let galley = crate::widgets::galley(ui.painter(), word, t.small(), ink, rect.width());
    let place = bar.right(galley.size().x);
    text_in(ui.painter(), place, word, t.small(), ink, Align::Max);
    let cut = text_in(
        ui.painter(),
        bar.rest(),
        account.title(),
        t.body(),
        t.text,
        Align::Min,
    );
    let spoken = format!("{}, {word}", account.title());
    response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, on, &spoken));
    let failure = account.failure.as_ref().map(model::Failure::title);
    match (failure, cut) {
        (Some(failure), _) => response.on_hover_text(format!("{}\n{failure}", account.title())),
        (None, true) => response.on_hover_text(account.title()),
        (None, false) => response,
    }
}

/// Makes the list of rows anew when something it is made of has changed.
pub(crate) fn update(
    list: &mut AccountRows,
    data: &Data,
    filter: &str,
    tenant: Option<&TenantId>,
    folded: &BTreeSet<TenantId>,
) {
    let of = (
        data.accounts_version,
        filter.to_owned(),
        tenant.cloned(),
        folded.clone(),
    );
    if list.of.as_ref() == Some(&of) {
        return;
    }
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    let matches = |account: &AccountView, tenant: &str| {
        words.is_empty() || {
            let text = format!(
                "{} {} {}",
                account.title(),
                account.settings.aor.reveal(),
                tenant
            )
            .to_lowercase();
            words.iter().all(|w| text.contains(w))
        }
    };
    list.rows.clear();
    list.accounts = 0;
    for (index, organisation) in data.tenants.iter().enumerate() {
        if tenant.is_some_and(|t| *t != organisation.id) {
            continue;
        }
        let at = list.rows.len();
        let (mut registered, mut all) = (0, 0);
        list.rows.push(AccountRow::Tenant {
            index,
            registered,
            all,
        });
        for (index, account) in data.accounts.iter().enumerate() {
            if account.tenant != organisation.id || !matches(account, &organisation.name) {
                continue;
            }
            all += 1;
            registered += usize::from(account.state == RegistrationState::Registered);
            if !folded.contains(&organisation.id) || !words.is_empty() {
                list.rows.push(AccountRow::Account(index));
            }
        }
        list.accounts += all;
        if all == 0 && !words.is_empty() {
            list.rows.truncate(at);
        } else if let Some(row) = list.rows.get_mut(at) {
            *row = AccountRow::Tenant {
                index,
                registered,
                all,
            };
        }
    }
    list.of = Some(of);
}

/// The button that shows the account to call with, and its menu.
pub(crate) fn chooser(
    ui: &mut Ui,
    rect: Rect,
    kit: &Kit<'_>,
    data: &Data,
    window: &mut Window,
) -> egui::Response {
    let t = kit.t.clone();
    let account = window.dial_account.as_ref().and_then(|id| data.account(id));
    let response = ui.interact(rect, ui.scope_id().with("account chooser"), Sense::click());
    let painter = ui.painter();
    let fill = if response.hovered() { t.hover } else { t.field };
    painter.rect_filled(rect, 6.0, fill);
    painter.rect_stroke(rect, 6.0, Stroke::new(1.0, t.outline), StrokeKind::Inside);
    if response.has_focus() {
        painter.rect_stroke(rect.expand(1.0), 7.0, t.focus(), StrokeKind::Outside);
    }
    let mut bar = Bar::over(rect.shrink2(Vec2::new(10.0, 0.0)), 8.0);
    let caret = bar.right(t.px(12.0));
    icon_in(painter, caret, icons::CARET_DOWN, t.icon(12.0), t.muted);
    let spoken = match account {
        None => {
            text_in(
                painter,
                bar.rest(),
                strings::NO_ACCOUNT,
                t.body(),
                t.muted,
                Align::Min,
            );
            strings::NO_ACCOUNT.to_owned()
        }
        Some(account) => {
            let mark = bar.left(t.px(8.0));
            registration_mark(painter, &t, mark.center(), account.state);
            let tenant = data.tenant(&account.tenant);
            let edge = rect.shrink2(Vec2::new(0.0, 8.0));
            tenant_mark(painter, &t, edge, tenant.map_or(0, |t| t.colour));
            let (_, word) = registration_words(&t, account.state);
            let under = match tenant {
                Some(tenant) => format!("{} · {word}", tenant.name),
                None => word.to_owned(),
            };
            let (top, bottom) = two_lines(bar.rest(), &t);
            text_in(
                painter,
                top,
                account.title(),
                t.strong(),
                t.text,
                Align::Min,
            );
            text_in(painter, bottom, &under, t.small(), t.muted, Align::Min);
            format!("{}, {under}", account.title())
        }
    };
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, strings::DIAL_WITH);
        info.current_text_value = Some(spoken.clone());
        info
    });

    let id = Popup::default_response_id(&response);
    let just_opened = response.clicked() && !Popup::is_id_open(ui.ctx(), id);
    if just_opened {
        window.account_choice.clear();
        window.account_choice_at = 0;
    }
    Popup::from_toggle_button_response(&response)
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .frame(menu_frame(&t))
        .gap(4.0)
        .width(rect.width().max(t.px(280.0)))
        .accessible_name(strings::DIAL_WITH)
        .show(|ui| choices(ui, &t, kit, data, window, just_opened));
    response
}

fn choices(
    ui: &mut Ui,
    t: &crate::theme::Theme,
    kit: &Kit<'_>,
    data: &Data,
    window: &mut Window,
    just_opened: bool,
) {
    ui.spacing_mut().item_spacing.y = 4.0;
    let (up, down, enter) = ui.input_mut(|i| {
        (
            i.consume_key(egui::Modifiers::NONE, Key::ArrowUp),
            i.consume_key(egui::Modifiers::NONE, Key::ArrowDown),
            i.consume_key(egui::Modifiers::NONE, Key::Enter),
        )
    });
    let field = Field::new(&mut window.account_choice, strings::FIND_ACCOUNT)
        .hint(strings::FIND_ACCOUNT)
        .icon(icons::MAGNIFYING_GLASS)
        .show(ui, t);
    if just_opened {
        field.request_focus();
    }
    let none = BTreeSet::new();
    let mut list = std::mem::take(&mut window.choice_rows);
    update(
        &mut list,
        data,
        &window.account_choice,
        window.tenant.as_ref(),
        &none,
    );
    let accounts: Vec<usize> = list
        .rows
        .iter()
        .enumerate()
        .filter(|(_, row)| matches!(row, AccountRow::Account(_)))
        .map(|(at, _)| at)
        .collect();
    if down {
        window.account_choice_at += 1;
    }
    if up {
        window.account_choice_at = window.account_choice_at.saturating_sub(1);
    }
    window.account_choice_at = window
        .account_choice_at
        .min(accounts.len().saturating_sub(1));
    let cursor = accounts.get(window.account_choice_at).copied();
    let mut picked = None;
    if enter && let Some(AccountRow::Account(index)) = cursor.and_then(|at| list.rows.get(at)) {
        picked = data.accounts.get(*index);
    }
    if accounts.is_empty() {
        crate::widgets::label(ui, strings::NO_ACCOUNT_MATCHES, t.body(), t.muted);
    }
    let height = (t.row() * list.rows.len() as f32).min(t.px(320.0));
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::hover());
    let mut inner = part(ui, rect, "choices");
    let spec = Rows {
        id: "account choices",
        height: t.row(),
        count: list.rows.len(),
        reveal: cursor.filter(|_| up || down),
        follow: false,
        whole: false,
    };
    rows(&mut inner, &spec, |ui, at, rect, response| {
        match list.rows.get(at) {
            Some(AccountRow::Tenant { index, .. }) => {
                if let Some(tenant) = data.tenants.get(*index) {
                    let mut bar = Bar::over(rect.shrink2(Vec2::new(8.0, 0.0)), 6.0);
                    let mark = bar.left(3.0);
                    let inset = (mark.height() - t.px(12.0)) / 2.0;
                    tenant_mark(
                        ui.painter(),
                        t,
                        mark.shrink2(Vec2::new(0.0, inset)),
                        tenant.colour,
                    );
                    let place = bar.rest();
                    text_in(
                        ui.painter(),
                        place,
                        &tenant.name,
                        t.small_strong(),
                        t.muted,
                        Align::Min,
                    );
                }
            }
            Some(AccountRow::Account(index)) => {
                if let Some(account) = data.accounts.get(*index) {
                    let on = cursor == Some(at);
                    if account_row(ui, kit, rect, response, account, on).clicked() {
                        picked = Some(account);
                    }
                }
            }
            None => {}
        }
    });
    window.choice_rows = list;
    if let Some(account) = picked {
        window.dial_account = Some(account.id.clone());
        window.focus = Some(FocusWish::Number);
        ui.close();
    }
}

/// The places of two lines, body over small, in the middle of `rect`.
pub(crate) fn two_lines(rect: Rect, t: &crate::theme::Theme) -> (Rect, Rect) {
    let (upper, lower) = (t.px(17.0), t.px(15.0));
    let top = (rect.center().y - (upper + lower) / 2.0).round();
    (
        Rect::from_min_max(pos2(rect.left(), top), pos2(rect.right(), top + upper)),
        Rect::from_min_max(
            pos2(rect.left(), top + upper),
            pos2(rect.right(), top + upper + lower),
        ),
    )
}
