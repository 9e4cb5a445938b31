//! The tokens of the look: colours, sizes and how they reach egui's own style.
//!
//! A 4-pixel grid, three text sizes, two weights, three neutral surfaces, one accent. Contrast of every
//! text on every surface is at least 4.5 : 1 (WCAG 2.2, 1.4.3), which a test holds.

use std::sync::Arc;

use egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Id, Margin, Stroke, TextStyle, Ui, Vec2,
    style::{ScrollAnimation, ScrollStyle, TextCursorStyle, WidgetVisuals},
};
use model::{Preferences, ThemeChoice};

use crate::fonts;

/// Colours of one theme.
#[derive(Clone, Debug, PartialEq)]
pub struct Palette {
    /// Whether light text stands on dark surfaces.
    pub dark: bool,
    /// Lowest surface: rail, lists, status bar.
    pub canvas: Color32,
    /// Middle surface: what the screen is about.
    pub panel: Color32,
    /// Highest surface: cards and keys.
    pub raised: Color32,
    /// What floats above everything: menus, questions, notices.
    pub float: Color32,
    /// The ground of fields.
    pub field: Color32,
    /// A row or control under the pointer.
    pub hover: Color32,
    /// A row that is selected, a control that is on or pressed.
    pub selected: Color32,
    /// Hairlines between surfaces.
    pub line: Color32,
    /// Outlines of fields.
    pub outline: Color32,
    /// Words that matter.
    pub text: Color32,
    /// Words beside them.
    pub muted: Color32,
    /// Words that are looked for, not read.
    pub faint: Color32,
    /// The one accent, for marks and words.
    pub accent: Color32,
    /// Fill of the primary action.
    pub accent_fill: Color32,
    /// Words on it.
    pub on_accent: Color32,
    /// Registered, answered, good.
    pub good: Color32,
    /// Fill of the answer button and of a live call's mark.
    pub good_fill: Color32,
    /// Words on it.
    pub on_good: Color32,
    /// Silent, degraded, held.
    pub warn: Color32,
    /// Refused, failed, missed.
    pub bad: Color32,
    /// Fill of hang up and remove.
    pub bad_fill: Color32,
    /// Words on it.
    pub on_bad: Color32,
    /// Ground of a passage about a failure.
    pub bad_ground: Color32,
    /// Ground of a live call.
    pub live_ground: Color32,
    /// Marks of the tenants.
    pub tenants: [Color32; 8],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

impl Palette {
    /// Light words on dark surfaces.
    pub fn dark() -> Self {
        Self {
            dark: true,
            canvas: rgb(0x0d_0e11),
            panel: rgb(0x13_1519),
            raised: rgb(0x1b_1e24),
            float: rgb(0x1b_1e24),
            field: rgb(0x1b_1e24),
            hover: rgb(0x21_252c),
            selected: rgb(0x2a_2f39),
            line: rgb(0x23_2730),
            outline: rgb(0x38_3e4a),
            text: rgb(0xe8_eaee),
            muted: rgb(0xb0_b6c2),
            faint: rgb(0x94_9ba8),
            accent: rgb(0x86_acff),
            accent_fill: rgb(0x35_64dc),
            on_accent: rgb(0xff_ffff),
            good: rgb(0x4f_c78a),
            good_fill: rgb(0x1c_7a49),
            on_good: rgb(0xff_ffff),
            warn: rgb(0xe9_b44c),
            bad: rgb(0xff_8a80),
            bad_fill: rgb(0xc2_3a36),
            on_bad: rgb(0xff_ffff),
            bad_ground: rgb(0x27_191b),
            live_ground: rgb(0x14_221c),
            tenants: [
                rgb(0x5b_94f5),
                rgb(0x3f_bfa0),
                rgb(0xdd_9a38),
                rgb(0xdc_6a97),
                rgb(0x98_81ee),
                rgb(0x86_b544),
                rgb(0xdd_7350),
                rgb(0x4b_afd0),
            ],
        }
    }

