//! Sound, appearance, organisations.

use egui::{Align, Frame, Margin, Rect, Role, ScrollArea, Sense, Ui, Vec2, WidgetInfo};
use model::{
    Command, DeviceId, DeviceRole, DeviceView, Password, Preferences, SecretPlace, Sentence,
    SoundTest, ThemeChoice, Volume,
};

use super::{Bar, Kit, Room};
use crate::theme::Theme;
use crate::view_state::Data;
use crate::widgets::{
    Button, Field, Kind, icon_in, label, meter, paragraph, percent_slider, segmented, select,
    tenant_mark, text_in,
};
use crate::window::{Question, Window};
use crate::{icons, strings};

pub(crate) fn show(ui: &mut Ui, _rect: Rect, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    ScrollArea::vertical()
        .id_salt("settings")
        .auto_shrink(false)
        .show(ui, |ui| {
            let side = if kit.room == Room::Compact { 12 } else { 24 };
            Frame::NONE
                .inner_margin(Margin::symmetric(side, 20))
                .show(ui, |ui| {
                    ui.set_max_width(t.px(640.0).min(ui.available_width()));
                    ui.spacing_mut().item_spacing.y = 8.0;
                    title(ui, &t, strings::SOUND);
                    sound(ui, kit, data);
                    try_sound(ui, kit, data, window);
                    ui.add_space(24.0);
                    title(ui, &t, strings::APPEARANCE);
                    appearance(ui, kit, data);
                    ui.add_space(24.0);
                    title(ui, &t, strings::PASSWORDS);
                    passwords(ui, kit, data, window);
                    ui.add_space(24.0);
                    title(ui, &t, strings::ORGANISATIONS);
                    organisations(ui, kit, data, window);
                    ui.add_space(24.0);
                    title(ui, &t, strings::ABOUT);
                    let version = format!("{} {}", strings::PRODUCT, env!("CARGO_PKG_VERSION"));
                    label(ui, &version, t.body(), t.text);
                    paragraph(ui, strings::ABOUT_TEXT, t.body(), t.muted);
                });
        });
}

fn title(ui: &mut Ui, t: &Theme, words: &str) {
    let response = label(ui, words, t.large_strong(), t.text);
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, words));
    ui.add_space(4.0);
}

/// A setting: its name at the left, what is chosen at the right of it.
fn setting(ui: &mut Ui, kit: &Kit<'_>, name: &str, add: impl FnOnce(&mut Ui)) {
    let t = &kit.t;
    if kit.room == Room::Compact {
        if !name.is_empty() {
            label(ui, name, t.small(), t.muted);
        }
        add(ui);
        return;
    }
    let mut bar = Bar::new(ui, t.control(), 8.0);
    let place = bar.left(t.px(140.0));
    text_in(ui.painter(), place, name, t.body(), t.muted, Align::Min);
    let rest = bar.rest();
    let mut inner = super::part(ui, rest.expand(3.0), ("setting", name));
    let mut inner = inner.new_child(egui::UiBuilder::new().max_rect(rest));
    add(&mut inner);
}

fn sound(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data) {
    let t = kit.t.clone();
    let devices = &data.devices;
    if let Some(warning) = &devices.warning {
        Frame::NONE
            .fill(t.bad_ground)
            .corner_radius(8)
            .inner_margin(Margin::symmetric(12, 10))
            .show(ui, |ui| {
                ui.horizontal_top(|ui| {
                    let (place, _) =
                        ui.allocate_exact_size(Vec2::splat(t.px(18.0)), Sense::hover());
                    icon_in(
                        ui.painter(),
                        place,
                        icons::WARNING,
                        t.icon_fill(16.0),
                        t.warn,
                    );
                    paragraph(ui, warning, t.body(), t.text);
                });
            });
    }
    for (name, role, list, chosen, without) in [
        (
            strings::MICROPHONE,
            DeviceRole::Capture,
            &devices.capture,
            &devices.chosen_capture,
            strings::SYSTEM_DEFAULT,
        ),
        (
            strings::SPEAKER,
            DeviceRole::Playout,
            &devices.playout,
            &devices.chosen_playout,
            strings::SYSTEM_DEFAULT,
        ),
        (
            strings::RINGER,
            DeviceRole::Ringer,
            &devices.playout,
            &devices.chosen_ringer,
            strings::RINGS_AT_SPEAKER,
        ),
    ] {
        let (names, at) = device_names(list, chosen.as_ref(), without);
        let mut picked = None;
        setting(ui, kit, name, |ui| {
            ui.set_max_width(t.px(360.0).min(ui.available_width()));
            picked = select(ui, &t, name, &names, at).1;
        });
        if let Some(index) = picked {
            let device = index.checked_sub(1).and_then(|i| list.get(i));
            kit.send(Command::ChooseDevice {
                role,
                device: device.map(|d| d.id.clone()),
            });
        }
        volume(ui, kit, data, role);
    }
    country_tones(ui, kit, data);
    let mut clicked = false;
    setting(ui, kit, "", |ui| {
        clicked = Button::new(Kind::Quiet, strings::LOOK_AGAIN)
            .icon(icons::ARROW_CLOCKWISE)
            .show(ui, &t)
            .clicked();
    });
    if clicked {
        kit.send(Command::RefreshDevices);
    }
}

/// How loud this device is. What rings at a device of its own is as loud as the system has that.
fn volume(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, role: DeviceRole) {
    let (name, now) = match role {
        DeviceRole::Capture => (strings::MICROPHONE_GAIN, data.devices.microphone_gain),
        DeviceRole::Playout => (strings::SPEAKER_VOLUME, data.devices.speaker_volume),
        DeviceRole::Ringer => return,
    };
    let t = kit.t.clone();
    let mut chosen = None;
    setting(ui, kit, name, |ui| {
        ui.set_max_width(t.px(360.0).min(ui.available_width()));
        let mut bar = Bar::new(ui, t.control(), 8.0);
        let spoken = strings::reset(name);
        let reset = Button::new(Kind::Quiet, strings::RESET)
            .name(&spoken)
            .enabled(now != Volume::default());
        if bar.button_right(ui, &t, reset).clicked() {
            chosen = Some(Volume::default());
        }
        let place = bar.right(t.px(44.0));
        let words = strings::percent(now.percent());
        text_in(ui.painter(), place, &words, t.body(), t.text, Align::Max);
        let moved = percent_slider(ui, &t, name, now.percent(), Volume::MOST, bar.rest());
        chosen = moved
            .map(|percent| Volume::nearest(percent.into()))
            .or(chosen);
    });
    if chosen.is_some() {
        let of = |wanted: DeviceRole| chosen.filter(|_| role == wanted);
        kit.send(Command::SetVolume {
            speaker_percent: of(DeviceRole::Playout),
            microphone_percent: of(DeviceRole::Capture),
        });
    }
}

/// Whose tones are heard.
fn country_tones(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data) {
    let t = kit.t.clone();
    let devices = &data.devices;
    let mut names = vec![strings::SYSTEM_COUNTRY.to_owned()];
    names.extend(devices.tones.iter().map(|country| country.name.clone()));
    let is_chosen = |code: &String| devices.tones.iter().position(|c| c.code == *code);
    let chosen = devices.chosen_tones.as_ref().and_then(is_chosen);
    let at = chosen.map_or(0, |at| at + 1);
    let mut picked = None;
    setting(ui, kit, strings::COUNTRY_TONES, |ui| {
        ui.set_max_width(t.px(360.0).min(ui.available_width()));
        picked = select(ui, &t, strings::COUNTRY_TONES, &names, at).1;
    });
    if let Some(index) = picked {
        let country = index.checked_sub(1).and_then(|at| devices.tones.get(at));
        kit.send(Command::ChooseTones {
            country: country.map(|country| country.code.clone()),
        });
    }
}

/// The devices without a call: what the microphone gives, and whether the speaker is heard.
fn try_sound(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let testing = data.devices.testing;
    // In a call its card shows all of this.
    let busy = data.calls.iter().any(|c| c.state.is_live());
    let button = if testing {
        Button::new(Kind::Quiet, strings::STOP_TRYING)
    } else {
        Button::new(Kind::Quiet, strings::TRY_SOUND).enabled(!busy)
    };
    let mut clicked = false;
    setting(ui, kit, "", |ui| {
        let button = button.icon(icons::SPEAKER_HIGH);
        clicked = button.show(ui, &t).clicked();
    });
    if clicked {
        window.tries_sound = !testing;
        kit.send(Command::TestSound {
            on: !testing,
            with: data.devices.test,
        });
    }
    if !testing {
        return;
    }
    const TESTS: [SoundTest; 3] = [SoundTest::Ring, SoundTest::Sentence, SoundTest::Loop];
    let at = TESTS.iter().position(|test| *test == data.devices.test);
    let mut picked = None;
    setting(ui, kit, "", |ui| {
        let names = &strings::SOUND_TESTS;
        picked = segmented(ui, &t, strings::SOUND_TEST, names, at.unwrap_or(0));
    });
    if let Some(with) = picked.and_then(|at| TESTS.get(at)) {
        kit.send(Command::TestSound {
            on: true,
            with: *with,
        });
    }
    let levels = kit.live.devices;
    for (icon, name, level) in [
        (icons::MICROPHONE, strings::MICROPHONE_LEVEL, levels.capture),
        (icons::SPEAKER_HIGH, strings::SPEAKER_LEVEL, levels.playout),
    ] {
        setting(ui, kit, "", |ui| {
            let mut bar = Bar::new(ui, t.px(20.0), 8.0);
            let place = bar.left(t.px(16.0));
            icon_in(ui.painter(), place, icon, t.icon(16.0), t.muted);
            meter(ui, &t, name, level, bar.left(t.px(240.0)));
        });
    }
    let rings_apart = data.devices.test == SoundTest::Ring && data.devices.chosen_ringer.is_some();
    let words = if rings_apart {
        strings::TRYING_RINGER
    } else {
        strings::TRYING_SOUND
    };
    setting(ui, kit, "", |ui| {
        paragraph(ui, words, t.small(), t.muted);
    });
}