    /// Dark words on light surfaces.
    pub fn light() -> Self {
        Self {
            dark: false,
            canvas: rgb(0xf3_f4f6),
            panel: rgb(0xfd_fdfe),
            raised: rgb(0xf1_f2f5),
            float: rgb(0xff_ffff),
            field: rgb(0xff_ffff),
            hover: rgb(0xe9_ebef),
            selected: rgb(0xdf_e3ea),
            line: rgb(0xe1_e4e9),
            outline: rgb(0xc4_c9d2),
            text: rgb(0x15_181d),
            muted: rgb(0x45_4b57),
            faint: rgb(0x59_606d),
            accent: rgb(0x24_4fc0),
            accent_fill: rgb(0x2f_5fd8),
            on_accent: rgb(0xff_ffff),
            good: rgb(0x12_663c),
            good_fill: rgb(0x1a_7f4b),
            on_good: rgb(0xff_ffff),
            warn: rgb(0x7d_4e00),
            bad: rgb(0xae_2620),
            bad_fill: rgb(0xc6_342e),
            on_bad: rgb(0xff_ffff),
            bad_ground: rgb(0xfd_efed),
            live_ground: rgb(0xec_f7f0),
            tenants: [
                rgb(0x2f_6be0),
                rgb(0x0e_8a6d),
                rgb(0xb0_6d00),
                rgb(0xc2_3f74),
                rgb(0x6d_52d1),
                rgb(0x55_8410),
                rgb(0xc4_4f26),
                rgb(0x12_7fa6),
            ],
        }
    }

    /// White on black with outlines around everything that can be used.
    pub fn high_contrast() -> Self {
        Self {
            dark: true,
            canvas: rgb(0x00_0000),
            panel: rgb(0x00_0000),
            raised: rgb(0x0c_0c0c),
            float: rgb(0x0c_0c0c),
            field: rgb(0x00_0000),
            hover: rgb(0x24_2424),
            selected: rgb(0x33_3333),
            line: rgb(0x8a_8a8a),
            outline: rgb(0xc8_c8c8),
            text: rgb(0xff_ffff),
            muted: rgb(0xee_eeee),
            faint: rgb(0xdc_dcdc),
            accent: rgb(0xa6_c8ff),
            accent_fill: rgb(0xa6_c8ff),
            on_accent: rgb(0x00_0000),
            good: rgb(0x7c_f0b0),
            good_fill: rgb(0x7c_f0b0),
            on_good: rgb(0x00_0000),
            warn: rgb(0xff_d75e),
            bad: rgb(0xff_b8b0),
            bad_fill: rgb(0xff_b8b0),
            on_bad: rgb(0x00_0000),
            bad_ground: rgb(0x1e_0a0a),
            live_ground: rgb(0x04_1a0e),
            tenants: [
                rgb(0x8f_b8ff),
                rgb(0x5f_e6c4),
                rgb(0xff_c15e),
                rgb(0xff_93bd),
                rgb(0xbd_a9ff),
                rgb(0xb0_e55e),
                rgb(0xff_9d7a),
                rgb(0x7c_dcff),
            ],
        }
    }

    /// The colour of a tenant; numbers past the last one begin again.
    pub fn tenant(&self, index: u8) -> Color32 {
        self.tenants[usize::from(index) % self.tenants.len()]
    }
}

/// Everything a screen needs to know about the look.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    /// Its colours.
    pub palette: Palette,
    /// Text size, 1 to 2.
    pub scale: f32,
    /// Whether controls carry an outline.
    pub outlined: bool,
}

impl std::ops::Deref for Theme {
    type Target = Palette;

    fn deref(&self) -> &Palette {
        &self.palette
    }
}