/// Where passwords are, and the way into the encrypted file where there is no keystore.
fn passwords(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    let secrets = &data.secrets;
    let sentence = secrets
        .sentence
        .as_ref()
        .map_or(strings::PASSWORDS_IN_KEYSTORE, Sentence::reveal);
    paragraph(ui, sentence, t.body(), t.muted);
    if secrets.place != SecretPlace::Session {
        return;
    }
    let words = if secrets.locked {
        strings::UNLOCK
    } else {
        strings::KEEP_IN_FILE
    };
    let mut bar = Bar::new(ui, t.control(), 8.0);
    let button = Button::new(Kind::Quiet, words).enabled(!window.passphrase.is_empty());
    let place = bar.right(button.measure(ui, &t));
    let clicked = button.show_in(ui, &t, place).clicked();
    let field = Field::new(&mut window.passphrase, strings::PASSPHRASE)
        .hint(strings::PASSPHRASE)
        .password()
        .show_in(ui, &t, bar.rest());
    let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
    if (clicked || entered) && !window.passphrase.is_empty() {
        let passphrase = Password(std::mem::take(&mut window.passphrase));
        kit.send(Command::UnlockSecrets { passphrase });
    }
}

/// The words of a device menu and which one is chosen. A chosen device that is gone stays in the list, so
/// that nobody wonders where it went.
fn device_names(
    list: &[DeviceView],
    chosen: Option<&DeviceId>,
    without: &str,
) -> (Vec<String>, usize) {
    let default = if list.is_empty() {
        format!("{without} ({})", strings::NO_DEVICE)
    } else {
        without.to_owned()
    };
    let mut names = vec![default];
    names.extend(list.iter().map(|d| d.name.clone()));
    let at = match chosen {
        None => 0,
        Some(id) => list.iter().position(|d| d.id == *id).map_or_else(
            || {
                names.push(format!("{id} (unplugged)"));
                names.len() - 1
            },
            |i| i + 1,
        ),
    };
    (names, at)
}

fn appearance(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data) {
    const CHOICES: [ThemeChoice; 4] = [
        ThemeChoice::System,
        ThemeChoice::Dark,
        ThemeChoice::Light,
        ThemeChoice::HighContrast,
    ];
    let t = kit.t.clone();
    let mut next: Preferences = data.preferences;
    let at = CHOICES.iter().position(|c| *c == next.theme).unwrap_or(0);
    setting(ui, kit, strings::THEME, |ui| {
        let picked = segmented(ui, &t, strings::THEME, &strings::THEMES, at);
        if let Some(theme) = picked.and_then(|i| CHOICES.get(i)) {
            next.theme = *theme;
        }
    });
    let names = strings::TEXT_SIZES.map(|(name, _)| name);
    let at = strings::TEXT_SIZES
        .iter()
        .position(|(_, size)| (size - next.text_scale).abs() < 0.01)
        .unwrap_or(usize::MAX);
    setting(ui, kit, strings::TEXT_SIZE, |ui| {
        let picked = segmented(ui, &t, strings::TEXT_SIZE, &names, at);
        if let Some((_, size)) = picked.and_then(|i| strings::TEXT_SIZES.get(i)) {
            next.text_scale = *size;
        }
    });
    if next != data.preferences {
        kit.send(Command::SetPreferences { preferences: next });
    }
}