/// The small text size.
const SMALL: f32 = 11.0;
/// The text size of nearly everything.
const BODY: f32 = 13.0;
/// The size of what a screen is about: a party, a timer, a number being typed.
const LARGE: f32 = 20.0;
/// JetBrains Mono is drawn one pixel smaller than Inter: so both look the same size.
const MONO: f32 = 12.0;

impl Theme {
    fn new(palette: Palette, scale: f32, outlined: bool) -> Self {
        Self {
            palette,
            scale,
            outlined,
        }
    }

    /// A length that grows with the text, in whole pixels.
    pub fn px(&self, length: f32) -> f32 {
        (length * self.scale).round()
    }

    /// Small text.
    pub fn small(&self) -> FontId {
        FontId::proportional(SMALL * self.scale)
    }

    /// Small text in the strong weight.
    pub fn small_strong(&self) -> FontId {
        FontId::new(SMALL * self.scale, FontFamily::Name(fonts::STRONG.into()))
    }

    /// Normal text.
    pub fn body(&self) -> FontId {
        FontId::proportional(BODY * self.scale)
    }

    /// Normal text in the strong weight.
    pub fn strong(&self) -> FontId {
        FontId::new(BODY * self.scale, FontFamily::Name(fonts::STRONG.into()))
    }

    /// Large text.
    pub fn large(&self) -> FontId {
        FontId::proportional(LARGE * self.scale)
    }

    /// Large text in the strong weight.
    pub fn large_strong(&self) -> FontId {
        FontId::new(LARGE * self.scale, FontFamily::Name(fonts::STRONG.into()))
    }

    /// Monospaced text for SIP.
    pub fn mono(&self) -> FontId {
        FontId::monospace(MONO * self.scale)
    }

    /// Monospaced text for addresses beside small text.
    pub fn mono_small(&self) -> FontId {
        FontId::monospace(SMALL * self.scale)
    }

    /// Icons of this size, which grow with the text.
    pub fn icon(&self, size: f32) -> FontId {
        FontId::new(
            (size * self.scale).round(),
            FontFamily::Name(fonts::ICONS.into()),
        )
    }

    /// Filled icons of this size.
    pub fn icon_fill(&self, size: f32) -> FontId {
        FontId::new(
            (size * self.scale).round(),
            FontFamily::Name(fonts::ICONS_FILL.into()),
        )
    }

    /// Height of a button or field.
    pub fn control(&self) -> f32 {
        self.px(28.0)
    }

    /// Height of a one-line row in a list.
    pub fn row(&self) -> f32 {
        self.px(28.0)
    }

    /// Height of a two-line row in a list.
    pub fn row_two(&self) -> f32 {
        self.px(44.0)
    }

    /// The ring around what has the keyboard.
    pub fn focus(&self) -> Stroke {
        Stroke::new(2.0, self.accent)
    }