fn organisations(ui: &mut Ui, kit: &mut Kit<'_>, data: &Data, window: &mut Window) {
    let t = kit.t.clone();
    paragraph(ui, strings::ORGANISATIONS_TEXT, t.body(), t.muted);
    ui.spacing_mut().item_spacing.y = 0.0;
    ui.add_space(4.0);
    for tenant in &data.tenants {
        ui.push_id(&tenant.id, |ui| {
            let renaming = window
                .renaming
                .as_ref()
                .is_some_and(|(id, _)| *id == tenant.id);
            let mut bar = Bar::new(ui, t.row_two(), 8.0);
            let edge = Rect::from_min_size(bar.rest().min, Vec2::new(3.0, bar.rest().height()));
            tenant_mark(
                ui.painter(),
                &t,
                edge.shrink2(Vec2::new(0.0, 8.0)),
                tenant.colour,
            );
            bar.left(4.0);
            let remove = Button::icon_only(Kind::Ghost, icons::TRASH, strings::REMOVE);
            if bar.button_right(ui, &t, remove).clicked() {
                window.question = Some(Question::RemoveTenant(tenant.id.clone()));
            }
            let forget = Button::icon_only(
                Kind::Ghost,
                icons::CLOCK_COUNTER_CLOCKWISE,
                strings::FORGET_HISTORY,
            );
            if bar.button_right(ui, &t, forget).clicked() {
                window.question = Some(Question::ClearHistory(tenant.id.clone()));
            }
            if renaming {
                rename(ui, kit, &mut bar, window, tenant.colour);
                return;
            }
            let edit = Button::icon_only(Kind::Ghost, icons::PENCIL_SIMPLE, strings::RENAME);
            if bar.button_right(ui, &t, edit).clicked() {
                window.renaming = Some((tenant.id.clone(), tenant.name.clone()));
            }
            if kit.room > Room::Compact {
                colours(ui, kit, &mut bar, tenant);
            }
            let (top, bottom) = super::account_list::two_lines(bar.rest(), &t);
            text_in(
                ui.painter(),
                top,
                &tenant.name,
                t.body(),
                t.text,
                Align::Min,
            );
            let accounts = data
                .accounts
                .iter()
                .filter(|a| a.tenant == tenant.id)
                .count();
            let words = strings::accounts_of(accounts);
            text_in(ui.painter(), bottom, &words, t.small(), t.faint, Align::Min);
        });
    }
    ui.add_space(8.0);
    let mut bar = Bar::new(ui, t.control(), 8.0);
    let add = Button::new(Kind::Quiet, strings::ADD_ORGANISATION)
        .icon(icons::PLUS)
        .enabled(!window.new_tenant.trim().is_empty());
    let width = t.px(280.0).min(bar.rest().width() - t.px(100.0));
    let place = bar.left(width);
    let field = Field::new(&mut window.new_tenant, strings::NEW_ORGANISATION)
        .hint(strings::NEW_ORGANISATION)
        .show_in(ui, &t, place);
    let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
    let pressed = bar.button_left(ui, &t, add).clicked();
    let name = window.new_tenant.trim();
    if (entered || pressed) && !name.is_empty() {
        kit.send(Command::AddTenant {
            name: name.to_owned(),
        });
        window.new_tenant.clear();
    }
}

fn rename(ui: &mut Ui, kit: &mut Kit<'_>, bar: &mut Bar, window: &mut Window, colour: u8) {
    let t = kit.t.clone();
    let save = Button::new(Kind::Quiet, strings::SAVE);
    let saved = bar.button_right(ui, &t, save).clicked();
    let Some((tenant, name)) = &mut window.renaming else {
        return;
    };
    let place = bar.rest();
    let place = Rect::from_center_size(place.center(), Vec2::new(place.width(), t.control()));
    let field = Field::new(name, strings::NAME).show_in(ui, &t, place);
    let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
    if (saved || entered) && !name.trim().is_empty() {
        kit.send(Command::UpdateTenant {
            tenant: tenant.clone(),
            name: name.trim().to_owned(),
            colour,
        });
        window.renaming = None;
    }
}

/// The eight colours, of which one is the tenant's.
fn colours(ui: &mut Ui, kit: &mut Kit<'_>, bar: &mut Bar, tenant: &model::TenantView) {
    let t = kit.t.clone();
    let size = t.px(18.0);
    for index in (0..8u8).rev() {
        let place = bar.right(size - 4.0);
        let dot = Rect::from_center_size(place.center(), Vec2::splat(size));
        let response = ui.interact(dot, ui.scope_id().with(("colour", index)), Sense::click());
        let on = tenant.colour % 8 == index;
        let radius = size / 2.0 - if response.hovered() { 3.0 } else { 4.0 };
        ui.painter()
            .circle_filled(dot.center(), radius, t.tenant(index));
        if on || response.has_focus() {
            let ink = if on { t.text } else { t.accent };
            ui.painter()
                .circle_stroke(dot.center(), size / 2.0 - 1.0, egui::Stroke::new(1.5, ink));
        }
        let name = format!("{} {}", strings::COLOUR, index + 1);
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, on, &name));
        if response.clicked() && !on {
            kit.send(Command::UpdateTenant {
                tenant: tenant.id.clone(),
                name: tenant.name.clone(),
                colour: index,
            });
        }
    }
    bar.right(4.0);
}