    fn egui_style(&self) -> egui::Style {
        let mut style = egui::Style {
            text_styles: [
                (TextStyle::Small, self.small()),
                (TextStyle::Body, self.body()),
                (TextStyle::Button, self.body()),
                (TextStyle::Heading, self.large_strong()),
                (TextStyle::Monospace, self.mono()),
            ]
            .into(),
            animation_time: 0.0,
            scroll_animation: ScrollAnimation::none(),
            ..egui::Style::default()
        };
        style.interaction.selectable_labels = false;
        style.interaction.tooltip_delay = 0.4;
        style.spacing.item_spacing = Vec2::splat(8.0);
        style.spacing.button_padding = Vec2::new(12.0, 4.0);
        style.spacing.interact_size = Vec2::new(28.0, self.control());
        style.spacing.menu_margin = Margin::same(4);
        style.spacing.window_margin = Margin::same(16);
        style.spacing.tooltip_width = 420.0 * self.scale;
        style.spacing.scroll = ScrollStyle {
            bar_width: 8.0,
            floating_width: 3.0,
            handle_min_length: 32.0,
            bar_outer_margin: 2.0,
            foreground_color: true,
            dormant_handle_opacity: 0.16,
            active_handle_opacity: 0.3,
            interact_handle_opacity: 0.7,
            dormant_background_opacity: 0.0,
            active_background_opacity: 0.0,
            interact_background_opacity: 0.0,
            ..ScrollStyle::floating()
        };
        style.spacing.scroll.fade.strength = 0.0;
        style.spacing.scroll.kinetic.rubber_band = false;

        let visuals = &mut style.visuals;
        *visuals = if self.dark {
            egui::Visuals::dark()
        } else {
            egui::Visuals::light()
        };
        let radius = CornerRadius::same(6);
        let state = |fill: Color32, text: Color32| WidgetVisuals {
            bg_fill: fill,
            weak_bg_fill: fill,
            bg_stroke: Stroke::NONE,
            corner_radius: radius,
            fg_stroke: Stroke::new(1.0, text),
            expansion: 0.0,
        };
        visuals.widgets.noninteractive = WidgetVisuals {
            bg_stroke: Stroke::new(1.0, self.line),
            ..state(self.panel, self.text)
        };
        visuals.widgets.inactive = state(self.raised, self.text);
        visuals.widgets.hovered = state(self.hover, self.text);
        visuals.widgets.active = state(self.selected, self.text);
        visuals.widgets.open = state(self.selected, self.text);
        visuals.weak_text_color = Some(self.faint);
        visuals.panel_fill = self.panel;
        visuals.window_fill = self.float;
        visuals.window_stroke = Stroke::new(1.0, self.outline);
        visuals.window_corner_radius = CornerRadius::same(8);
        visuals.menu_corner_radius = CornerRadius::same(8);
        visuals.extreme_bg_color = self.canvas;
        visuals.faint_bg_color = self.raised;
        visuals.hyperlink_color = self.accent;
        visuals.warn_fg_color = self.warn;
        visuals.error_fg_color = self.bad;
        visuals.selection.bg_fill = self.accent_fill.gamma_multiply(0.45);
        visuals.selection.stroke = Stroke::new(1.0, self.text);
        // A blinking cursor costs a frame twice a second for as long as the window is open.
        visuals.text_cursor = TextCursorStyle {
            stroke: Stroke::new(1.5, self.accent),
            blink: false,
            ..TextCursorStyle::default()
        };
        let shadow = |blur, alpha| egui::Shadow {
            offset: [0, 4],
            blur,
            spread: 0,
            color: Color32::from_black_alpha(alpha),
        };
        visuals.popup_shadow = shadow(16, if self.dark { 110 } else { 36 });
        visuals.window_shadow = shadow(32, if self.dark { 130 } else { 48 });
        style
    }
}

/// What [`install`] left in the context.
#[derive(Clone)]
struct Installed {
    preferences: Preferences,
    dark: Arc<Theme>,
    light: Arc<Theme>,
}

fn slot() -> Id {
    Id::unique("tipring theme")
}

/// Gives the context fonts and style; again whenever the preferences change.
pub fn install(ctx: &Context, preferences: &Preferences) {
    let before = ctx.data(|data| data.get_temp::<Installed>(slot()));
    if before.is_none() {
        ctx.set_fonts(fonts::definitions());
    }
    let scale = if preferences.text_scale.is_finite() {
        preferences.text_scale.clamp(0.8, 2.0)
    } else {
        1.0
    };
    let (dark, outlined) = match preferences.theme {
        ThemeChoice::HighContrast => (Palette::high_contrast(), true),
        _ => (Palette::dark(), false),
    };
    let dark = Arc::new(Theme::new(dark, scale, outlined));
    let light = Arc::new(Theme::new(Palette::light(), scale, false));
    ctx.set_style_of(egui::Theme::Dark, dark.egui_style());
    ctx.set_style_of(egui::Theme::Light, light.egui_style());
    ctx.set_theme(match preferences.theme {
        ThemeChoice::System => egui::ThemePreference::System,
        ThemeChoice::Dark | ThemeChoice::HighContrast => egui::ThemePreference::Dark,
        ThemeChoice::Light => egui::ThemePreference::Light,
    });
    ctx.data_mut(|data| {
        data.insert_temp(
            slot(),
            Installed {
                preferences: *preferences,
                dark,
                light,
            },
        );
    });
}

/// The theme of this frame; installs it first when the preferences differ from the installed ones.
pub(crate) fn current(ui: &Ui, preferences: &Preferences) -> Arc<Theme> {
    let ctx = ui.ctx();
    let installed = ctx.data(|data| data.get_temp::<Installed>(slot()));
    let installed = match installed {
        Some(installed) if installed.preferences == *preferences => installed,
        _ => {
            install(ctx, preferences);
            ctx.data(|data| data.get_temp::<Installed>(slot()))
                .expect("install has just put it there")
        }
    };
    let dark = match preferences.theme {
        ThemeChoice::Dark | ThemeChoice::HighContrast => true,
        ThemeChoice::Light => false,
        ThemeChoice::System => ctx.theme() == egui::Theme::Dark,
    };
    if dark {
        installed.dark
    } else {
        installed.light
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: Color32) -> f32 {
        let part = |c: u8| {
            let c = f32::from(c) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(colour.r()) + 0.7152 * part(colour.g()) + 0.0722 * part(colour.b())
    }

    fn contrast(a: Color32, b: Color32) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn all() -> [(&'static str, Palette); 3] {
        [
            ("dark", Palette::dark()),
            ("light", Palette::light()),
            ("high contrast", Palette::high_contrast()),
        ]
    }

    #[test]
    fn every_text_can_be_read_on_every_surface() {
        for (name, p) in all() {
            let least = if name == "high contrast" { 7.0 } else { 4.5 };
            let surfaces = [
                ("canvas", p.canvas),
                ("panel", p.panel),
                ("raised", p.raised),
                ("float", p.float),
                ("field", p.field),
                ("hover", p.hover),
                ("selected", p.selected),
                ("bad_ground", p.bad_ground),
                ("live_ground", p.live_ground),
            ];
            let words = [
                ("text", p.text),
                ("muted", p.muted),
                ("faint", p.faint),
                ("accent", p.accent),
                ("good", p.good),
                ("warn", p.warn),
                ("bad", p.bad),
            ];
            for (surface, ground) in surfaces {
                for (word, ink) in words {
                    let ratio = contrast(ink, ground);
                    assert!(ratio >= least, "{name}: {word} on {surface} is {ratio:.2}");
                }
            }
            for (what, ink, ground) in [
                ("accent", p.on_accent, p.accent_fill),
                ("good", p.on_good, p.good_fill),
                ("bad", p.on_bad, p.bad_fill),
            ] {
                let ratio = contrast(ink, ground);
                assert!(ratio >= least, "{name}: words on {what} are {ratio:.2}");
            }
        }
    }

    #[test]
    fn tenant_marks_stand_out_and_differ() {
        for (name, p) in all() {
            for (index, mark) in p.tenants.iter().enumerate() {
                for ground in [p.canvas, p.panel, p.raised, p.selected] {
                    let ratio = contrast(*mark, ground);
                    assert!(ratio >= 3.0, "{name}: tenant {index} is {ratio:.2}");
                }
                assert!(!p.tenants[..index].contains(mark));
            }
            assert_eq!(p.tenant(9), p.tenant(1));
        }
    }

    #[test]
    fn lengths_stay_whole_pixels_at_every_text_size() {
        for percent in [100, 110, 125, 150, 200] {
            let theme = Theme::new(Palette::dark(), percent as f32 / 100.0, false);
            for length in [4.0, 28.0, 44.0] {
                assert_eq!(theme.px(length).fract(), 0.0);
            }
        }
    }
}
